"""Certificates that we issue for IME addresses: what they say, and that strict readers agree."""

import os
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.certs.capabilities import stated_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault, is_self_signed
from ime_gateway.certs.issue import new_key, private_key_der, self_signed
from ime_gateway.certs.signing_fitness import signing_fault
from tests.pki import rsa_key

ADDRESS = "domain-confidentiality-authority@ime.acme.example"
MOMENT = 1_790_000_000.0


def issue(address: str = ADDRESS, name: str = "", days: int = 730) -> Certificate:
    return self_signed(address, name, rsa_key(1), moment=MOMENT, days=days, randomness=os.urandom)


def text_of(certificate: Certificate) -> str:
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-text", "-nameopt", "RFC2253"]
    return subprocess.run(command, input=certificate.der, capture_output=True, check=True).stdout.decode()


def test_openssl_reads_what_outlook_looks_for() -> None:
    text = text_of(issue())
    assert f"Subject: CN={ADDRESS}\n" in text and f"Issuer: CN={ADDRESS}\n" in text
    assert f"email:{ADDRESS}" in text
    assert "Digital Signature, Key Encipherment" in text and "E-mail Protection" in text
    assert "CA:FALSE" in text and "S/MIME Capabilities" in text and "Subject Key Identifier" in text
    assert "sha256WithRSAEncryption" in text and "Version: 3" in text


def test_openssl_finds_it_fit_for_mail() -> None:
    command = ["openssl", "x509", "-inform", "DER", "-noout", "-purpose"]
    lines = subprocess.run(command, input=issue().der, capture_output=True, check=True).stdout.decode().splitlines()
    for line in ("S/MIME signing : Yes", "S/MIME encryption : Yes", "SSL server : No", "S/MIME signing CA : No"):
        assert line in lines


def test_it_may_encrypt_and_sign() -> None:
    made = issue()
    assert fitness_fault(made) is None and signing_fault(made) is None
    assert is_self_signed(made) and not made.is_ca
    assert made.addresses == (ADDRESS,)
    stated = stated_capabilities(made)
    assert stated.gcm and stated.oaep and stated.ciphers[-1] == "chacha20-poly1305"


def test_its_time() -> None:
    made = issue(days=30)
    assert (made.not_before, made.not_after) == (MOMENT - 86_400, MOMENT + 30 * 86_400)


def test_serial_numbers() -> None:
    made = self_signed(ADDRESS, "", rsa_key(1), moment=MOMENT, days=1, randomness=bytes)
    assert made.serial > 0
    assert issue().serial != issue().serial
    highest = self_signed(ADDRESS, "", rsa_key(1), moment=MOMENT, days=1, randomness=lambda n: b"\xff" * n)
    assert len(highest.serial.to_bytes(20, "big").lstrip(b"\0")) == 17, "128 random bits, positive, at most 20 octets"


def test_a_long_address_keeps_the_name_of_rfc_3183() -> None:
    long = "domain-confidentiality-authority@ime.a-company-with-a-very-long-name.example"
    assert len(long) > 64
    made = issue(long)
    assert made.addresses == (long,)
    assert "CN=domain-confidentiality-authority" in made.subject.replace("\\", "")
    assert f"emailAddress={long}" in text_of(made)


def test_a_name_of_its_own() -> None:
    made = issue(name="Confidential mail of Acme")
    assert "CN=Confidential mail of Acme" in made.subject and made.addresses == (ADDRESS,)


@pytest.mark.parametrize("address", ["geheim@ime.bücher.example", "müller@ime.acme.example"])
def test_addresses_beyond_ascii(address: str) -> None:
    made = issue(address)
    assert len(made.addresses) == 1 and made.addresses[0].isascii() == ("müller" not in address)


def test_what_is_refused() -> None:
    with pytest.raises(UnreadableMail):
        issue("no address")
    with pytest.raises(ValueError, match="one day"):
        issue(days=0)


def test_a_curve_agrees_on_keys() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    made = self_signed(ADDRESS, "", key, moment=MOMENT, days=1, randomness=os.urandom)
    assert "Digital Signature, Key Agreement" in text_of(made)
    assert made.x509.extensions.get_extension_for_class(x509.KeyUsage).critical


def test_fresh_keys() -> None:
    key = new_key(2048)
    read = serialization.load_der_private_key(private_key_der(key), None)
    assert isinstance(read, rsa.RSAPrivateKey) and read.private_numbers() == key.private_numbers()
    assert key.key_size == 2048 and key.public_key().public_numbers().e == 65_537
