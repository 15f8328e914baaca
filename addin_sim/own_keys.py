"""The user's own key pair: Outlook signs IME 2.0 containers with it and encrypts the kept copy to it.

Real add-ins find it in the Windows certificate store, where it is usually self-signed. Here it lies in
the profile folder beside the settings, is made on first use and used ever after: the gateway comes to
know a person by it (RFC 8550 says what a mail certificate looks like).
"""

import contextlib
import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from addin_sim.outlook_settings import Account
from addin_sim.whole_file import write_whole

KEY_FILE = "own-key.pem"
"""Private key and certificate in one file, so that no kill ever leaves one of them alone."""

_KEY_BITS = 3072
_LIFE = timedelta(days=3650)
_CLOCKS_DIFFER_BY = timedelta(minutes=10)


class ProfileError(Exception):
    """Something in the profile folder cannot be used; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The pair; only RSA, because `cryptography` builds envelopes for nothing else."""

    certificate: x509.Certificate
    private_key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def thumbprint(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the certificate."""
        return thumbprint(self.certificate)

    @property
    def certificate_pem(self) -> bytes:
        """What an administrator registers."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)


def thumbprint(certificate: x509.Certificate) -> str:
    """How certificates are named here and at the gateway: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def grouped(name: str) -> str:
    """The digits of a thumbprint as the gateway's question shows them: four lines of four groups, to compare by eye."""
    digits = name.removeprefix("sha256:").upper()
    groups = [digits[place : place + 4] for place in range(0, len(digits), 4)]
    return "\n".join(" ".join(groups[place : place + 4]) for place in range(0, len(groups), 4))


def own_keys(profile: Path, account: Account, moment: float) -> OwnKeys:
    """The pair in the profile folder, made when there is none; `moment` in seconds since 1970 UTC.

    A pair of one's own (from a CA, say) may be put there instead. Raises `ProfileError` when the file cannot be
    used, belongs to another address or is out of time.
    """
    file = profile / KEY_FILE
    try:
        if not file.exists():
            _make(file, account, datetime.fromtimestamp(moment, UTC))
        keys = _read(file)
    except OSError as error:
        raise ProfileError(f"{error.filename or file}: {error.strerror}") from error
    _require_fit(file, keys.certificate, account, datetime.fromtimestamp(moment, UTC))
    return keys


def mail_addresses(certificate: x509.Certificate) -> set[str]:
    """Every address that a certificate gives itself, in small letters: SAN, emailAddress, and a CN that is one.

    Real certificates of confidentiality authorities have no SAN, several addresses, and blanks around them.
    """
    found: list[str] = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found += names.get_values_for_type(x509.RFC822Name)
    except x509.ExtensionNotFound:
        pass
    for kind in (NameOID.EMAIL_ADDRESS, NameOID.COMMON_NAME):
        found += [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(kind)]
    return {address.strip().lower() for address in found if "@" in address}


def _make(file: Path, account: Account, now: datetime) -> None:
    """Write it under another name first: of two programs that begin together one wins, and both use that pair."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + _self_signed(key, account, now).public_bytes(serialization.Encoding.PEM)
    unfinished = file.with_name(f".{uuid.uuid4().hex}")
    try:
        write_whole(unfinished, pem, mode=0o600)
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(unfinished)
    finally:
        unfinished.unlink(missing_ok=True)


def _self_signed(key: rsa.RSAPrivateKey, account: Account, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (account.display_name or account.address)[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER_BY)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(account.address)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _read(file: Path) -> OwnKeys:
    pem = file.read_bytes()
    try:
        key = serialization.load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem)
    except (ValueError, TypeError) as error:
        raise ProfileError(f"{file}: holds no private key without password, or no certificate.") from error
    if not isinstance(key, rsa.RSAPrivateKey) or certificate.public_key() != key.public_key():
        raise ProfileError(f"{file}: the certificate must belong to the key, and the key must be RSA.")
    return OwnKeys(certificate, key)


def _require_fit(file: Path, certificate: x509.Certificate, account: Account, now: datetime) -> None:
    if account.address.lower() not in mail_addresses(certificate):
        raise ProfileError(f"{file}: the certificate is not one of {account.address}.")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ProfileError(
            f"{file}: the certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d} "
            f"to {certificate.not_valid_after_utc:%Y-%m-%d} only. See that this computer's clock is right; if it is, "
            "move the file away (keep it: what is in the outbox opens with it alone), and a new pair is made."
        )
