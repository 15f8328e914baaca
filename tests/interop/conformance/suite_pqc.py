"""CMS objects of the IETF hackathon with ML-KEM, ML-DSA and SLH-DSA: newer than this version, and refused by name."""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ime_gateway.smime.decrypt import Undecryptable
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.signature_report import SignatureFault
from ime_gateway.smime.structures import Enveloped, OtherRecipient
from tests.interop.conformance.judging import Case, Excuse
from tests.interop.conformance.objects import joined, opened, report, signed

SUITE = "Post-quantum CMS"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "pqc-cms"
    with zipfile.ZipFile(folder / "carl-redhound_artifacts_cms_v3.zip") as archive:
        for name in sorted(archive.namelist()):
            if "_kemri_" in name and name.startswith("artifacts"):
                yield Case(SUITE, _short(name), partial(_enveloped, archive.read(name), "mlkem" in name))
    with zipfile.ZipFile(folder / "ossl35_artifacts_cms_v3.zip") as archive:
        text = archive.read("expected_plaintext.txt")
        for name in sorted(archive.namelist()):
            if name.endswith("_signed_attrs.der"):
                yield Case(SUITE, _short(name), partial(_signed, archive.read(name), text))


def _short(name: str) -> str:
    return Path(name).stem


def _enveloped(data: bytes, pure: bool) -> str:
    read = read_cms(data)
    assert isinstance(read, Enveloped)
    assert read.recipients and all(isinstance(recipient, OtherRecipient) for recipient in read.recipients)
    refused = opened(data, [])
    assert isinstance(refused, Undecryptable) and refused.cause in ("no-key", "unsupported")
    return Excuse.POST_QUANTUM_KEY if pure else Excuse.COMPOSITE


def _signed(data: bytes, text: bytes) -> str:
    assert joined(signed(data).content) == text
    for signer in report(data).signers:
        assert signer.fault in (SignatureFault.UNKNOWN_SIGNATURE, SignatureFault.UNKNOWN_DIGEST)
    return Excuse.POST_QUANTUM_SIGNATURE
