"""What makes a certificate unfit or weak, one rule at a time, and that nothing else does."""

import math
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import WEAK_SIGNATURES, fitness_fault, is_self_signed, time_fault
from tests.pki import EMAIL_PROTECTION, Entity, key_usage, make_ca, make_user, new_key

ADDRESS = "alice@acme.example"


def reason(entity: Entity) -> Reason | None:
    fault = fitness_fault(entity.certificate)
    return fault.reason if fault else None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ku": None, "eku": None, "san": False},
        {"ku": key_usage(key_encipherment=True)},
        {"eku": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]},
        {"eku": [ExtendedKeyUsageOID.CLIENT_AUTH, EMAIL_PROTECTION]},
        {"extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), False)]},
    ],
)
def test_fit_for_mail(options: dict[str, object]) -> None:
    assert reason(make_user(ADDRESS, **options)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ku": key_usage(digital_signature=True, content_commitment=True)}, "keyEncipherment"),
        ({"ku": key_usage(data_encipherment=True)}, "keyEncipherment"),
        ({"eku": [ExtendedKeyUsageOID.SERVER_AUTH]}, "emailProtection"),
        (
            {"extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00"), True)]},
            "1.3.6.1.4.1.99999.1",
        ),
        ({"extra": [(x509.PrecertPoison(), True)]}, "critical"),
        ({"kind": "ec"}, "key type ec not supported by this version"),
        ({"kind": "ed25519"}, "key type ed25519 not supported by this version"),
    ],
)
def test_unfit_with_the_evidence(options: dict[str, object], word: str) -> None:
    fault = fitness_fault(make_user(ADDRESS, **options).certificate)  # type: ignore[arg-type]
    assert fault is not None and fault.reason is Reason.CERTIFICATE_UNFIT
    assert word in fault.detail


def test_short_rsa_keys_are_weak() -> None:
    fault = fitness_fault(make_user(ADDRESS, key_bits=1024).certificate)
    assert fault is not None and fault.reason is Reason.CERTIFICATE_WEAK
    assert "1024 bits" in fault.detail


SHA256_RSA, SHA1_RSA = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
MD5_RSA = bytes.fromhex("2a864886f70d010104")


@pytest.mark.parametrize("algorithm", [SHA1_RSA, MD5_RSA])
def test_a_forgeable_signature_is_weak(algorithm: bytes) -> None:
    # The library no longer makes such signatures; only the algorithm's name matters here.
    encoded = make_user(ADDRESS, make_ca()).der.replace(SHA256_RSA, algorithm)
    fault = fitness_fault(Certificate.from_der(encoded))
    assert fault is not None and fault.reason is Reason.CERTIFICATE_WEAK


def test_the_signature_of_a_certificate_on_itself_proves_nothing_either_way(vectors: Path) -> None:
    for name in ("gnupg-cms/samplekeys/gte.pem", "gnupg-cms/samplekeys/webderoot.der"):
        (root,) = read_bundle((vectors / name).read_bytes(), None).certificates
        digest = WEAK_SIGNATURES[root.x509.signature_algorithm_oid.dotted_string]
        assert is_self_signed(root) or digest == "MD5"  # MD5 cannot even be checked any more


def test_a_certificate_that_only_claims_to_be_self_signed_is_not() -> None:
    ca = make_ca("Same Name")
    other = make_ca("Same Name", ca, key=new_key())
    assert other.certificate.self_issued and not is_self_signed(other.certificate)
    assert is_self_signed(ca.certificate)


def test_a_key_with_an_even_modulus_is_damaged() -> None:
    alice = make_user(ADDRESS)
    modulus = alice.key.public_key().public_numbers().n  # type: ignore[union-attr]
    raw = modulus.to_bytes(256, "big")
    damaged = Certificate.from_der(alice.der.replace(raw, raw[:-1] + bytes((raw[-1] ^ 1,))))
    fault = fitness_fault(damaged)
    assert fault is not None and fault.reason is Reason.CERTIFICATE_UNFIT


def test_dates_count_to_the_second_and_say_how_long_they_hold() -> None:
    certificate = make_user(ADDRESS).certificate
    start, end = certificate.not_before, certificate.not_after
    early, until = time_fault(certificate, start - 1)
    assert early is not None and early.reason is Reason.CERTIFICATE_NOT_YET_VALID and until == start
    assert early.detail.endswith("Z")
    assert time_fault(certificate, start) == (None, end)
    assert time_fault(certificate, end) == (None, end)
    late, until = time_fault(certificate, end + 1)
    assert late is not None and late.reason is Reason.CERTIFICATE_EXPIRED and until == math.inf
