"""Whoever captures an IME 2.0 container, on the wire, in a queue file or in Exchange, can do nothing with it.

The attacker may submit mail as any insider through the mail server, knows every public certificate, and sees every
reply. What they try here must give no new reader, no second delivery, no foreign name, and no word about the content.
"""

import base64
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.certs.certificate import Certificate
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.smtp.relay_permission import may_relay
from tests import container_mail as make
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, allow, close, make_core
from tests.pki import make_user

MALLORY = "bob@acme.example"
"""An insider with a mailbox, a certificate and a pin of his own."""
DAY = 86_400


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    make.pin(made, ANNA)
    make.pin(made, MALLORY)
    yield made
    close(made)


def captured(**changes: Any) -> make.Carried:
    return container(original("carol@acme.example", Bcc="dora@acme.example"), signer=signer_of(ANNA), **changes)


def send(core: Core, mail: bytes, sender: str = ANNA, to: list[str] | None = None, **more: Any) -> Any:
    return core.send(mail, sender, to or [IME], **more)


def refused(core: Core, mail: bytes, reason: str, sender: str = ANNA, to: list[str] | None = None) -> Refused:
    outcome, copies = send(core, mail, sender, to)
    assert copies == []
    assert isinstance(outcome, Refused), outcome
    assert (outcome.reason.value, outcome.temporary) == (reason, False), outcome
    return outcome


def test_the_container_works_for_its_sender(core: Core) -> None:
    """Without this, every refusal below would prove nothing."""
    outcome, copies = send(core, captured().mail)
    assert isinstance(outcome, Accepted)
    assert [copy.recipient for copy in copies] == ["carol@acme.example", "dora@acme.example", ANNA]


def test_again_from_its_sender_is_no_failure_and_no_second_delivery(core: Core) -> None:
    mail = captured().mail
    first, _ = send(core, mail)
    again, copies = send(core, mail)
    assert copies == [] and again == replace(first, duplicate=True)
    events = [event.event for event in core.store.registry.events(id=first.message_id)]
    assert events == ["accepted"] * 3 + ["duplicate"]


@pytest.mark.parametrize("sender", [MALLORY, "dora@acme.example"])
def test_again_from_somebody_else(core: Core, sender: str) -> None:
    stolen = captured()
    assert isinstance(send(core, stolen.mail)[0], Accepted)
    refused(core, stolen.mail, "ime-replay", sender)
    refused(core, carrier(stolen.encrypted, sender), "ime-replay", sender)


@pytest.mark.parametrize("sender", [MALLORY, "dora@acme.example"])
def test_first_from_somebody_else(core: Core, sender: str) -> None:
    """The original was held back: the thief is first."""
    stolen = captured()
    refused(core, stolen.mail, "from-mismatch", sender)
    refused(core, carrier(stolen.encrypted, sender), "from-mismatch", sender)
    assert isinstance(send(core, stolen.mail)[0], Accepted)


def test_own_name_in_the_carrier_beside_the_victims(core: Core) -> None:
    stolen = captured()
    mail = carrier(stolen.encrypted, ANNA, extra=(f"Sender: {MALLORY}",))
    refused(core, mail, "from-mismatch", MALLORY)
    refused(core, mail, "from-mismatch")
    assert refused(core, carrier(stolen.encrypted, f"{ANNA}, {MALLORY}"), "from-ambiguous")


def test_an_added_recipient(core: Core) -> None:
    stolen = captured()
    others = ("bob@acme.example", "thief@partner.example", "thief@nowhere.example")
    for added in (*others, "memo@ime.acme.example", "ime@imepseudodomain.local"):
        for to in ([IME, added], [added, IME]):
            outcome = refused(core, stolen.mail, "ime-malformed", to=to)
            assert "goes to the IME address alone" in outcome.detail
            assert outcome.address == (IME if added.startswith("memo@") and to[0] == added else added)
    assert isinstance(send(core, stolen.mail)[0], Accepted)


@pytest.mark.parametrize("accepted_before", [False, True])
def test_who_is_inside_cannot_be_asked(core: Core, accepted_before: bool) -> None:
    """One more recipient: a blind one, a visible one and a stranger get the same words, before anything is opened."""
    stolen = captured()
    if accepted_before:
        assert isinstance(send(core, stolen.mail)[0], Accepted)
    said = set()
    for guess in ("carol@acme.example", "dora@acme.example", "emil@acme.example", ANNA):
        for data in (stolen.mail, carrier(b"\x30\x00")):
            outcome = refused(core, data, "ime-malformed", to=[IME, guess])
            assert outcome.address == guess
            said.add(outcome.detail)
    assert len(said) == 1


def test_another_path(core: Core) -> None:
    """Only the internal listener's IME address opens it; elsewhere it passes shut, or not at all."""
    stolen = captured()
    submission = core.submission(stolen.mail, ANNA, [IME], "internet")
    facts = core.run(core.receiver.may_mail(submission.session, submission.sender))
    denied = may_relay("internet", submission.sender, submission.recipients[0].address, facts, [])
    assert denied is not None and denied.reason.value == "relay-denied"
    outcome, copies = send(core, stolen.mail, listener="internet")
    assert isinstance(outcome, Accepted)  # had the door not refused it: shut, to nobody but its own address
    assert [copy.recipient for copy in copies] == [IME]
    refused(core, stolen.mail, "ime-malformed", to=["ime@imepseudodomain.local"])
    for reader in (MALLORY, "thief@nowhere.example"):
        outcome, copies = send(core, stolen.mail, MALLORY, [reader])
        assert [copy.protection for copy in copies] == ["none"]
        assert b"orchid" not in copies[0].wire
        assert base64.encodebytes(stolen.encrypted)[:60] in copies[0].wire


def test_another_ime_domain(core: Core) -> None:
    """The key of one IME address never opens what was sent to another (P8)."""
    make.setup(core, domain="other.example", ime_address="memo@ime.other.example")
    assert isinstance(send(core, captured().mail)[0], Accepted)  # the key of acme.example is at hand now
    stolen = captured()
    refused(core, stolen.mail, "ime-malformed", to=["memo@ime.other.example"])
    assert isinstance(send(core, stolen.mail)[0], Accepted)


def test_a_domain_without_an_ime_address_is_no_way_around(core: Core) -> None:
    core.configure(lambda live: live.put_managed_domain(ManagedDomain(name="b.example", deliver_to="mx"), ()))
    refused(core, captured().mail, "method-not-available", to=["x@ime.b.example"])


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_a_new_wrapping_around_the_same_signed_part(core: Core, cipher: str) -> None:
    stolen = captured()
    send(core, stolen.mail)
    again = carrier(make.encrypt(stolen.signed, make.ime_key(), cipher=cipher, form="DER"))
    outcome, copies = send(core, again)
    assert isinstance(outcome, Accepted) and copies == []
    refused(core, again, "ime-replay", MALLORY)


def test_surreptitious_forwarding(core: Core) -> None:
    """A reader of the signed part seals it to another IME address: it still speaks for Anna alone, once."""
    make.setup(core, domain="other.example", ime_address="memo@ime.other.example")
    stolen = captured()
    forwarded = make.encrypt(stolen.signed, make.ime_key("memo@ime.other.example"), form="DER")
    refused(core, carrier(forwarded, MALLORY), "from-mismatch", MALLORY, ["memo@ime.other.example"])
    send(core, stolen.mail)
    refused(core, carrier(forwarded, MALLORY), "ime-replay", MALLORY, ["memo@ime.other.example"])
    outcome, copies = send(core, carrier(forwarded), to=["memo@ime.other.example"])
    assert isinstance(outcome, Accepted) and copies == []


def test_the_signature_stripped(core: Core) -> None:
    bare = make.encrypt(make.wrap(original()), make.ime_key(), form="DER")
    refused(core, carrier(bare), "ime-unsigned")


def test_an_own_signature_over_a_foreign_original(core: Core) -> None:
    """Bob has read Anna's mail and says it again in her name, or in his own carrier."""
    inner = original("carol@acme.example")
    refused(core, container(inner, signer=signer_of(MALLORY)).mail, "ime-signer-mismatch")
    refused(core, container(inner, signer=signer_of(MALLORY), sender=MALLORY).mail, "from-mismatch", MALLORY)
    nameless = make_user("nobody@nowhere.example", san=False, common_name="Anna")
    refused(core, container(inner, signer=nameless).mail, "ime-signer-mismatch")


def test_a_second_signature_beside_the_first(core: Core) -> None:
    for pair in ((signer_of(ANNA), signer_of(MALLORY)), (signer_of(MALLORY), signer_of(ANNA))):
        for detached in (False, True):
            signed = make.sign(make.wrap(original()), *pair, detached=detached)
            refused(core, carrier(make.encrypt(signed, make.ime_key(), form="DER")), "ime-bad-signature")


def test_a_text_beside_the_signed_part(core: Core) -> None:
    """Signed is one part of three: what a reader would see is more than what was signed."""
    signed = make.sign(make.wrap(original()), signer_of(ANNA), detached=True)
    for frame in (_beside(signed), signed.replace(b"--\n", b"--\nFrom: boss@acme.example\n\nTransfer it.\n")):
        outcome, copies = send(core, carrier(make.encrypt(frame, make.ime_key(), form="DER")))
        assert copies == [] and isinstance(outcome, Refused)
        assert outcome.reason.value in ("ime-bad-signature", "ime-unsigned", "ime-malformed")


def _beside(signed: bytes) -> bytes:
    edge = b"--beside"
    text = b"Content-Type: message/rfc822\n\n" + original("emil@acme.example")
    return b"\n".join(
        [b'Content-Type: multipart/mixed; boundary="beside"', b"", edge, signed, edge, text, edge + b"--", b""]
    )


@pytest.mark.parametrize("days", [-8, 8, 400])
def test_old_and_future_containers(core: Core, days: int) -> None:
    """Seven days for an offline Outbox, one day for a wrong clock, whatever the certificate allows. From the future is
    temporary: the wrong clock may be ours. Both times are told."""
    long_lived = make_user(ANNA, not_before=make.LONG_AGO, not_after=make.FAR_AWAY)
    make.pin(core, ANNA, long_lived.certificate)
    mail = container(original(), signer=long_lived).mail
    submission = replace(core.submission(mail, ANNA, [IME]), received_at=time.time() + days * DAY)
    outcome = core.run(core.receiver.receive(submission))
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-too-old", outcome
    assert outcome.temporary is (days < 0)
    here, there = (
        datetime.fromtimestamp(at, UTC) for at in (submission.received_at - days * DAY, submission.received_at)
    )
    assert f"signed {here:%Y-%m-%d}T" in outcome.detail and f"clock says {there:%Y-%m-%dT%H:%MZ}" in outcome.detail


@pytest.mark.parametrize(
    "days, passes", [(0, True), (-6.9, True), (6.9, True), (-7.1, False), (7.1, False), (-4000, False)]
)
def test_old_mail_forwarded_under_a_fresh_signature(core: Core, days: float, passes: bool) -> None:
    """Anna attaches an old mail of hers to a signed one; its reader makes a container of that: it is not sent anew."""
    old = original("carol@acme.example", Date=formatdate(time.time() + days * DAY))
    stolen = container(old, signer=signer_of(ANNA), shape="mixed").mail
    if passes:
        assert isinstance(send(core, stolen)[0], Accepted)
    else:
        assert "dated more than 7 days" in refused(core, stolen, "ime-too-old").detail


@pytest.mark.parametrize(
    "date", [b"", b"Date: yesterday\n", b"Date:\n", b"Date: %(now)s\nDate: %(now)s\n", b"Date: " + b"1 " * 500]
)
def test_a_message_without_one_readable_date(core: Core, date: bytes) -> None:
    """RFC 5322 section 3.6 demands one; without it nobody could tell old mail."""
    now = formatdate(time.time()).encode()
    said = date % {b"now": now} if b"%" in date else date
    inner = original("carol@acme.example").replace(b"Date: " + now + b"\n", said.rstrip(b"\n") + b"\n" if said else b"")
    outcome = refused(core, container(inner, signer=signer_of(ANNA)).mail, "ime-malformed")
    assert "Date" in outcome.detail and "yesterday" not in outcome.detail


@pytest.mark.parametrize("days", [-0.9, 6.9])
def test_inside_the_window(core: Core, days: float) -> None:
    long_lived = make_user(ANNA, not_before=make.LONG_AGO, not_after=make.FAR_AWAY)
    make.pin(core, ANNA, long_lived.certificate)
    mail = container(original(), signer=long_lived).mail
    submission = replace(core.submission(mail, ANNA, [IME]), received_at=time.time() + days * DAY)
    assert isinstance(core.run(core.receiver.receive(submission)), Accepted)


def test_without_a_signing_time(core: Core) -> None:
    signed = make.sign(make.wrap(original()), signer_of(ANNA), arguments=("-noattr",))
    refused(core, carrier(make.encrypt(signed, make.ime_key(), form="DER")), "ime-bad-signature")


def test_a_weak_signature(core: Core) -> None:
    for digest in ("sha1", "sha224"):
        signed = make.sign(make.wrap(original()), signer_of(ANNA), arguments=("-md", digest))
        refused(core, carrier(make.encrypt(signed, make.ime_key(), form="DER")), "ime-bad-signature")
    expired = make_user(ANNA, expired=True)
    make.pin(core, ANNA, expired.certificate)
    refused(core, container(original(), signer=expired).mail, "ime-bad-signature")


@pytest.mark.parametrize("mode", ["confirm", "directory", "registered", "first-use"])
def test_another_persons_pin(core: Core, mode: str) -> None:
    """Mallory's pin is for Mallory, and a certificate that names Anna too becomes hers only when her mailbox agrees."""
    make.setup(core, mode)
    refused(
        core,
        container(original(), signer=signer_of(MALLORY)).mail,
        "ime-signer-mismatch",
    )
    forged = make_user(ANNA)
    make.pin(core, MALLORY, forged.certificate)
    outcome, copies = send(core, container(original(), signer=forged).mail)
    assert copies == [] and isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown"
    assert all(
        thumbprint != forged.certificate.thumbprint or state == "pending" for thumbprint, state, _ in make.pins(core)
    )


@pytest.mark.parametrize("state", ["pending", "revoked"])
def test_a_namesake_of_the_signers_certificate(core: Core, state: Any) -> None:
    """A forged certificate with issuer and serial number of Anna's must not make hers ambiguous."""
    own = signer_of(ANNA)
    key = make_user(ANNA).key
    builder = x509.CertificateBuilder(extensions=list(own.x509.extensions)).public_key(key.public_key())
    builder = builder.subject_name(own.x509.subject).issuer_name(own.x509.issuer)
    builder = builder.not_valid_before(own.x509.not_valid_before_utc).not_valid_after(own.x509.not_valid_after_utc)
    twin = builder.serial_number(own.x509.serial_number).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    make.pin(core, ANNA, Certificate.from_der(twin.public_bytes(serialization.Encoding.DER)), state)
    assert isinstance(send(core, captured().mail)[0], Accepted)


@pytest.mark.parametrize("mode", ["confirm", "directory", "registered", "first-use"])
def test_a_revoked_pin(core: Core, mode: str) -> None:
    """Revoked beats the directory, a trusted CA and the trust list."""
    make.setup(core, mode)
    core.configure(lambda live: live.put_certificate(signer_of(ANNA).certificate, (ANNA,), None))
    core.configure(lambda live: allow(live, signer_of(ANNA)))
    make.pin(core, ANNA, state="revoked")
    refused(core, captured().mail, "ime-signer-unknown")


@pytest.mark.parametrize("inside", ["container", "signed"])
def test_a_container_in_a_container(core: Core, inside: str) -> None:
    stolen = captured()
    mail = stolen.mail if inside == "container" else stolen.signed
    for shape in ("rfc822", "message") if inside == "container" else ("message",):
        refused(core, container(mail, signer=signer_of(ANNA), shape=shape).mail, "ime-nested")
    refused(
        core,
        carrier(make.encrypt(make.encrypt(stolen.signed, make.ime_key()), make.ime_key(), form="DER")),
        "ime-nested",
    )


def _unlabelled(how: str) -> bytes:
    """A mail that is a container itself, without a word about what is in it; CRLF line ends."""
    inner = carrier(captured().encrypted, to="carol@acme.example").replace(b"\n", b"\r\n")
    inner = re.sub(rb"; smime-type=[\w-]+", b"", inner)
    head, _, body = inner.partition(b"\r\n\r\n")
    encoding = b"Content-Transfer-Encoding: base64"
    match how:
        case "comment":
            head = head.replace(encoding, encoding + b" (x)")
        case "7bit over base64":
            head = head.replace(encoding, b"Content-Transfer-Encoding: 7bit")
        case "quoted":
            head = head.replace(encoding, b'Content-Transfer-Encoding: "base64"')
        case "a.p7z":
            head = re.sub(rb"Content-Type: [^\r\n]*", b"Content-Type: application/octet-stream; name=a.p7z", head)
        case "der":
            head, body = head.replace(b"\r\n" + encoding, b""), base64.decodebytes(body)
        case "blank lines":
            body = b"\r\n" * 110 + body
    return head + b"\r\n\r\n" + body


_HOW = ["as it is", "comment", "7bit over base64", "quoted", "a.p7z", "der", "blank lines"]


@pytest.mark.parametrize("shape", ["rfc822", "message"])
@pytest.mark.parametrize("how", _HOW)
def test_a_container_in_a_container_that_is_not_labelled_so(core: Core, how: str, shape: str) -> None:
    """The octets say what it is, whatever their label."""
    entity = make.wrap(_unlabelled(how), shape)
    if shape == "rfc822":
        entity = entity.replace(b"\n\n", b"\r\n\r\n", 1)
    signed = make.sign(entity, signer_of(ANNA), arguments=("-binary",))
    refused(core, carrier(make.encrypt_binary(signed.replace(b"\n", b"\r\n"), make.ime_key())), "ime-nested")


def test_a_container_attached_to_a_forwarded_message_is_not_opened(core: Core) -> None:
    """An attached mail is a document, not the carrier: what hangs on it is nobody's container."""
    stolen = captured().mail
    edge = b"--f"
    head = b"From: anna@acme.example\nSubject: Fwd\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=f\n\n"
    forwarded = head + edge + b"\nContent-Type: message/rfc822\n\n" + stolen + b"\n" + edge + b"--\n"
    refused(core, forwarded, "ime-malformed")


@pytest.mark.parametrize("more", [b"; boundary=a; boundary=b", b";\n a=b" * 201], ids=["two boundaries", "flood"])
def test_an_unsigned_type_that_cannot_be_read(core: Core, more: bytes) -> None:
    """An answer, not an internal error that the mail server would provoke again and again."""
    entity = b"Content-Type: multipart/mixed" + more + b"\n\n--a\n\nx\n"
    refused(core, container(entity, signer=None, shape="message").mail, "ime-bad-signature")
