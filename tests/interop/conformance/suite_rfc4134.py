"""RFC 4134, "Examples of S/MIME Messages": objects of 2005, with SHA-1, DSA, 3DES and RC2."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ime_gateway.base.errors import UnreadableCertificate, UnreadableCms
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.mail.message import parse_message
from ime_gateway.smime.decrypt import LegacyPolicy, Undecryptable
from ime_gateway.smime.entity import cms_object, signed_entity
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import OtherContent, Signed
from ime_gateway.smime.verify import SignatureFault, SignatureReport, verify
from tests.interop.conformance.judging import Case, Excuse
from tests.interop.conformance.objects import certificate, joined, opened, owned, plaintext, report, signed

SUITE = "RFC 4134"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "rfc4134"
    for name in ("4.1", "4.2", "4.4", "4.5", "4.6", "4.7", "4.10"):
        yield Case(SUITE, name, partial(_signed, folder, name, None))
    yield Case(SUITE, "4.3", partial(_signed, folder, "4.3", (folder / "ExContent.bin").read_bytes()))
    for name in ("4.8", "4.9"):
        yield Case(SUITE, name, partial(_signed_mail, folder, name))
    yield Case(SUITE, "4.11", partial(_certificates_only, folder))
    for name in ("5.1", "5.2"):
        yield Case(SUITE, name, partial(_enveloped, folder, (folder / f"{name}.bin").read_bytes(), name))
    yield Case(SUITE, "5.3", partial(_enveloped_mail, folder))
    for name in ("6.0", "7.1", "7.2"):
        yield Case(SUITE, name, partial(_other_types, folder, name))
    for path in sorted(folder.glob("*.cer")):
        yield Case(SUITE, path.stem, partial(_certificate, path))
    for path in sorted(folder.glob("*.pri")):
        yield Case(SUITE, path.stem, partial(_private_key, path))


def _signed(folder: Path, name: str, content: bytes | None) -> str | None:
    read = signed((folder / f"{name}.bin").read_bytes())
    sample = (folder / "ExContent.bin").read_bytes()
    assert content is not None or joined(read.content) == sample
    given = None if content is None else (memoryview(content),)
    return _judge(name, verify(read, given), _over_other_content(read, sample))


def _over_other_content(read: Signed, content: bytes) -> SignatureReport:
    changed = (memoryview(content.replace(b"sample", b"simple")),)
    return verify(read if read.content is None else replace(read, content=changed), changed)


def _judge(name: str, found: SignatureReport, changed: SignatureReport) -> str | None:
    """The signature matches and its digest is too weak to be believed; over other content it does not match."""
    assert len(found.signers) == (2 if name == "4.6" else 1)
    first, *others = found.signers
    # Diane's certificate leaves the parameters of her DSA key to that of her CA, where the library doesn't look.
    assert [one.fault for one in others] == [SignatureFault.NO_CERTIFICATE] * len(others)
    assert changed.signers[0].fault in (SignatureFault.CONTENT_CHANGED, SignatureFault.WRONG_SIGNATURE)
    assert first.digest_algorithm == "sha1" and first.certificate is not None
    if first.fault is SignatureFault.WEAK_DIGEST:
        return Excuse.SHA1
    assert first.intact, first.fault
    return None


def _signed_mail(folder: Path, name: str) -> str | None:
    wire = (folder / f"{name}.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    found = signed_entity(parse_message(wire))
    assert found is not None and found.detached == (name == "4.8") and found.whole_body
    assert b"This is some sample content." in bytes(found.entity.body)
    changed = _over_other_content(found.signed, b"".join(found.content))
    return _judge(name, verify(found.signed, found.content), changed)


def _certificates_only(folder: Path) -> None:
    found = report((folder / "4.11.bin").read_bytes())
    assert found.signers == (), "without a signer nothing is signed"
    expected = [certificate(folder / f"{who}.cer") for who in ("CarlDSSSelf", "AliceDSSSignByCarlNoInherit")]
    assert set(found.certificates) == set(expected)


def _enveloped(folder: Path, data: bytes, name: str) -> str | None:
    bob = owned(folder / "BobRSASignByCarl.cer", folder / "BobPrivRSAEncrypt.pri")
    diane = owned(folder / "DianeRSASignByCarl.cer", folder / "DianePrivRSASignEncrypt.pri")
    if name == "5.2":
        refused = opened(data, [bob], LegacyPolicy())
        assert isinstance(refused, Undecryptable) and refused.cause == "unsupported", "RC2 only if a policy says so"
        assert isinstance(opened(data, [bob], LegacyPolicy(rc2=True)), Undecryptable)
        return Excuse.RC2_40
    expected = (folder / "ExContent.bin").read_bytes()
    assert plaintext(data, [bob], LegacyPolicy(triple_des=True)).endswith(expected)
    assert isinstance(opened(data, [diane], LegacyPolicy(triple_des=True)), Undecryptable)
    return None


def _enveloped_mail(folder: Path) -> None:
    wire = (folder / "5.3.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    data = cms_object(parse_message(wire))
    assert data is not None
    _enveloped(folder, data, "5.3")


def _other_types(folder: Path, name: str) -> None:
    """DigestedData and EncryptedData are no mail: recognised by name, nothing more."""
    data = (folder / f"{name}.bin").read_bytes()
    try:
        read = read_cms(data)
    except UnreadableCms:
        raise AssertionError("it is a right CMS object of another type") from None
    types = {"6.0": "1.2.840.113549.1.7.5", "7.1": "1.2.840.113549.1.7.6", "7.2": "1.2.840.113549.1.7.6"}
    assert read == OtherContent(types[name])


def _certificate(path: Path) -> str | None:
    try:
        read = certificate(path)
    except UnreadableCertificate:
        assert path.stem == "DianeDSSSignByCarlInherit"
        return Excuse.INHERITED
    assert path.stem.startswith(read.subject.removeprefix("CN=")[:5])
    return None


def _private_key(path: Path) -> None:
    (key,) = read_bundle(path.read_bytes(), None).private_keys
    assert key.pkcs8_der
