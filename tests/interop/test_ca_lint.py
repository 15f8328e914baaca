"""The built-in CA's output before pkilint, which knows RFC 5280 and the S/MIME baseline requirements by heart."""

import json
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ime_gateway.certs.authority import (
    LONGEST_LEAF_DAYS,
    Places,
    Revoked,
    Signer,
    authority_name,
    issue,
    make_crl,
    make_issuing,
    make_root,
)
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.key_kinds import KeyKind, SigningPrivateKey, make_key
from tests.pki import rsa_key

NOW = float(int(time.time()))
PLACES = Places("http://pki.acme.com/pki/x.crl", "http://pki.acme.com/pki/x.cer")
"""A name that could be real: the baseline requirements forbid those of RFC 2606."""
KINDS: list[KeyKind] = ["rsa-3072", "p-256", "p-384"]


@dataclass(frozen=True)
class Chain:
    root: Signer
    issuing: Signer


def signing(kind: KeyKind, number: int) -> SigningPrivateKey:
    key = rsa_key(number, 3072) if kind == "rsa-3072" else make_key(kind)
    assert isinstance(key, SigningPrivateKey)
    return key


def chain(kind: KeyKind) -> Chain:
    key, below = signing(kind, 1), signing(kind, 2)
    name = authority_name("Acme GmbH", "DE", "S/MIME Root CA G1")
    domains = ["acme.com"]
    made = make_root(name, key, domains, moment=NOW, days=3650, randomness=secrets.token_bytes)
    root = Signer(made, key)
    issuing = make_issuing(
        root, authority_name("Acme GmbH", "DE", "S/MIME CA G1"), below.public_key(), domains, PLACES,
        moment=NOW, days=1825, randomness=secrets.token_bytes,
    )  # fmt: skip
    return Chain(root, Signer(issuing, below))


def findings(linter: str, data: bytes, folder: Path, *options: str) -> list[str]:
    """What pkilint says of severity warning and above, one line each."""
    file = folder / "linted.der"
    file.write_bytes(data)
    command = [
        sys.executable,
        "-m",
        f"pkilint.bin.{linter}",
        "lint",
        *options,
        "-s",
        "WARNING",
        "-f",
        "JSON",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    results = json.loads(done.stdout)["results"]
    return [
        f"{one['severity']} {one['code']}: {one.get('message')}"
        for result in results
        for one in result["finding_descriptions"]
    ]


def leaf(issuer: Signer, kind: KeyKind, *addresses: str, days: int = 730) -> Certificate:
    key = rsa_key(3, 3072) if kind == "rsa-3072" else make_key(kind)
    return issue(
        issuer, addresses, key.public_key(), PLACES,
        moment=NOW, days=days, randomness=secrets.token_bytes, opened_here=True,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_of_people_and_domains(kind: KeyKind, tmp_path: Path) -> None:
    made = chain(kind)
    domain = ("domain-confidentiality-authority@acme.com", "domain-signing-authority@acme.com")
    for addresses in (("anna@acme.com",), domain, (f"{'a' * 60}@acme.com",)):
        certificate = leaf(made.issuing, kind, *addresses)
        assert findings("lint_cabf_smime_cert", certificate.der, tmp_path, "-d") == []


def test_the_longest_life(tmp_path: Path) -> None:
    certificate = leaf(chain("p-256").issuing, "p-256", "anna@acme.com", days=LONGEST_LEAF_DAYS)
    assert findings("lint_cabf_smime_cert", certificate.der, tmp_path, "-d") == []


def test_ed25519_for_signing(tmp_path: Path) -> None:
    certificate = leaf(chain("p-256").issuing, "ed25519", "anna@acme.com")
    assert findings("lint_cabf_smime_cert", certificate.der, tmp_path, "-d") == []


def test_the_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    """X25519 stands in no baseline requirement: known, and proof that the linter looks."""
    certificate = leaf(chain("p-256").issuing, "x25519", "anna@acme.com")
    assert findings("lint_cabf_smime_cert", certificate.der, tmp_path, "-d") != []


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_of_the_authorities(kind: KeyKind, tmp_path: Path) -> None:
    made = chain(kind)
    for signer in (made.root, made.issuing):
        assert findings("lint_pkix_cert", signer.certificate.der, tmp_path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_revocation_lists(kind: KeyKind, tmp_path: Path) -> None:
    made = chain(kind)
    revoked = [Revoked(5, NOW - 3600, "keyCompromise"), Revoked(6, NOW, "unspecified")]
    crl = make_crl(made.issuing, 3, revoked, moment=NOW, next_update=NOW + 7 * 86_400)
    assert findings("lint_crl", crl, tmp_path, "-p", "PKIX", "-t", "CRL") == []
