"""The people of the demo: a small certification authority, keys, and one person without any.

Real companies have a PKI; a first minute needs one that is made on the spot. The files are what an
administrator would hand to the gateway: certificates for everybody, private keys for nobody but
their owners (RFC 8550 says what a mail certificate looks like).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COMPANY = "acme.example"
PARTNER = "partner.example"
IME_ADDRESS = f"domain-confidentiality-authority@ime.{COMPANY}"
"""Where IME 2.0 containers go: a domain without mailboxes, which Exchange sends to the gateway."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a mailbox."""

    name: str
    address: str
    has_key: bool = True

    @property
    def file_stem(self) -> str:
        """How the person's files are called."""
        return self.address.partition("@")[0]


ALICE = Person("Alice Ackermann", f"alice@{COMPANY}")
"""Sends."""
BOB = Person("Bob Brunner", f"bob@{COMPANY}")
CAROL = Person("Carol Conti", f"carol@{COMPANY}")
DORA = Person("Dora Dubois", f"dora@{PARTNER}")
"""Works outside."""
ERIK = Person("Erik Egger", f"erik@{COMPANY}", has_key=False)
"""Has no certificate: mail that must be protected cannot reach him yet."""

EVERYBODY = (ALICE, BOB, CAROL, DORA, ERIK)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a person's PEM files lie."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates."""

    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate


def make_people(folder: Path, moment: datetime | None = None) -> dict[Person, KeyFiles]:
    """Write `ca.pem`, and `NAME.pem` and `NAME.key.pem` for everybody with a key; RSA 2048, 30 days."""
    now = moment or datetime.now(UTC)
    authority = make_authority(folder, now)
    return {person: make_person(folder, person, authority, now) for person in EVERYBODY if person.has_key}


def make_authority(folder: Path, now: datetime) -> Authority:
    """A certification authority whose certificate is written to `folder`/ca.pem; its key is kept nowhere."""
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _authority(key, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Demo CA of ime-gateway")]), now)
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(key, certificate)


def write_site(path: Path, people_folder: Path, exchange: str, partner: str) -> None:
    """Write the gateway's SITE.toml: domains, where they are delivered (`HOST:PORT`), root and certificates."""
    lines = [
        "# Written by the demo: what an administrator tells the gateway about this small world.",
        "[policy]",
        'protect_subject = "ime2"',
        "",
        "[[managed_domain]]",
        f'name = "{COMPANY}"',
        f'deliver_to = "smtp://{exchange}"',
        f'ime_address = "{IME_ADDRESS}"',
        'ime_key = "generate"',
        "",
        "[[partner_domain]]",
        f'name = "{PARTNER}"',
        f'route = "smtp://{partner}"',
        "",
        "[[root]]",
        f'file = "{people_folder / "ca.pem"}"',
        "",
    ]
    for person in EVERYBODY:
        if person.has_key:
            lines += ["[[certificate]]", f'file = "{people_folder / person.file_stem}.pem"', ""]
    path.write_text("\n".join(lines), "utf-8")


def write_people(path: Path, made: Iterable[tuple[Person, KeyFiles]], password: str = "") -> None:
    """Write the file for `addin-sim rehearse --people`; `password` is that of everybody's mailbox."""
    lines = ["# Who plays along in `addin-sim rehearse`. File names are relative to this file."]
    if not password:
        lines.append('# The password of the mailboxes is that of the settings; else give each person password = "...".')
    for person, files in made:
        lines += ["", "[[person]]", f'address = "{person.address}"', f'display_name = "{person.name}"']
        lines += [f'certificate = "{files.certificate.name}"', f'key = "{files.private_key.name}"']
        if password:
            lines.append(f"password = {quoted(password)}")
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text("\n".join([*lines, ""]), "utf-8")


def quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _authority(key: rsa.RSAPrivateKey, name: x509.Name, now: datetime) -> x509.Certificate:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _certificate(name, name, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )


def make_person(folder: Path, person: Person, authority: Authority, now: datetime) -> KeyFiles:
    """Write the person's pair to `folder`: NAME.pem and NAME.key.pem, RSA 2048, valid for 30 days."""
    ca = authority.certificate
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer_identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, person.name)])
    certificate = (
        _certificate(name, ca.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_encipherment=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(person.address)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_identifier), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    files = KeyFiles(folder / f"{person.file_stem}.pem", folder / f"{person.file_stem}.key.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.private_key.touch(mode=0o600)
    files.private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _certificate(
    subject: x509.Name, issuer: x509.Name, public_key: rsa.RSAPublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
    )


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
