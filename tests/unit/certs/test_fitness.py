"""What makes a certificate unfit or weak, one rule at a time, and that nothing else does."""

import math
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
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
        {"kind": "p256"},
        {"kind": "p384"},
        {"kind": "p521", "ku": key_usage(key_agreement=True, encipher_only=True)},
        {"kind": "p256", "ku": None},
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
        ({"kind": "ec", "ku": key_usage(digital_signature=True, key_encipherment=True)}, "keyAgreement"),
        ({"kind": "ec", "ku": key_usage(key_agreement=True, decipher_only=True)}, "deciphering only"),
        ({"key": ec.generate_private_key(ec.SECP256K1())}, "elliptic curve secp256k1"),
        ({"key": ec.generate_private_key(ec.BrainpoolP256R1())}, "elliptic curve brainpoolP256r1"),
        ({"kind": "ed25519"}, "key type ed25519 cannot encrypt mail"),
    ],
)
def test_unfit_with_the_evidence(options: dict[str, object], word: str) -> None:
    fault = fitness_fault(make_user(ADDRESS, **options).certificate)  # type: ignore[arg-type]
    assert fault is not None and fault.reason is Reason.CERTIFICATE_UNFIT
    assert word in fault.detail


def test_x25519_needs_key_agreement_and_a_sound_point() -> None:
    ca = make_ca(kind="ec")
    person = make_user(ADDRESS, ca, kind="x25519")
    assert reason(person) is None
    assert reason(make_user(ADDRESS, ca, kind="x25519", ku=None)) is None
    unfit = fitness_fault(make_user(ADDRESS, ca, kind="x25519", ku=key_usage(key_encipherment=True)).certificate)
    assert unfit is not None and "keyAgreement" in unfit.detail
    # A point of low order: whatever the sender's key is, the shared secret is zero.
    point = person.key.public_key().public_bytes_raw()  # type: ignore[union-attr]
    damaged = fitness_fault(Certificate.from_der(person.der.replace(point, bytes(32))))
    assert damaged is not None and damaged.reason is Reason.CERTIFICATE_UNFIT and "damaged" in damaged.detail


def test_curves_written_out_in_numbers_are_not_read() -> None:
    # openssl ecparam -name prime256v1 -param_enc explicit: the door to keys on curves of the sender's making.
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-pkeyopt", "ec_param_enc:explicit", "-keyout", "/dev/null", "-subj", f"/CN={ADDRESS}"]
    made = subprocess.run([*command, "-outform", "DER"], capture_output=True, check=True, timeout=60).stdout
    fault = fitness_fault(Certificate.from_der(made))
    assert fault is not None and fault.reason is Reason.CERTIFICATE_UNFIT


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
