"""What an entry that Exchange shows means for Outlook: the published certificate, another one, or none."""

import time

import pytest

from addin_sim.address_list.ews_verify import Shown, judge
from addin_sim.address_list.publisher import Contact
from tests import pki
from tests.ime_contact import ADDRESS, DISPLAY_NAME, contact_of


@pytest.fixture(scope="module")
def contact() -> Contact:
    return contact_of()


def shown(
    contact: Contact | None, name: str = DISPLAY_NAME, kind: str = "Contact", **values: tuple[bytes, ...]
) -> Shown:
    smime = (contact.smime_value,) if contact else ()
    plain = (contact.certificate,) if contact else ()
    return Shown(name, ADDRESS, kind, values.get("smime", smime), values.get("plain", plain))


def test_the_published_certificate_is_good(contact: Contact) -> None:
    verdict = judge(contact, [shown(contact)], time.time())
    assert verdict.good
    assert contact.thumbprint[:23] in verdict.sentence
    assert verdict.remarks == ()
    assert verdict.certificate is not None
    assert verdict.certificate.source == "userSMIMECertificate"


def test_the_certificate_alone_is_good_too(contact: Contact) -> None:
    assert judge(contact, [shown(contact, smime=())], time.time()).good


def test_an_old_signed_value_beats_the_new_certificate(contact: Contact) -> None:
    new = contact_of()
    verdict = judge(new, [shown(new, smime=(contact.smime_value,))], time.time())
    assert not verdict.good
    assert "another certificate" in verdict.sentence
    assert contact.thumbprint[:23] in verdict.sentence


def test_nobody_and_somebody_else(contact: Contact) -> None:
    assert "does not show" in judge(contact, [], time.time()).sentence
    policy = Shown("_IME", "ime@acme.example", "Contact", (contact.smime_value,), ())
    verdict = judge(contact, [policy], time.time())
    assert not verdict.good
    assert "'_IME' <ime@acme.example>: another first address" in verdict.sentence


def test_twice(contact: Contact) -> None:
    verdict = judge(contact, [shown(contact), shown(contact, name="_IME old")], time.time())
    assert not verdict.good
    assert "2 entries" in verdict.sentence


def test_without_a_certificate(contact: Contact) -> None:
    verdict = judge(contact, [shown(None)], time.time())
    assert not verdict.good
    assert "without a certificate" in verdict.sentence


def test_expired_and_unreadable_ones_are_told_apart(contact: Contact) -> None:
    expired = pki.make_user(ADDRESS, expired=True)
    verdict = judge(contact, [shown(None, plain=(expired.der,), smime=(b"",))], time.time())
    assert not verdict.good
    assert "expired on" in verdict.sentence
    assert "holds no certificate" in verdict.sentence


def test_oddities_are_told(contact: Contact) -> None:
    old = contact_of()
    entry = shown(contact, name="IME", kind="Mailbox", plain=(contact.certificate, old.certificate))
    verdict = judge(contact, [entry], time.time())
    assert verdict.good
    text = " ".join(verdict.remarks)
    assert "is called 'IME' there" in text
    assert "does not begin with _" in text
    assert "takes it for a Mailbox" in text
    assert "1 other certificate" in text
