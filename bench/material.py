"""Certificates and SITE.toml for benchmarks: a mandatory partner and people with RSA-2048 certificates."""

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def certificate(address: str, key: rsa.RSAPrivateKey) -> x509.Certificate:
    """A self-signed certificate for encrypting mail to `address`, valid for a year."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), False)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .sign(key, hashes.SHA256())
    )


def write_site(folder: Path, people: int = 0, cipher: str = "auto") -> str:
    """SITE.toml text: acme.example is ours, partner.example mandatory; `people` have own certificates."""
    folder.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    trusted = []
    text = [
        f'[policy]\ncontent_cipher = "{cipher}"\nsent_copy_without_key = "omit"\n',
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:1"\n',
        '[[partner_domain]]\nname = "partner.example"\nencryption = "mandatory"\nsmime_certificates = ["domain.pem"]\n',
    ]
    for name in ["domain", *(f"p{number}" for number in range(people))]:
        made = certificate(f"{name}@partner.example", key)
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        trusted.append(f'[[trust]]\nfile = "{name}.pem"\nverdict = "allow"\n')
        if name != "domain":
            trusted.append(f'[[certificate]]\nfile = "{name}.pem"\n')
    return "\n".join((*text, *trusted))
