"""The built-in CA: what its certificates and lists say, judged by openssl and by our own path building."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.authority import (
    LONGEST_LEAF_DAYS,
    Places,
    Revoked,
    Signer,
    authority_name,
    issue,
    make_crl,
    make_issuing,
    make_root,
    permits,
)
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.certs.key_kinds import KeyKind, MailPublicKey, SigningPrivateKey, make_key
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.signing_fitness import signing_fault
from ime_gateway.certs.trust import Anchors
from tests.pki import rsa_key

MOMENT = 1_790_000_000.0
DAY = 86_400.0
PLACES = Places("http://pki.acme.example/pki/x.crl", "http://pki.acme.example/pki/x.cer")
DOMAINS = ("acme.example",)


def signing(kind: str, number: int) -> SigningPrivateKey:
    key = rsa_key(number, 3072) if kind == "rsa-3072" else make_key(kind)  # type: ignore[arg-type]
    assert isinstance(key, SigningPrivateKey)
    return key


def authorities(kind: str = "rsa-3072", domains: tuple[str, ...] = DOMAINS) -> tuple[Signer, Signer]:
    root_key, issuing_key = signing(kind, 1), signing(kind, 2)
    name = authority_name("Acme GmbH", "DE", "S/MIME Root CA G1")
    root = Signer(make_root(name, root_key, domains, moment=MOMENT, days=3650, randomness=os.urandom), root_key)
    below = make_issuing(
        root,
        authority_name("Acme GmbH", "DE", "S/MIME CA G1"),
        issuing_key.public_key(),
        domains,
        PLACES,
        moment=MOMENT,
        days=1825,
        randomness=os.urandom,
    )
    return root, Signer(below, issuing_key)


def leaf(issuer: Signer, *addresses: str, key: MailPublicKey | None = None, days: int = 365) -> Certificate:
    key = key or rsa_key(3, 3072).public_key()
    return issue(issuer, addresses, key, PLACES, moment=MOMENT, days=days, randomness=os.urandom, opened_here=True)


def pem(certificate: Certificate) -> bytes:
    return certificate.x509.public_bytes(serialization.Encoding.PEM)


def verify(folder: Path, root: Signer, issuing: Signer, made: Certificate, crls: bytes) -> str:
    (folder / "root.pem").write_bytes(pem(root.certificate))
    (folder / "issuing.pem").write_bytes(pem(issuing.certificate))
    (folder / "leaf.pem").write_bytes(pem(made))
    (folder / "crls.pem").write_bytes(crls)
    command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-purpose", "smimesign"]
    command += ["-attime", str(int(MOMENT)), "-CRLfile", "crls.pem", "-CAfile", "root.pem"]
    command += ["-untrusted", "issuing.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def lists(*signers: Signer, revoked: tuple[Revoked, ...] = ()) -> bytes:
    found = b""
    for signer in signers:
        der = make_crl(signer, 7, revoked, moment=MOMENT, next_update=MOMENT + 7 * DAY)
        found += x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
    return found


@pytest.mark.parametrize("kind", ["rsa-3072", "p-256", "p-384", "ed25519"])
def test_openssl_believes_the_path_and_the_lists(kind: str, tmp_path: Path) -> None:
    root, issuing = authorities(kind)
    made = leaf(issuing, "anna@acme.example")
    assert verify(tmp_path, root, issuing, made, lists(root, issuing)) == "leaf.pem: OK\n"


@pytest.mark.parametrize("reason", ["keyCompromise", "unspecified"])
def test_openssl_sees_what_was_revoked(tmp_path: Path, reason: str) -> None:
    root, issuing = authorities()
    made, other = leaf(issuing, "anna@acme.example"), leaf(issuing, "bert@acme.example")
    crls = lists(root, issuing, revoked=(Revoked(made.serial, MOMENT - 60, reason),))
    assert "certificate revoked" in verify(tmp_path, root, issuing, made, crls)
    assert verify(tmp_path, root, issuing, other, crls) == "leaf.pem: OK\n"


def test_no_line_of_a_list_is_younger_than_the_list() -> None:
    """It is dated back for clocks that are late, and so is what was revoked a moment ago (RFC 5280 section 5.1.2.4)."""
    _, issuing = authorities()
    revoked = (Revoked(5, MOMENT, "superseded"), Revoked(6, MOMENT - DAY, "superseded"))
    crl = x509.load_der_x509_crl(make_crl(issuing, 1, revoked, moment=MOMENT, next_update=MOMENT + DAY))
    dates = {line.serial_number: line.revocation_date_utc.timestamp() for line in crl}
    assert dates == {5: crl.last_update_utc.timestamp(), 6: MOMENT - DAY}


def test_a_revocation_list_is_numbered_names_its_signer_and_leaves_unspecified_out() -> None:
    _, issuing = authorities()
    revoked = (Revoked(5, MOMENT - 60, "superseded"), Revoked(6, MOMENT, "unspecified"))
    crl = x509.load_der_x509_crl(make_crl(issuing, 9, revoked, moment=MOMENT, next_update=MOMENT + DAY))
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 9
    identifier = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert identifier == issuing.certificate.subject_key_identifier
    assert crl.is_signature_valid(issuing.private_key.public_key())
    reasons = [[extension.value.reason.value for extension in line.extensions] for line in crl]
    assert reasons == [["superseded"], []]
    assert crl.next_update_utc and crl.next_update_utc.timestamp() == MOMENT + DAY
    assert crl.last_update_utc.timestamp() < MOMENT


@pytest.mark.parametrize("address", ["eve@other.example", "eve@evilacme.example", "anna@acme.example.evil.example"])
def test_addresses_of_others_are_outside(address: str, tmp_path: Path) -> None:
    root, issuing = authorities()
    made = leaf(issuing, address)
    assert "permitted subtree violation" in verify(tmp_path, root, issuing, made, lists(root, issuing))
    found = find_path(made, Anchors([root.certificate], [issuing.certificate]), MOMENT)
    assert isinstance(found, Fault) and found.reason is Reason.CERTIFICATE_UNTRUSTED


@pytest.mark.parametrize("address", ["anna@acme.example", "domain-confidentiality-authority@ime.acme.example"])
def test_our_own_path_building_takes_ours(address: str) -> None:
    root, issuing = authorities()
    found = find_path(leaf(issuing, address), Anchors([root.certificate], [issuing.certificate]), MOMENT)
    assert isinstance(found, TrustedPath) and found.root == root.certificate.subject


@pytest.mark.parametrize(
    ("kind", "encrypts", "signs"),
    [
        ("rsa-3072", True, True),
        ("p-256", True, True),
        ("p-384", True, True),
        ("ed25519", False, True),
        ("x25519", True, False),
    ],
)
def test_each_kind_of_key_does_what_it_can(kind: KeyKind, encrypts: bool, signs: bool) -> None:
    _, issuing = authorities()
    key = rsa_key(3, 3072) if kind == "rsa-3072" else make_key(kind)
    made = leaf(issuing, "anna@acme.example", key=key.public_key())
    assert (fitness_fault(made) is None, signing_fault(made) is None) == (encrypts, signs)


def test_a_domain_has_both_names_of_rfc_3183() -> None:
    _, issuing = authorities()
    names = ("domain-confidentiality-authority@acme.example", "domain-signing-authority@acme.example")
    assert leaf(issuing, *names).addresses == names
    assert leaf(issuing, *names).subject == f"CN={names[0]}"


def test_a_long_address_is_in_the_subject_as_an_address_only() -> None:
    _, issuing = authorities()
    long = f"{'a' * 60}@acme.example"
    made = leaf(issuing, long)
    assert made.addresses == (long,) and "CN=" not in made.subject
    international = f"{'ä' * 60}@acme.example"
    made = leaf(issuing, international)
    assert made.addresses == (international,) and made.subject == ""
    assert made.x509.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_nothing_outlives_its_issuer() -> None:
    root, issuing = authorities()
    late = MOMENT + 1800 * DAY
    made = issue(
        issuing, ["a@acme.example"], rsa_key(3).public_key(), PLACES,
        moment=late, days=365, randomness=os.urandom, opened_here=False,
    )  # fmt: skip
    assert made.not_after == issuing.certificate.not_after
    assert issuing.certificate.not_after < root.certificate.not_after
    below = make_issuing(
        root, issuing.certificate.x509.subject, issuing.private_key.public_key(), DOMAINS, PLACES,
        moment=MOMENT + 3000 * DAY, days=1825, randomness=os.urandom,
    )  # fmt: skip
    assert below.not_after == root.certificate.not_after


@pytest.mark.parametrize("days", [0, -1, LONGEST_LEAF_DAYS + 1])
def test_a_period_that_nobody_accepts(days: int) -> None:
    _, issuing = authorities()
    with pytest.raises(ValueError, match="days"):
        leaf(issuing, "anna@acme.example", days=days)


def test_what_the_constraints_permit() -> None:
    root, issuing = authorities(domains=("acme.example", "bolt.example"))
    for signer in (root, issuing):
        assert permits(signer.certificate, "acme.example") and permits(signer.certificate, "ime.bolt.example")
        assert not permits(signer.certificate, "xacme.example") and not permits(signer.certificate, "example")
    free, _ = authorities(domains=())
    assert permits(free.certificate, "anything.example")


def test_the_certificates_of_the_authorities() -> None:
    root, issuing = authorities()
    for signer, length in ((root, 1), (issuing, 0)):
        extensions = signer.certificate.x509.extensions
        limits = extensions.get_extension_for_class(x509.BasicConstraints)
        assert limits.critical and limits.value.ca and limits.value.path_length == length
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical and usage.value.key_cert_sign and usage.value.crl_sign
        assert extensions.get_extension_for_class(x509.NameConstraints).critical
    assert root.certificate.serial.bit_length() > 128
    with pytest.raises(x509.ExtensionNotFound):
        root.certificate.x509.extensions.get_extension_for_class(x509.CRLDistributionPoints)
