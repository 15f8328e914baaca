"""Finding and opening a container: which carriers hold one, what they hold, and what is refused unseen."""

import os
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.ime.ciphertext import Ciphertext
from ime_gateway.ime.container import ContainerFault, OpenedContainer, Unlocked, open_unlocked, unlock
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.structures import CmsLimits
from tests import container_mail as make
from tests.cbc_envelope import CbcEnvelope, flipped
from tests.cms_objects import compressed
from tests.container_mail import ANNA, carrier, container, ime_key, original, signer_of
from tests.pki import make_user


def unlocked(mail: bytes) -> Unlocked:
    key = OwnedKey.from_pkcs8(ime_key().certificate, ime_key().key_der)
    message = parse_message(mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    return unlock(message, [key], CmsLimits(), os.urandom)


def opened(mail: bytes, *known: Any) -> OpenedContainer | ContainerFault:
    return open_unlocked(unlocked(mail), known, CmsLimits())


def fault(mail: bytes, reason: str) -> ContainerFault:
    found = opened(mail)
    assert isinstance(found, ContainerFault), found
    assert found.reason.value == reason, found
    return found


@pytest.mark.parametrize("form", ["pkcs7-mime", "x-pkcs7-mime", "octet-stream", "attachment"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-gcm"])
def test_carriers(form: str, cipher: str) -> None:
    found = opened(container(original(), signer=signer_of(ANNA), form=form, cipher=cipher).mail)
    assert isinstance(found, OpenedContainer) and found.encrypted
    assert found.signature.certificate == signer_of(ANNA).certificate
    assert b"orchid" in bytes(found.entity.body)


def test_who_else_can_read_it_does_not_matter() -> None:
    """Several recipient infos are normal: the add-in encrypts to the IME key and to the sender's own."""
    mail = container(original(), signer=signer_of(ANNA), own=signer_of(ANNA)).mail
    assert isinstance(opened(mail), OpenedContainer)


def test_an_answer_may_be_signed_only() -> None:
    for detached in (True, False):
        found = opened(make.sign(b"Content-Type: text/plain\n\nyes\n", signer_of(ANNA), detached=detached))
        assert isinstance(found, OpenedContainer) and not found.encrypted


def test_a_certificate_that_is_not_carried() -> None:
    signed = make.sign(make.wrap(original()), signer_of(ANNA), arguments=("-nocerts",))
    mail = carrier(make.encrypt(signed, ime_key(), form="DER"))
    fault(mail, "ime-bad-signature")
    assert isinstance(opened(mail, signer_of(ANNA).certificate), OpenedContainer)


def test_no_container() -> None:
    assert "not encrypted" in fault(original(), "ime-malformed").detail
    assert "not encrypted" in fault(b"From: a@b.example\n\n", "ime-malformed").detail
    invitation = original().replace(b"text/plain; charset=utf-8", b"text/calendar; method=REQUEST")
    fault(invitation, "ime-calendar")
    fault(make.wrap(original(), "mixed"), "ime-malformed")


def test_winmail() -> None:
    mail = EmailMessage()
    mail["From"] = ANNA
    mail.set_content("x")
    mail.add_attachment(b"\x78\x9f\x3e\x22", maintype="application", subtype="ms-tnef", filename="winmail.dat")
    fault(mail.as_bytes(), "ime-tnef")


def test_two_containers_on_one_carrier() -> None:
    mail = EmailMessage()
    mail["From"] = ANNA
    mail.set_content("x")
    for _ in range(2):
        der = container(original(), signer=signer_of(ANNA)).encrypted
        mail.add_attachment(der, maintype="application", subtype="pkcs7-mime", filename="smime.p7m")
    assert "several" in fault(mail.as_bytes(), "ime-malformed").detail


def test_a_signature_that_does_not_fit() -> None:
    signed = make.sign(make.wrap(original()), signer_of(ANNA), detached=True).replace(b"orchid", b"tulips")
    for cipher in ("aes-256-gcm", "aes-256-cbc"):
        fault(carrier(make.encrypt(signed, ime_key(), cipher=cipher, form="DER")), "ime-bad-signature")


def test_what_the_ledger_is_asked_about() -> None:
    """Cipher, vector and ciphertext, opened or not; nothing where a tag vouches for them or nothing is sealed."""
    envelope = CbcEnvelope(container(original(), signer=signer_of(ANNA)).encrypted)
    end = len(envelope.ciphertext) - 1
    changed = (
        envelope.rebuilt(iv=flipped(envelope.iv, 0)),
        envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, 0)),
        envelope.rebuilt(ciphertext=flipped(envelope.ciphertext, end)),
        envelope.rebuilt(ciphertext=envelope.ciphertext[:-16]),
        envelope.rebuilt(ciphertext=b""),
        envelope.rebuilt().replace(bytes.fromhex("60864801650304012a"), bytes.fromhex("608648016503040116")),  # AES-192
    )
    names = [unlocked(carrier(der)).sealed for der in (envelope.rebuilt(), *changed)]
    assert len({name.ciphertext_digest for name in names if name}) == len(names)
    assert len({name.key_digest for name in names if name}) == 1
    again = unlocked(carrier(envelope.rebuilt(segments=7), form="attachment")).sealed
    assert again == names[0] != unlocked(container(original(), signer=signer_of(ANNA)).mail).sealed
    for mail in (
        container(original(), signer=signer_of(ANNA), cipher="aes-256-gcm").mail,
        make.sign(make.wrap(original()), signer_of(ANNA)),
        carrier(make.encrypt(b"x", make.signer_of(ANNA), form="DER")),
        original(),
    ):
        assert unlocked(mail).sealed is None


def test_the_ledger_is_asked_for_keys_on_curves_too() -> None:
    """Key agreement (RFC 5753): the wrapped content key names it as an encrypted one does."""
    reader = make_user("dca@ime.acme.example", kind="ec")
    key = OwnedKey.from_pkcs8(reader.certificate, reader.key_der)

    def tried(der: bytes) -> Unlocked:
        message = parse_message(carrier(der).replace(b"\n", b"\r\n"))
        return unlock(message, [key], CmsLimits(), os.urandom)

    def sealed(der: bytes) -> Ciphertext | None:
        return tried(der).sealed

    first, second = (CbcEnvelope(make.encrypt(make.wrap(original()), reader, form="DER")) for _ in range(2))
    name, changed = sealed(first.rebuilt()), sealed(first.rebuilt(iv=flipped(first.iv, 0)))
    assert name is not None and changed is not None and sealed(second.rebuilt()) is not None
    assert name.key_digest == changed.key_digest and name.ciphertext_digest != changed.ciphertext_digest
    both = tried(first.rebuilt(recipients=(first.recipient, second.recipient)))
    assert both.sealed is None and isinstance(both.found, ContainerFault)


def test_noise_sounds_like_what_does_not_open() -> None:
    """A wrong key and CBC come out as noise at times; under GCM a sender hears what is missing."""
    for noise in (
        os.urandom(200),
        b"",
        b"no header at all",
        b"Subject: x\n\nno type\n",
        b"\xff\r\xffContent-Type: a/b",
    ):
        for cipher, reason in (("aes-256-cbc", "ime-malformed"), ("aes-256-gcm", "ime-")):
            found = opened(carrier(make.encrypt_binary(noise, ime_key(), cipher=cipher)))
            assert isinstance(found, ContainerFault) and found.reason.value.startswith(reason)
            if cipher == "aes-256-cbc":
                assert found.detail == fault(carrier(b"x"), "ime-malformed").detail


def test_several_content_keys_for_one_ciphertext() -> None:
    """Whoever adds a key of their own could tell from the answer under which of the two the padding is right."""
    double = make.encrypt(make.sign(make.wrap(original()), signer_of(ANNA)), ime_key(), ime_key(), form="DER")
    assert fault(carrier(double), "ime-malformed").detail == fault(carrier(b"x"), "ime-malformed").detail
    under_gcm = container(original(), signer=signer_of(ANNA), own=ime_key(), cipher="aes-256-gcm").mail
    assert isinstance(opened(under_gcm), OpenedContainer)


@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_a_signed_layer_in_binary(cipher: str) -> None:
    """As Outlook writes it (RFC 8551 section 3.1.2 allows any transfer encoding inside)."""
    signed = make.sign_binary(make.wrap(original()), signer_of(ANNA))
    found = opened(carrier(make.encrypt_binary(signed, ime_key(), cipher=cipher)))
    assert isinstance(found, OpenedContainer) and b"orchid" in bytes(found.entity.body)


def test_a_key_too_short_to_believe() -> None:
    weak = make_user(ANNA, key_bits=1024)
    fault(container(original(), signer=weak).mail, "ime-bad-signature")


def test_certs_only_and_compressed() -> None:
    """What is no container at all is refused without a word of what it was."""
    closed = fault(carrier(os.urandom(64)), "ime-malformed").detail
    certificate = ["crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER"]
    certs_only = make.openssl(certificate, signer_of(ANNA).pem)
    data = make.openssl(["cms", "-data_create", "-outform", "DER"], b"x")
    for octets in (certs_only, compressed(), data):
        assert fault(carrier(octets), "ime-malformed").detail == closed


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["pkcs7-mime", "octet-stream", "attachment"]))
def test_any_bytes_are_a_fault(data: bytes, form: str) -> None:
    assert isinstance(opened(carrier(data, form=form)), ContainerFault)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_change_is_a_fault_or_leaves_the_signed_content(data: st.DataObject) -> None:
    """Whatever is changed in the encrypted container: nothing is opened but what Anna signed."""
    whole = bytearray(_der())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    found = opened(carrier(bytes(whole)))
    if isinstance(found, OpenedContainer):
        assert found.signature.certificate == signer_of(ANNA).certificate
        assert b"The marker is orchid-7431. " in bytes(found.entity.body)


def _der(made: list[bytes] = []) -> bytes:  # noqa: B006 - made once, for all examples
    if not made:
        made.append(container(original(), signer=signer_of(ANNA)).encrypted)
    return made[0]
