"""Damaged, foreign and monstrous containers at the IME address: one uniform refusal, or the very mail that was signed.

Every octet that an attacker may change is changed somewhere; what they send never raises, never fills the memory, and
what fails in opening sounds the same, whatever failed (no oracle).
"""

import base64
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from tests import cms_objects
from tests import container_mail as make
from tests.ber_forms import integer, oid, streamed, tlv
from tests.container_mail import ANNA, IME, MARKER, carrier, container, original, signer_of
from tests.core import Core, close, make_core

MIB = 1_048_576


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    make.pin(made, ANNA)
    yield made
    close(made)


@dataclass(frozen=True)
class Answer:
    """What the attacker hears."""

    reason: str
    detail: str
    temporary: bool


def ask(core: Core, mail: bytes) -> Answer | None:
    """The refusal; None when it was accepted, and then the mail is what Anna wrote, whole, to whom she wrote."""
    outcome, copies = core.send(mail, ANNA, [IME])
    if isinstance(outcome, Accepted):
        assert {copy.recipient for copy in copies} <= {"bob@acme.example", ANNA}
        assert all(copy.protection != "none" for copy in copies)
        return None
    assert isinstance(outcome, Refused) and copies == []
    assert MARKER not in outcome.detail
    return Answer(outcome.reason.value, outcome.detail, outcome.temporary)


@pytest.fixture
def foreign(core: Core) -> Answer:
    """What is said of a container that is for another key: nobody here can know more."""
    entity = make.sign(make.wrap(original()), signer_of(ANNA))
    answer = ask(core, carrier(make.encrypt(entity, signer_of(ANNA, 7), form="DER")))
    assert answer is not None and not answer.temporary and answer.reason == "ime-malformed"
    return answer


def flips(size: int, start: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Places and bits, spread over all octets behind `start`."""
    chosen = random.Random(seed)
    return [(chosen.randrange(start, size), 1 << chosen.randrange(8)) for _ in range(count)]


@pytest.mark.parametrize("detached", [False, True], ids=["opaque", "detached"])
@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_one_bit_anywhere(core: Core, foreign: Answer, cipher: str, detached: bool) -> None:
    """In the structure, the sealed key, the nonce, the ciphertext, the tag: closed, or the mail as it was. Under CBC
    the first change of the ciphertext that comes under its content key may be told what became of it."""
    honest = container(original(), signer=signer_of(ANNA), cipher=cipher, detached=detached).encrypted
    answers = []
    for place, bit in flips(len(honest), 0, 60, len(cipher) + detached):
        changed = bytearray(honest)
        changed[place] ^= bit
        answers.append(ask(core, carrier(bytes(changed))))
    assert foreign in answers
    told = [answer for answer in answers if answer not in (foreign, None)]
    assert len(told) <= (1 if cipher == "aes-256-cbc" else 0)
    assert all(answer is not None and answer.reason == "ime-bad-signature" for answer in told)


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_every_bit_of_the_last_octets(core: Core, foreign: Answer, cipher: str) -> None:
    """Where the padding and the tag are: a padding oracle would live here."""
    honest = container(original(), signer=signer_of(ANNA), cipher=cipher).encrypted
    answers = set()
    for back in (1, 2, 8, 16, 17, 18, 32, 33):
        for bit in range(0, 8, 3):
            changed = bytearray(honest)
            changed[-back] ^= 1 << bit
            answers.add(ask(core, carrier(bytes(changed))))
    assert answers == {foreign}


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_cut_or_prolonged(core: Core, foreign: Answer, cipher: str) -> None:
    honest = container(original(), signer=signer_of(ANNA), cipher=cipher).encrypted
    sizes = [*range(1, len(honest), len(honest) // 25), *range(len(honest) - 20, len(honest))]
    assert {ask(core, carrier(honest[:size])) for size in sizes} == {foreign}
    assert {ask(core, carrier(honest + tail)) for tail in (b"x", honest, b"\x30\x00")} == {foreign}


def test_the_sealed_key_says_nothing(core: Core, foreign: Answer) -> None:
    """Bleichenbacher's question, asked with any number, any length, and the key of the IME address itself."""
    honest = container(original(), signer=signer_of(ANNA)).encrypted
    at = honest.index(b"\x04\x82\x01\x00") + 4
    for sealed in (
        bytes(256),
        b"\xff" * 256,
        b"\x00\x02" + b"\x55" * 254,
        bytes(255) + b"\x01",
        honest[at + 9 :][:256],
    ):
        assert ask(core, carrier(honest[:at] + sealed + honest[at + 256 :])) == foreign
    key = make.ime_key().key
    public = key.public_key().public_numbers().n  # type: ignore[union-attr]
    for value in (public, public - 1, public + 1, public >> 1):
        sealed = value.to_bytes(256, "big")
        assert ask(core, carrier(honest[:at] + sealed + honest[at + 256 :])) == foreign


def test_the_cms_objects_of_others(core: Core, vectors: Path) -> None:
    """As the container, and as what is in a container of our own."""
    head = b"Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n"
    seen = 0
    for name, data in cms_objects.in_vectors(vectors):
        if len(data) > 100_000 or seen >= 60:
            continue
        seen += 1
        inner = (head + base64.encodebytes(data), data)
        for octets in (data, *(make.encrypt(entity, make.ime_key(), form="DER") for entity in inner)):
            answer = ask(core, carrier(octets))
            assert answer is not None and not answer.temporary, name
            # Whole signed mails are among them: of Alice, whom the carrier does not name.
            assert answer.reason.startswith("ime-") or answer.reason == "from-mismatch", name
    assert seen > 40


@pytest.mark.parametrize("form", ["pkcs7-mime", "octet-stream", "attachment"])
@pytest.mark.parametrize("body", [b"", b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"MII", bytes(1000)])
def test_stumps(core: Core, form: str, body: bytes) -> None:
    answer = ask(core, carrier(body, form=form))
    assert answer is not None and answer.reason == "ime-malformed" and not answer.temporary


def compressed(content: bytes) -> bytes:
    inside = tlv(0x30, oid(cms_objects.DATA), tlv(0xA0, tlv(0x04, content)))
    return cms_objects.content_info(
        "1.2.840.113549.1.9.16.1.9",
        tlv(0x30, integer(0), tlv(0x30, oid("1.2.840.113549.1.9.16.3.8")), inside),
    )


def zlib_bomb(size: int) -> bytes:
    stream = zlib.compressobj(9)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()


BOMBS: dict[str, Any] = {
    "257 MiB of zeros": lambda: compressed(zlib_bomb(256 * MIB) + zlib_bomb(MIB)),
    "a bomb in a bomb": lambda: compressed(zlib.compress(compressed(zlib_bomb(64 * MIB)))),
    "tiny segments": lambda: cms_objects.enveloped(
        cms_objects.key_transport(), content=cms_objects.encrypted_content(streamed(0xA0, tlv(0x04, b"x") * 500_000))
    ),
    "a million recipients": lambda: cms_objects.enveloped(*[cms_objects.key_transport(key=b"")] * 30_000),
    "depth": lambda: b"\x30\x80" * 500_000,
    "ends": lambda: b"\x30\x80" + bytes(2_000_000),
}


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_cost_what_they_weigh(core: Core, name: str, inside: bool) -> None:
    octets = BOMBS[name]()
    if inside:
        entity = carrier(octets).replace(b"enveloped-data", b"signed-data")
        mail = carrier(make.encrypt(entity, make.ime_key(), form="DER"))
    else:
        mail = carrier(octets)
    ask(core, carrier(b"\x30\x00"))  # what is kept from the first call on is not counted
    tracemalloc.start()
    try:
        answer = ask(core, mail)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer is not None and answer.reason.startswith("ime-") and not answer.temporary
    assert peak <= 32 * MIB + 5 * len(mail)


def test_base64_of_any_kind(core: Core, foreign: Answer) -> None:
    honest = container(original(), signer=signer_of(ANNA)).mail
    head, _, body = honest.partition(b"\n\n")
    for changed in (
        body[:-9],
        body.replace(b"\n", b"*\n", 1),
        body + b"AAAA\n",
        b"=" + body,
        body.replace(b"M", b"", 1),
    ):
        assert ask(core, head + b"\n\n" + changed) in (foreign, None)


def test_layers_without_end(core: Core) -> None:
    """Signed in signed in signed; multiparts in multiparts."""
    entity = make.wrap(original())
    for _ in range(12):
        entity = make.sign(entity, signer_of(ANNA))
    answer = ask(core, carrier(make.encrypt(entity, make.ime_key(), form="DER")))
    assert answer is not None and answer.reason == "ime-nested"
    deep = (
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\n\n--%d\n' % (n, n) for n in range(2_000)) + original()
    )
    signed = make.sign(deep, signer_of(ANNA))
    answer = ask(core, carrier(make.encrypt(signed, make.ime_key(), form="DER")))
    assert answer is not None and answer.reason.startswith("ime-") and not answer.temporary
