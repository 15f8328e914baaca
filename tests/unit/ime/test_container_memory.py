"""Opening a container holds the message, its octets and its content, and nothing twice: 2.5 times its size in all."""

import secrets
import tracemalloc

import pytest

from ime_gateway.ime.container import OpenedContainer, open_unlocked, unlock
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.structures import CmsLimits
from tests import container_mail as make

MIB = 1_048_576


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
@pytest.mark.parametrize("detached", [False, True], ids=["opaque", "detached"])
def test_opening_costs_two_and_a_half_times_the_size(cipher: str, detached: bool) -> None:
    text = "\n".join(["x" * 76] * (8 * MIB // 77))
    signer = make.signer_of(make.ANNA)
    carried = make.container(make.original(text=text), signer=signer, cipher=cipher, detached=detached)
    wire = bytearray(carried.mail.replace(b"\n", b"\r\n"))
    del carried, text
    key = OwnedKey(make.ime_key().certificate, make.ime_key().key)
    tracemalloc.start()
    try:
        unlocked = unlock(parse_message(wire), [key], CmsLimits(), secrets.token_bytes)
        opened = open_unlocked(unlocked, [], CmsLimits())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(opened, OpenedContainer)
    assert (unlocked.sealed is None) == (cipher == "aes-256-gcm")
    assert len(wire) + peak <= 2.55 * len(wire)
