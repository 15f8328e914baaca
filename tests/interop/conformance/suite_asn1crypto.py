"""asn1crypto's CMS files: one object of each content type, one that is forged, one with indefinite lengths."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ime_gateway.smime.compressed import decompress
from ime_gateway.smime.decrypt import LegacyPolicy
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.structures import CmsObject, Compressed, OtherContent
from ime_gateway.smime.verify import SignatureFault
from tests.interop.conformance.judging import Case
from tests.interop.conformance.objects import joined, openssl_output, owned, plaintext, report, signed, unarmoured

SUITE = "asn1crypto CMS"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "asn1crypto-cms"
    judges = {
        "compressed": _compressed,
        "digested": partial(_other_type, "1.2.840.113549.1.7.5"),
        "encrypted": partial(_other_type, "1.2.840.113549.1.7.6"),
        "enveloped": _enveloped,
        "signed": _signed,
        "signed-digested": _forged,
    }
    for name, judge in judges.items():
        for kind in ("der", "pem"):
            data = (folder / f"cms-{name}.{kind}").read_bytes()
            der = data if kind == "der" else unarmoured(data)
            yield Case(SUITE, f"{name}.{kind}", partial(judge, folder, der))
    yield Case(SUITE, "signed-indefinite-length.der", partial(_indefinite, folder))
    yield Case(SUITE, "meca2_compressed.der", partial(_large_compressed, folder))


def _is_message(folder: Path, found: bytes) -> bool:
    """The object that is signed has the line ends of mail, the others have not."""
    message = (folder / "message.txt").read_bytes()
    return found in (message, message.replace(b"\n", b"\r\n"))


def _compressed(folder: Path, data: bytes) -> None:
    assert _is_message(folder, bytes(decompress(_read_compressed(data))))


def _read_compressed(data: bytes) -> Compressed:
    read: CmsObject = read_cms(data)
    assert isinstance(read, Compressed)
    return read


def _other_type(oid: str, folder: Path, data: bytes) -> None:
    assert read_cms(data) == OtherContent(oid)


def _enveloped(folder: Path, data: bytes) -> None:
    key = owned(folder / "keys" / "test.crt", folder / "keys" / "test.key")
    assert _is_message(folder, plaintext(data, [key], LegacyPolicy(triple_des=True)))


def _signed(folder: Path, data: bytes) -> None:
    found = report(data)
    assert [signer.intact for signer in found.signers] == [True]
    assert _is_message(folder, joined(signed(data).content))


def _forged(folder: Path, data: bytes) -> None:
    """Changed by hand by its makers: it must never read as good."""
    assert [signer.intact for signer in report(data).signers] == [False]


def _indefinite(folder: Path) -> None:
    """A parsing test. Its signature is judged too, and the digest of the content by another program."""
    data = (folder / "cms-signed-indefinite-length.der").read_bytes()
    content = joined(signed(data).content)
    assert content.startswith(b"<?xml") and content.rstrip().endswith(b"</referti>")
    (signer,) = report(data).signers
    digest = openssl_output(["dgst", "-sha256", "-binary"], content)
    assert signer.message_digest == digest
    assert signer.fault is SignatureFault.CONTENT_CHANGED, "OpenSSL says so, too"


def _large_compressed(folder: Path) -> None:
    inside = bytes(decompress(_read_compressed((folder / "meca2_compressed.der").read_bytes())))
    assert b"Content-Type:" in inside[:2000]
