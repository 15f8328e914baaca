"""No reply tells an attacker anything about what decryption gave (RFC 3218, Vaudenay, EFAIL; threats, A).

The attacker has a container that is not theirs, submits changed ones through the mail server as any insider may, and
compares replies. Only CBC lets them change content at all; GCM is here to show that nothing sounds different.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.smtp.replies import reply_for
from tests import container_mail as make
from tests.ber_forms import elements, tlv
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, close, make_core

BLOCK = 16


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    make.pin(made, ANNA)
    at_once = replace(made.receiver.containers, even_seconds=0)  # hundreds of refusals
    made.receiver = replace(made.receiver, containers=at_once)
    yield made
    close(made)


def reply(core: Core, encrypted: bytes) -> str:
    """What the attacker hears, without the tracking id."""
    outcome, copies = core.send(carrier(encrypted), ANNA, [IME])
    assert copies == []
    if isinstance(outcome, Accepted):
        return "accepted"
    return reply_for(outcome).replace(outcome.message_id, "")


class Envelope:
    """An EnvelopedData of openssl, taken apart so that parts can be changed."""

    def __init__(self, der: bytes) -> None:
        content_type, wrapped = elements(elements(der)[0][1])
        self._outer = content_type[2]
        body = elements(elements(wrapped[1])[0][1])
        self._before = b"".join(part[2] for part in body[:2])
        self._after = b"".join(part[2] for part in body[3:])
        data_type, cipher, content = elements(body[2][1])
        self._inner = data_type[2]
        self._cipher = elements(cipher[1])
        self.iv = self._cipher[1][1]
        self.ciphertext = content[1]

    def rebuilt(self, iv: bytes | None = None, ciphertext: bytes | None = None) -> bytes:
        """The object with another initialisation vector or ciphertext, under the same encrypted key."""
        cipher = tlv(0x30, self._cipher[0][2], tlv(0x04, self.iv if iv is None else iv))
        content = tlv(0x80, self.ciphertext if ciphertext is None else ciphertext)
        inner = tlv(0x30, self._inner, cipher, content)
        return tlv(0x30, self._outer, tlv(0xA0, tlv(0x30, self._before, inner, self._after)))


def flipped(data: bytes, place: int, bit: int = 1) -> bytes:
    return data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]


def stolen(**changes: Any) -> bytes:
    return container(original("carol@acme.example"), signer=signer_of(ANNA), **changes).encrypted


def test_the_pieces_fit(core: Core) -> None:
    """Rebuilt without a change, the container works: what follows is refused for its changes."""
    outcome, copies = core.send(carrier(Envelope(stolen()).rebuilt()), ANNA, [IME])
    assert isinstance(outcome, Accepted) and copies


@pytest.mark.parametrize("accepted_before", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_bits_of_the_ciphertext(core: Core, detached: bool, accepted_before: bool) -> None:
    der = stolen(detached=detached)
    if accepted_before:
        core.send(carrier(der), ANNA, [IME])
    envelope = Envelope(der)
    last = len(envelope.ciphertext) - 1
    places = [*range(BLOCK, last, max(1, last // 24)), last - 2 * BLOCK, last - BLOCK, last - BLOCK - 3, last - 5, last]
    heard = {
        reply(core, envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, place, bit)))
        for place in places
        for bit in (1, 0x80)
    }
    assert len(heard) == 1 and next(iter(heard)).startswith("554 5.6.0 ime-malformed"), heard


def test_every_way_of_not_being_opened_sounds_the_same(core: Core) -> None:
    der = stolen()
    envelope = Envelope(der)
    key_place = der.find(make.ime_key().x509.serial_number.to_bytes(20, "big").lstrip(b"\0")) + 60
    tampered = {
        "encrypted key": flipped(der, key_place),
        "no key of ours": make.encrypt(b"x", make.ime_key("x@ime.nowhere.example"), form="DER"),
        "padding": envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, len(envelope.ciphertext) - BLOCK - 1)),
        "half a block": envelope.rebuilt(ciphertext=envelope.ciphertext[:-3]),
        "nothing": envelope.rebuilt(ciphertext=b""),
        "a foreign block": envelope.rebuilt(ciphertext=os.urandom(4 * BLOCK)),
        "cut": der[:-40],
        "no CMS": os.urandom(300),
        "gcm": flipped(stolen(cipher="aes-256-gcm"), -20),
        "gcm tag": flipped(stolen(cipher="aes-256-gcm"), -1),
    }
    heard = {name: reply(core, changed) for name, changed in tampered.items()}
    assert len(set(heard.values())) == 1, heard
    assert "padding" not in heard["padding"] and "key of this address" in heard["padding"]


def test_padding_cannot_be_asked_for(core: Core) -> None:
    """Vaudenay: one block behind a vector of the attacker's choice, all values of a byte; one word is all they get."""
    envelope = Envelope(stolen())
    target = envelope.ciphertext[5 * BLOCK : 6 * BLOCK]
    heard = []
    for guess in range(256):
        heard.append(reply(core, envelope.rebuilt(iv=bytes(BLOCK - 1) + bytes([guess]), ciphertext=target)))
    common = max(set(heard), key=heard.count)
    assert sum(said != common for said in heard) <= 1
    assert common.startswith("554 5.6.0 ime-malformed")


def test_no_block_can_be_read_beside_an_intact_signature(core: Core) -> None:
    """EFAIL: noise and a foreign block inside an unsigned header, so that the signature stays good. What a block holds
    must not decide between accepted and refused."""
    der = stolen(shape="rfc822")
    core.send(carrier(der), ANNA, [IME])
    envelope = Envelope(der)
    blocks = [envelope.ciphertext[at : at + BLOCK] for at in range(0, len(envelope.ciphertext), BLOCK)]
    heard = set()
    for place in range(1, 6):
        for target in (blocks[0], blocks[7], blocks[-3]):
            mixed = [*blocks[:place], os.urandom(BLOCK), target, *blocks[place:]]
            heard.add(reply(core, envelope.rebuilt(ciphertext=b"".join(mixed))))
    assert len(heard) == 1 and next(iter(heard)).startswith("554 5.6.0 ime-malformed"), heard


def test_no_block_can_be_read_behind_the_end(core: Core) -> None:
    """The signed content whole, a foreign block behind it: padding right or wrong, one reply."""
    for detached in (False, True):
        der = stolen(detached=detached)
        core.send(carrier(der), ANNA, [IME])
        envelope = Envelope(der)
        target = envelope.ciphertext[3 * BLOCK : 4 * BLOCK]
        heard = {
            reply(
                core, envelope.rebuilt(ciphertext=envelope.ciphertext + os.urandom(BLOCK - 1) + bytes([byte]) + target)
            )
            for byte in range(0, 256, 5)
        }
        assert len(heard) == 1 and next(iter(heard)).startswith("554 5.6.0 ime-malformed"), heard


def test_a_sender_hears_the_truth_about_an_own_container(core: Core) -> None:
    """Users must learn that their mail was not signed; the same mail hears the same again, a changed one nothing."""
    der = make.encrypt(make.wrap(original()), make.ime_key(), form="DER")
    first = reply(core, der)
    assert first.startswith("554 5.7.1 ime-unsigned")
    assert [reply(core, der) for _ in range(3)] == [first] * 3
    changed = Envelope(der).rebuilt(iv=flipped(Envelope(der).iv, 3, 2))
    assert [reply(core, changed)[:24] for _ in range(3)] == ["554 5.6.0 ime-malformed:"] * 3
    assert reply(core, der) == first
    another = make.encrypt(make.wrap(original()), make.ime_key(), form="DER")
    assert reply(core, another) == first


def test_logs_tell_no_content(core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the evidence, and neither text nor subject of a container that was opened and refused."""
    for mail in (
        make.encrypt(make.wrap(original(subject="Zanzibar")), make.ime_key(), form="DER"),
        container(original("memo@ime.acme.example", subject="Zanzibar"), signer=signer_of(ANNA)).encrypted,
        stolen(shape="two"),
    ):
        outcome, _ = core.send(carrier(mail), ANNA, [IME])
        assert isinstance(outcome, Refused)
    printed = "".join(capsys.readouterr())
    assert printed.count("container refused") >= 2
    assert "Zanzibar" not in printed and make.MARKER not in printed
    events = repr(core.store.registry.events())
    assert "Zanzibar" not in events and make.MARKER not in events
