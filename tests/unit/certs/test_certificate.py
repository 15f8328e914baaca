"""Reading certificates, the odd ones of real life first."""

import pickle
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs import der
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate, thumbprint_digits, whole_thumbprint
from tests.pki import NOW, build, make_ca, make_user, new_key, rsa_key


def test_the_facts_of_an_ordinary_certificate() -> None:
    ca = make_ca("Acme Root")
    alice = make_user("Alice@ACME.example", ca)
    read = alice.certificate
    assert read.thumbprint == "sha256:" + alice.x509.fingerprint(hashes.SHA256()).hex()
    assert (read.subject, read.issuer) == ("CN=Alice@ACME.example", "CN=Acme Root")
    assert read.serial == alice.x509.serial_number
    assert read.not_after == alice.x509.not_valid_after_utc.timestamp()
    assert read.addresses == ("alice@acme.example",)
    assert (read.key_kind, read.key_bits, read.is_ca) == ("rsa", 2048, False)
    assert ca.certificate.is_ca and ca.certificate.self_issued and not read.self_issued


def test_a_domain_certificate_with_two_addresses_in_its_name_a_space_and_no_common_name() -> None:
    odd = make_user(
        "unused@acme.example",
        san=False,
        common_name=None,
        dn_addresses=["domain-confidentiality-authority@Bank.example ", "domain-confidentiality-authority@net.example"],
    )
    assert odd.certificate.addresses == (
        "domain-confidentiality-authority@bank.example",
        "domain-confidentiality-authority@net.example",
    )


def test_the_same_address_in_name_and_alternative_name_counts_once() -> None:
    both = make_user("bob@acme.example", dn_addresses=["BOB@acme.example", "robert@acme.example"])
    assert both.certificate.addresses == ("bob@acme.example", "robert@acme.example")


def test_a_value_that_is_no_address_is_skipped() -> None:
    odd = make_user("bob@acme.example", dn_addresses=["not an address", "@", "bob@acme.example\r\nRCPT TO:<x@y>"])
    assert odd.certificate.addresses == ("bob@acme.example",)


def test_an_international_local_part_is_read_from_its_own_kind_of_name() -> None:
    mailbox = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), der.tlv(0x0C, "jürgen@acme.example".encode()))
    broken = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), der.tlv(0x0C, b"\xff"))
    names = x509.SubjectAlternativeName([mailbox, broken])
    person = make_user("unused@acme.example", san=False, extra=[(names, False)])
    assert person.certificate.addresses == ("jürgen@acme.example",)


def test_names_with_control_characters_stay_on_one_line() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Eve\r\n250 ok\x1b[2J")])
    odd = build(name, rsa_key(0), None, [], not_before=NOW, not_after=NOW)
    assert odd.certificate.subject.isprintable()


def test_the_issuer_and_serial_are_the_bytes_of_the_certificate() -> None:
    # A name as a T61String, which the library would write another way.
    alice = make_user("alice@acme.example", make_ca())
    issuer = der.tlv(0x30, der.tlv(0x31, der.sequence(der.oid("2.5.4.3"), der.tlv(0x14, b"Test Root CA"))))
    assert issuer not in alice.der
    inside = alice.der.replace(alice.x509.issuer.public_bytes(), issuer)
    read = Certificate.from_der(inside)
    assert read.issuer_and_serial == der.sequence(issuer, der.integer(read.serial))


@pytest.mark.parametrize("serial", [b"\x00", b"\xff"])
def test_serial_numbers_that_are_not_positive_are_refused_with_the_reason(serial: bytes) -> None:
    alice = make_user("alice@acme.example")
    number = der.integer(alice.x509.serial_number)
    damaged = alice.der.replace(number, number[:2] + serial * (len(number) - 2))
    with pytest.raises(UnreadableCertificate, match="serial number is not positive"):
        Certificate.from_der(damaged)


def test_equal_bytes_are_equal_certificates_and_survive_pickling() -> None:
    alice = make_user("alice@acme.example")
    first, second = alice.certificate, alice.certificate
    assert first.x509 is first.x509
    assert first == second and hash(first) == hash(second)
    again = pickle.loads(pickle.dumps(first))
    assert again == first and again.addresses == first.addresses and again.issuer_and_serial == first.issuer_and_serial
    assert make_user("alice@acme.example").certificate != first


def test_keys_of_other_kinds_are_named() -> None:
    assert make_user("a@acme.example", key=new_key("ec")).certificate.key_kind == "ec"
    assert make_user("a@acme.example", key=new_key("ed25519")).certificate.key_kind == "ed25519"


@pytest.mark.parametrize("prefix", ["", "sha256:", "SHA256:", " sha256: "])
@pytest.mark.parametrize("between", ["", " ", ":", "\u00a0", "\n"])
def test_a_thumbprint_in_every_spelling(prefix: str, between: str) -> None:
    digits = "00ab" * 16
    text = prefix + between.join(digits.upper()[start : start + 4] for start in range(0, 64, 4))
    assert thumbprint_digits(text) == digits
    assert whole_thumbprint(text) == f"sha256:{digits}"
    for other in (text[:-1], text + "0", text[:-1] + "g", text[:-1] + "\u0663"):
        assert whole_thumbprint(other) == ""


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_certificate_is_read_or_refused_and_never_crashes(position: int, byte: int) -> None:
    damaged = bytearray(original())
    damaged[position % len(damaged)] = byte
    try:
        Certificate.from_der(bytes(damaged))
    except UnreadableCertificate as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("cut", [0, 1, 4, 30, 200])
def test_a_cut_certificate_is_refused(cut: int) -> None:
    with pytest.raises(UnreadableCertificate):
        Certificate.from_der(original()[:cut])


@cache
def original() -> bytes:
    return make_user("alice@acme.example", make_ca(), dn_addresses=["alice@acme.example"]).der


def test_the_example_people_of_rfc_9216(vectors: Path) -> None:
    kinds = {"alice": "rsa", "bob": "rsa", "carlos": "x25519", "dana": "x25519"}
    for person, kind in kinds.items():
        (certificate,) = read_bundle((vectors / "rfc9216" / f"{person}.encrypt.crt").read_bytes(), None).certificates
        assert certificate.addresses == (f"{person}@smime.example",)
        assert certificate.key_kind == kind
