"""Key exchange with gateways of other makers: signed mail to the exchange address, made by openssl (SMG-4, T1).

Whatever comes waits for an administrator with the thumbprint in hand; nothing is forwarded, nothing is in force.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.admin.candidate_desk import Comparison
from ime_gateway.base.errors import UserError
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import PartnerDomain
from tests.core import close
from tests.exchange_world import ACME, Gateway, authority, foreign_mail, make_gateway
from tests.pki import make_ca, make_user, pkcs7_bundle

PARTNER = "partner.example"


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Gateway]:
    made = make_gateway(tmp_path, ACME)
    made.core.configure(lambda live: live.put_partner_domain(PartnerDomain(name=PARTNER), ()))
    yield made
    close(made.core)


def owners(acme: Gateway) -> list[tuple[str, str]]:
    return [(one.owner, one.kind) for one in acme.candidates()]


def give(acme: Gateway, mail: bytes, sender: str = f"admin@{PARTNER}") -> Any:
    return acme.takes(sender, acme.exchange, mail)


def test_domain_certificate_from_a_signed_mail_is_used_after_approval(acme: Gateway) -> None:
    theirs = authority(PARTNER)
    assert isinstance(give(acme, foreign_mail(theirs, f"admin@{PARTNER}", acme.exchange)), Accepted)
    assert owners(acme) == [(PARTNER, "domain")]
    assert acme.certificates_of(PARTNER) == []
    thumbprint = theirs.certificate.thumbprint
    digits = thumbprint.removeprefix("sha256:").upper()
    wrong = f"{digits[:8]}{'0000' if digits[8:12] != '0000' else '1111'}{digits[12:]}"
    with pytest.raises(UserError, match="group 3 of 16 is"):
        acme.candidate_desk.approve(thumbprint[:20], Comparison(wrong), "anna")
    assert acme.certificates_of(PARTNER) == [], "nothing half approved"
    spoken = " ".join(digits[start : start + 4] for start in range(0, 64, 4)).lower()
    done = acme.candidate_desk.approve(thumbprint[:20], Comparison(spoken, "Bob, +49 30 1", "phone"), "anna")
    assert (done.kind, done.allowed) == ("domain", True)
    assert acme.certificates_of(PARTNER) == [thumbprint]
    [check] = acme.look(lambda live: live.checks.list(thumbprint))
    assert (check.actor, check.person, check.method) == ("anna", "Bob, +49 30 1", "phone")
    assert acme.candidates() == []


@pytest.mark.parametrize("encrypted", [False, True])
def test_personal_certificate_waits_for_its_author(acme: Gateway, encrypted: bool) -> None:
    person = make_user(f"bob@{PARTNER}")
    reader = acme.key if encrypted else None
    give(acme, foreign_mail(person, f"bob@{PARTNER}", acme.exchange, reader=reader))
    assert owners(acme) == [(f"bob@{PARTNER}", "person")]
    acme.candidate_desk.approve(person.certificate.thumbprint, Comparison(person.certificate.thumbprint), "anna")
    [entry] = acme.look(lambda live: live.certificates(address=f"bob@{PARTNER}"))
    assert entry.certificate == person.certificate


def test_gateway_certificate_can_be_approved_for_its_domain(acme: Gateway) -> None:
    """Other makers have no names of RFC 3183: an address of the gateway's own, which only a person can judge."""
    theirs = make_user(f"securemail@{PARTNER}")
    give(acme, foreign_mail(theirs, f"securemail@{PARTNER}", acme.exchange))
    assert owners(acme) == [(f"securemail@{PARTNER}", "person")]
    thumbprint = theirs.certificate.thumbprint
    acme.candidate_desk.approve(thumbprint, Comparison(thumbprint), "anna", kind="domain")
    assert acme.certificates_of(PARTNER) == [thumbprint]


def test_attached_certificates_of_the_same_domain_wait_too(acme: Gateway) -> None:
    root = make_ca("Partner Root")
    signing, following, foreign = authority(PARTNER), authority(PARTNER, issuer=root), authority("evil.example")
    bundle = pkcs7_bundle([following, foreign, root], pem=True).replace(b"\n", b"\r\n")
    content = b'Content-Type: application/x-pkcs7-certificates; name="certs.p7b"\r\n\r\n' + bundle
    give(acme, foreign_mail(signing, f"admin@{PARTNER}", acme.exchange, content=content))
    brought = {one.certificate for one in acme.candidates()}
    assert brought == {signing.certificate, following.certificate}


def test_mail_that_nobody_signed_is_refused_with_a_sentence(acme: Gateway) -> None:
    outcome = give(acme, b"From: admin@partner.example\nSubject: hi\n\nPlease take our certificate.\n")
    assert isinstance(outcome, Refused) and outcome.reason == "key-exchange"
    assert "only mail that is signed" in outcome.detail


def test_report_to_the_exchange_address_is_swallowed(acme: Gateway) -> None:
    report = b"From: mailer-daemon@partner.example\nSubject: failed\n\nYour mail could not be delivered.\n"
    assert isinstance(give(acme, report, ""), Accepted)
    assert acme.candidates("") == []


@pytest.mark.parametrize(
    ("signer", "author"),
    [
        ("bob@partner.example", "bob@other.example"),
        ("domain-confidentiality-authority@evil.example", "admin@partner.example"),
        ("anna@acme.example", "anna@acme.example"),
        ("domain-confidentiality-authority@acme.example", "anna@acme.example"),
    ],
)
def test_certificate_of_somebody_else_or_of_ours_is_not_kept(acme: Gateway, signer: str, author: str) -> None:
    assert isinstance(give(acme, foreign_mail(make_user(signer), author, acme.exchange)), Accepted)
    assert acme.candidates("") == []
    assert "nothing was taken" in acme.last_line()


def test_changed_mail_brings_nothing(acme: Gateway) -> None:
    mail = foreign_mail(authority(PARTNER), f"admin@{PARTNER}", acme.exchange)
    changed = mail.replace(b"in the signature", b"on the moon", 1)
    assert changed != mail
    assert isinstance(give(acme, changed), Accepted)
    assert acme.candidates("") == []
    assert "is not what was signed" in acme.last_line()


def test_signature_outside_the_encryption_proves_no_author(acme: Gateway) -> None:
    inside = foreign_mail(None, "x@x", "y@y", content=b"Content-Type: text/plain\r\n\r\nhi\r\n", reader=acme.key)
    entity = inside[inside.index(b"MIME-Version") :]
    give(acme, foreign_mail(authority(PARTNER), f"admin@{PARTNER}", acme.exchange, content=entity))
    assert acme.candidates("") == []
    assert "not signed" in acme.last_line()


def test_denied_certificate_is_not_even_kept(acme: Gateway) -> None:
    theirs = authority(PARTNER)
    acme.core.configure(lambda live: live.put_trust(TrustEntry(theirs.certificate.thumbprint, "deny")))
    give(acme, foreign_mail(theirs, f"admin@{PARTNER}", acme.exchange))
    assert acme.candidates("") == []


def test_trusted_certificate_is_joined_and_never_replaced(acme: Gateway) -> None:
    """Threat 66: the certificate in force stays in force, whatever comes, until a person approves another one."""
    known, poison = authority(PARTNER), authority(PARTNER)
    acme.core.configure(lambda live: live.put_partner_domain(PartnerDomain(name=PARTNER), (known.certificate,)))
    give(acme, foreign_mail(poison, f"admin@{PARTNER}", acme.exchange))
    assert acme.certificates_of(PARTNER) == [known.certificate.thumbprint]
    assert owners(acme) == [(PARTNER, "domain")]
    give(acme, foreign_mail(known, f"admin@{PARTNER}", acme.exchange))
    assert [one.certificate for one in acme.candidates("")] == [poison.certificate], "what is in force waits for nobody"


def test_rejected_certificate_does_not_come_back(acme: Gateway) -> None:
    theirs = authority(PARTNER)
    mail = foreign_mail(theirs, f"admin@{PARTNER}", acme.exchange)
    give(acme, mail)
    acme.candidate_desk.reject(theirs.certificate.thumbprint, "anna")
    give(acme, mail)
    assert [one.state for one in acme.candidates("")] == ["rejected"]


def test_one_sender_brings_ten_a_day(acme: Gateway) -> None:
    for number in range(12):
        person = make_user(f"p{number}@{PARTNER}", kind="p256")
        give(acme, foreign_mail(person, f"p{number}@{PARTNER}", acme.exchange), "flood@partner.example")
    assert len(acme.candidates("")) == 10
    give(acme, foreign_mail(make_user(f"x@{PARTNER}", kind="p256"), f"x@{PARTNER}", acme.exchange), "other@x.example")
    assert len(acme.candidates("")) == 11
