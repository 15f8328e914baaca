"""NIST PKITS: the certification paths of signers. What certs/path.py leaves out is excused, each by its words."""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.crl import Crl, crl_finding
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.signer import judge_signer
from tests.interop.conformance.judging import Case, Excuse
from tests.revocation import Book

SUITE = "NIST PKITS"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
REFUSALS = (
    ("2.5.29.36|2.5.29.33", Excuse.POLICY_DEMAND),
    ("Forbidden public key algorithm|keys of type dsa", Excuse.DSA_CA),
    ("must be UtcTime", Excuse.GENERALIZED_TIME),
    ("issuer .* is not known|no interior errors", Excuse.ENCODINGS),
    ("indirect CRL", Excuse.INDIRECT_CRL),
    ("CRL is not signed by the issuer", Excuse.CRL_KEY),
    ("listed since .* certificateHold", Excuse.DELTA_CRL),
    ("unsupported directoryName constraint|unsupported name constraint", Excuse.DIRECTORY_NAMES),
)
"""Words of the refusal of a valid case, and what they excuse."""
ANCHOR_LIST = "TrustAnchorRootCRL.crl"
SELF_ISSUED = ("4.6.15", "4.6.17", "4.12.9")
INHERITED_PARAMETERS = "4.1.5"


def cases(vectors: Path) -> Iterator[Case]:
    folder = vectors / "nist-pkits"
    with (folder / "expectations.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            yield Case(SUITE, f"{row['pkits_section']} {row['name']}", partial(_path, folder, row))


def _path(folder: Path, row: dict[str, str]) -> str | None:
    try:
        signer, *others = (
            _certificate(folder, name) for name in (row["end_entity"], row["trust_anchor"], *row["other_certs"].split())
        )
    except UnreadableCertificate:
        if row["expected"] == "invalid":
            return None
        assert row["pkits_section"] == INHERITED_PARAMETERS
        return Excuse.DSA_CA
    lists = [Crl.read((folder / "crls" / name).read_bytes()) for name in (ANCHOR_LIST, *row["crls"].split())]
    book = Book(lambda link, moment: crl_finding(link, lists, moment, 0.0))
    verdict = judge_signer(signer, Anchors(others[:1], others[1:], {}, book), MOMENT)
    if row["expected"] == "invalid":
        return _wrongly_taken(row) if verdict.usable else None
    return None if verdict.usable else _wrongly_refused(row, verdict.detail)


def _wrongly_taken(row: dict[str, str]) -> str:
    assert row["reason"] == "path" and row["explicit_policy"] == "true", "taken, though no policy was asked for"
    return Excuse.POLICIES


def _wrongly_refused(row: dict[str, str], detail: str) -> str:
    if row["pkits_section"] in SELF_ISSUED:
        assert "signature does not match" in detail
        return Excuse.SELF_ISSUED
    excuses = [excuse for words, excuse in REFUSALS if re.search(words, detail)]
    assert excuses, detail
    return excuses[0]


def _certificate(folder: Path, name: str) -> Certificate:
    return Certificate.from_der((folder / "certs" / name).read_bytes())
