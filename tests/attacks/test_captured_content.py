"""Encrypted content of others, captured and sent in again: wrapped deeper, or changed for those who have got it.

The first would take away what tells the gateway that a partner's mail is bound to its recipients; the second makes a
reader's program send the text away (EFAIL, CVE-2017-17688), which no memory of recipients notices.
"""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ime_gateway.base.outcome import Accepted
from tests.cbc_envelope import CbcEnvelope
from tests.core import close, person
from tests.incoming_world import ANNA, BOB, BOLT, CANARY, CAROL, DOMAIN, KIM, Incoming, incoming
from tests.smime_mail import encrypted, mail, signed, text_entity

SIGNER = "domain-signing-authority@partner.example"
EVE = "eve@elsewhere.example"
BOUND_HEADER = ("From: Kim <kim@partner.example>", f"To: {ANNA}", "Subject: Real", "HP-Outer: Subject: [...]")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Incoming]:
    made = incoming(tmp_path)
    yield made
    close(made.core)


def bound_mail(*readers: str) -> bytes:
    content_type = 'text/plain; charset=utf-8; hp="cipher"'
    entity = text_entity(CANARY, *BOUND_HEADER, content_type=content_type)
    return encrypted(signed(entity, person(SIGNER)), *map(person, readers or (DOMAIN,)))


def wrapped(entity: bytes, times: int) -> bytes:
    for _ in range(times):
        entity = encrypted(entity, person(DOMAIN))
    return entity


def parts(entity: bytes) -> tuple[bytes, CbcEnvelope]:
    head, _, body = entity.partition(b"\n\n")
    return head, CbcEnvelope(base64.b64decode(body))


def sealed(world: Incoming, data: bytes, *to: str, sender: str = EVE) -> bool:
    """Every one of them gets it as it came, tagged."""
    outcome, copies = world.arrive(data, *to, sender=sender)
    assert isinstance(outcome, Accepted)
    assert not any(CANARY.encode() in copy.wire for copy in copies.values())
    reasons = {copy.reason for copy in copies.values()}
    return reasons == {"ciphertext-reused"} and all("[encrypted for others]" in one.unfolded for one in copies.values())


@pytest.mark.parametrize("times", [0, 1, 8, 9])
def test_bound_mail_stays_bound_however_deep_it_is_wrapped(world: Incoming, times: int) -> None:
    """Beyond ten layers its signature is not read any more."""
    world.partner(certificates=[person(SIGNER)], encryption="mandatory", bound_recipients=True)
    assert sealed(world, mail(wrapped(bound_mail(), times), EVE, BOB), BOB)


def test_a_signature_that_cannot_be_read_binds_nothing_away(world: Incoming) -> None:
    world.partner(certificates=[person(SIGNER)], encryption="mandatory", bound_recipients=True)
    broken = b"Content-Type: application/pkcs7-mime; smime-type=signed-data\n\n%%%%\n"
    assert sealed(world, mail(encrypted(broken, person(DOMAIN)), EVE, BOB), BOB)


def test_without_bound_partners_deep_mail_is_opened_as_far_as_it_goes(world: Incoming) -> None:
    world.partner(certificates=[person(SIGNER)], encryption="mandatory")
    _, copies = world.arrive(mail(wrapped(bound_mail(), 9), EVE, BOB), BOB, sender=EVE)
    assert copies[BOB].reason == "decrypted"


def changed(entity: bytes) -> bytes:
    """The first block of the text made another by its vector, which CBC lets anybody do who knows it."""
    head, envelope = parts(entity)
    before, after = b"Content-Type: te", b"\r\n<img src=//e/ "
    assert len(before) == len(after) == 16
    vector = bytes(a ^ b ^ c for a, b, c in zip(envelope.iv, before, after, strict=True))
    return head + b"\n\n" + base64.encodebytes(envelope.rebuilt(iv=vector))


@pytest.mark.parametrize("place", ["vector", "ciphertext", "cut short"])
def test_changed_content_is_opened_for_nobody_who_has_got_the_true_one(world: Incoming, place: str) -> None:
    entity = encrypted(text_entity(f"{CANARY} " * 20), person(DOMAIN), cipher="aes-256-cbc")
    _, copies = world.arrive(mail(entity, KIM, BOB), BOB)
    assert copies[BOB].reason == "decrypted"
    attack = changed(entity)
    if place != "vector":
        head, envelope = parts(entity)
        blocks = [envelope.ciphertext[at : at + 16] for at in range(0, len(envelope.ciphertext), 16)]
        kept = [*blocks[:5], *blocks[-5:]] if place == "cut short" else [*blocks[:6], *blocks[4:]]
        attack = head + b"\n\n" + base64.encodebytes(envelope.rebuilt(ciphertext=b"".join(kept)))
    with structlog.testing.capture_logs() as logs:
        assert sealed(world, mail(attack, KIM, BOB), BOB)
    (alert,) = [line for line in logs if line.get("alert")]
    assert alert["event"].startswith("ciphertext-reused") and "changed" in alert["cause"]
    assert sealed(world, mail(encrypted(attack, person(DOMAIN)), EVE, BOB), BOB), "inside a wrapping of his own"
    _, copies = world.arrive(mail(entity, KIM, BOB), BOB)
    assert copies[BOB].reason == "decrypted", "the true one comes again after a lost reply"


def test_changed_content_is_opened_for_nobody_beside_them_either(world: Incoming) -> None:
    """anna has got it by a key of her own; carol's own key stood in it as well, and she never got it."""
    entity = encrypted(text_entity(CANARY), person(ANNA), person(CAROL), cipher="aes-256-cbc")
    world.arrive(mail(entity, KIM, ANNA), ANNA)
    head, _, body = entity.partition(b"\n\n")
    assert sealed(world, mail(head + b"\n\n" + two_readers_changed(base64.b64decode(body)), KIM, ANNA), ANNA, CAROL)


def two_readers_changed(der: bytes) -> bytes:
    """Its vector stands before the ciphertext, which is the longest field and the last."""
    place = der.rindex(bytes.fromhex("0609608648016503040 12a0410".replace(" ", ""))) + 13
    return base64.encodebytes(der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :])


def test_a_mail_that_names_its_reader_may_not_be_changed_either(world: Incoming) -> None:
    """Mail in CBC of a partner's other program, whose recipients are bound: changed, its signature does not hold."""
    world.partner(certificates=[person(SIGNER)], encryption="mandatory", bound_recipients=True)
    content = signed(text_entity(CANARY, *BOUND_HEADER, content_type='text/plain; hp="cipher"'), person(SIGNER))
    entity = encrypted(content, person(DOMAIN), cipher="aes-256-cbc")
    _, copies = world.arrive(mail(entity, KIM, ANNA), ANNA)
    assert copies[ANNA].reason == "decrypted"
    head, envelope = parts(entity)
    vector = bytes([envelope.iv[0] ^ 1]) + envelope.iv[1:]
    attack = head + b"\n\n" + base64.encodebytes(envelope.rebuilt(iv=vector))
    assert sealed(world, mail(attack, EVE, ANNA), ANNA)


def test_keys_of_another_recipients_domain_open_nothing(world: Incoming) -> None:
    """P8 across domains: eve's domain key opens the wrapping that she made, and not acme's layer inside it."""
    inner = encrypted(text_entity(CANARY), person(DOMAIN))
    outer = encrypted(inner, person(DOMAIN), person(BOLT))
    insider = "eve@bolt.example"
    _, copies = world.arrive(mail(outer, KIM, BOB), BOB, insider)
    assert CANARY.encode() in copies[BOB].wire
    assert CANARY.encode() not in copies[insider].wire
    assert copies[insider].envelope != copies[BOB].envelope


@pytest.mark.parametrize("layer", ["outer", "inner"])
def test_each_layer_of_a_mail_is_remembered(world: Incoming, layer: str) -> None:
    """Whichever of them comes again for somebody else."""
    inner = encrypted(text_entity(CANARY), person(DOMAIN))
    outer = encrypted(inner, person(DOMAIN))
    world.arrive(mail(outer, KIM, ANNA), ANNA)
    assert sealed(world, mail(outer if layer == "outer" else inner, KIM, BOB), BOB)


def test_who_is_not_bound_has_no_share_in_what_others_are(world: Incoming) -> None:
    """Bound mail names anna: that she has got it makes it nobody else's, and unbound mail is not hers by the rule."""
    world.partner(certificates=[person(SIGNER)], encryption="mandatory", bound_recipients=True)
    entity = bound_mail()
    assert sealed(world, mail(entity, KIM, BOB), BOB), "it takes no place by having been tried"
    for _ in range(2):
        _, copies = world.arrive(mail(entity, KIM, ANNA), ANNA, BOB)
        assert copies[ANNA].reason == "decrypted" and copies[BOB].reason == "ciphertext-reused"


def test_bound_mail_to_two_whom_it_names_is_opened_in_turn(world: Incoming) -> None:
    """A partner sends one content by two ways: the second named reader is no stranger, an unnamed one is."""
    world.partner(certificates=[person(SIGNER)], encryption="mandatory", bound_recipients=True)
    header = [line if not line.startswith("To:") else f"To: {ANNA}, {CAROL}" for line in BOUND_HEADER]
    entity = text_entity(CANARY, *header, content_type='text/plain; hp="cipher"')
    entity = encrypted(signed(entity, person(SIGNER)), person(DOMAIN))
    for reader in (ANNA, CAROL):
        _, copies = world.arrive(mail(entity, KIM, reader), reader)
        assert copies[reader].reason == "decrypted", reader
    assert sealed(world, mail(entity, KIM, BOB), BOB)
