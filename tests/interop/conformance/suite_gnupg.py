"""GnuPG's CMS samples (gpgsm, 2001 and later): BER as other programs write it, old algorithms, p12 of many makers."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate, places
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.verify import SignatureFault
from tests.interop.conformance.judging import Case, Excuse
from tests.interop.conformance.objects import certificate, plaintext, report, unarmoured

SUITE = "GnuPG CMS"
PASSWORDS = {
    "ov-server": "start",
    "ov-user": "start",
    "t6752-ov-user-ff": "start",
    "opensc-test": "password",
    "t5793-openssl": "test",
    "t5793-test": "test",
    "edward.tester@demo.gnupg.com": "abc,123456",
    "nistp256-openssl-self-signed": "abc",
    "credential_private_encrypted_AES256": "qeFGds84/Sf0eKkJwcp6",
    "credential_private_encrypted_3DES": "qeFGds84/Sf0eKkJwcp6",
}
NOT_OPENED = {
    "cryptlib-key": Excuse.NO_KEY,
    "t5793-test": Excuse.OLD_FILE,
    "edward.tester@demo.gnupg.com": Excuse.OLD_FILE,
}
OLD_CERTIFICATES = (
    *("cert_cci_test_wzs.pem", "cert_g10code_test1.der", "cert_g10code_enconly_1.pem", "cert_g10code_pete1.pem"),
    *("cert_g10code_test1.pem", "cert_g10code_test_ca.pem", "cert_g10code_theo1.pem"),
)


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "gnupg-cms"
    for number in (1, 2, 3):
        yield Case(SUITE, f"plain-{number}.cms.asc", partial(_enveloped, folder, number))
    for name in ("text-1.osig", "text-2.osig", "text-1.dsig"):
        yield Case(SUITE, name, partial(_good, folder, name))
    for name in ("text-1.osig-bad", "text-2.osig-bad", "text-1.osig-badusage"):
        yield Case(SUITE, name, partial(_bad, folder, name))
    keys = folder / "samplekeys"
    for path in sorted((*keys.glob("*.p12"), *keys.glob("*.pfx"))):
        yield Case(SUITE, path.name, partial(_pkcs12, path))
    plain = [path for place in (folder, keys) for kind in ("pem", "der") for path in place.glob(f"*.{kind}")]
    for path in sorted(path for path in plain if not path.name.startswith(("text-", "crl_", "key_", "skey_"))):
        yield Case(SUITE, path.name, partial(_certificate, path))


def _enveloped(folder: Path, number: int) -> None:
    """The certificate has serial number 0 and a broken name, and we do not import it; the mail is opened by its key."""
    (der,) = (unarmoured(path.read_bytes()) for path in (folder / "samplekeys").glob("cert_g10code_test1.pem"))
    (entry,) = read_bundle((folder / "skey_g10code_test1.pem").read_bytes(), "test").private_keys
    private_key = load_der_private_key(entry.pkcs8_der, None)
    assert isinstance(private_key, RSAPrivateKey)
    old = Certificate(der, "sha256:old", "test cert 1", "test cert 1", 0, 0.0, 0.0, (), "rsa", 1024, False)
    old.keep("recipient_names", lambda: ((der[places(der).issuer], 0),))  # `smime.owned_key` would look it up in vain
    data = unarmoured((folder / f"plain-{number}.cms.asc").read_bytes())
    expected = (folder / f"plain-{number}.expected.txt").read_bytes()
    assert plaintext(data, [OwnedKey(old, private_key)]) == expected


def _good(folder: Path, name: str) -> str | None:
    """Good to GnuPG; OpenSSL 3 refuses all of them for the form of an attribute, and so may we."""
    detached = (folder / "text-1.txt").read_bytes() if name.endswith("dsig") else None
    found = report(unarmoured((folder / f"{name}.pem").read_bytes()), detached)
    (signer,) = found.signers
    assert signer.fault is SignatureFault.NO_CONTENT_TYPE
    return Excuse.OLD_ATTRIBUTES


def _bad(folder: Path, name: str) -> str:
    """Refused for the same form of an attribute as the good ones, so neither digest nor key usage is asked."""
    (signer,) = report(unarmoured((folder / f"{name}.pem").read_bytes())).signers
    assert signer.fault is SignatureFault.NO_CONTENT_TYPE
    return Excuse.OLD_ATTRIBUTES


def _pkcs12(path: Path) -> str | None:
    try:
        bundle = read_bundle(path.read_bytes(), PASSWORDS.get(path.stem))
    except UnreadableCertificate as error:
        assert str(error)
        return NOT_OPENED[path.stem]
    assert len(bundle.private_keys) == 1 and bundle.certificates
    return None


def _certificate(path: Path) -> str | None:
    try:
        assert certificate(path).subject
    except UnreadableCertificate as error:
        assert str(error).isprintable()
        assert path.name in OLD_CERTIFICATES
        return Excuse.OLD_CERTIFICATE
    return None
