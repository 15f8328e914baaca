"""Listings say of a certificate what mail says (P4), out of what the store knows about revocations; they ask nobody."""

import asyncio
import time
from pathlib import Path

import pytest

from ime_gateway.app.installation import open_installation
from ime_gateway.ports.revocation import StoredAnswer
from tests.pki import Entity, make_user
from tests.revocation import make_crl, points
from tests.unit.cli.conftest import Cli

URL = "http://crl.partner.example/a.crl"
PARTNER = """[[partner_domain]]
name = "partner.example"
encryption = "mandatory"
smime_certificates = ["domain.pem"]
"""


@pytest.fixture
def people(cli: Cli, config: Path, site: Path, root: Entity, tmp_path: Path) -> tuple[Entity, Entity]:
    """Emil and the domain certificate of a partner, both with a distribution point; nothing was asked yet."""
    emil = make_user("emil@acme.example", root, extra=[points(URL)])
    domain = make_user("domain-confidentiality-authority@partner.example", root, extra=[points(URL)])
    emil.write(tmp_path, "emil")
    domain.write(tmp_path, "domain")
    site.write_text(f"{site.read_text()}\n{PARTNER}")
    assert cli("apply", "-c", config, site).status == 0
    assert cli("cert", "import", "-c", config, tmp_path / "emil.pem").status == 0
    return emil, domain


def store_crl(config: Path, der: bytes) -> None:
    """As a worker would have fetched it just now."""
    now = time.time()
    with open_installation(config) as installation:
        asyncio.run(installation.store.revocations.keep(StoredAnswer("crl", URL, der, now, now + 86_400, now, "", now)))


def reasons(cli: Cli, config: Path, emil: Entity) -> dict[str, object]:
    """What each listing says."""
    (checked,) = cli("cert", "check", "emil@acme.example", "--json", "-c", config).json
    listed = cli("cert", "list", "emil@acme.example", "--json", "-c", config).json
    shown = cli("cert", "show", emil.certificate.thumbprint, "--json", "-c", config).json
    of_domain = cli("domain", "show", "partner.example", "--json", "-c", config).json
    domains = cli("domain", "list", "--json", "-c", config).json
    return {
        "cert check": checked["reason"],
        "cert list": [one["reason"] for one in listed],
        "cert show": shown["reason"],
        "domain show": [one["reason"] for one in of_domain["certificates"]],
        "domain list": [
            one["reason"] for row in domains if row.get("name") == "partner.example" for one in row["certificates"]
        ],
    }


def expected(person: str, domain: str) -> dict[str, object]:
    return {
        "cert check": person,
        "cert list": [person],
        "cert show": person,
        "domain show": [domain],
        "domain list": [domain],
    }


def test_a_revocation_that_mail_learnt_is_in_every_listing(
    cli: Cli, config: Path, people: tuple[Entity, Entity], root: Entity
) -> None:
    emil, domain = people
    assert reasons(cli, config, emil) == expected("personal-certificate", "domain-certificate")
    store_crl(config, make_crl(root, [emil, domain]))
    assert reasons(cli, config, emil) == expected("certificate-revoked", "certificate-revoked")
    diagnosis = cli("doctor", "--json", "-c", config).json
    assert ("emil@acme.example", "certificate-revoked") in [
        (one["address"], one["reason"]) for one in diagnosis["unreachable"]
    ]
    assert [one["reason"] for one in diagnosis["domain_certificates"]] == ["certificate-revoked"]
    assert "none of its certificates is usable (certificate-revoked)" in cli("check", "-c", config).out


def test_a_list_of_somebody_else_revokes_nothing(
    cli: Cli, config: Path, people: tuple[Entity, Entity], root: Entity
) -> None:
    emil, domain = people
    store_crl(config, make_crl(root, [emil, domain], signer=make_user("stranger@evil.example")))
    assert reasons(cli, config, emil) == expected("personal-certificate", "domain-certificate")


def test_hard_fail_what_nobody_asked_yet(
    cli: Cli, config: Path, site: Path, people: tuple[Entity, Entity], root: Entity
) -> None:
    emil, _ = people
    text = site.read_text()
    policy = '[policy]\nrevocation = "hard-fail"\n'
    site.write_text(text.replace("[policy]\n", policy) if "[policy]\n" in text else f"{policy}\n{text}")
    applied = cli("apply", "-c", config, site)
    assert applied.status == 0 and "is not used" not in applied.out + applied.err
    assert reasons(cli, config, emil) == expected("revocation-unknown", "revocation-unknown")
    diagnosis = cli("doctor", "--json", "-c", config).json
    assert "emil@acme.example" not in [one["address"] for one in diagnosis["unreachable"]], "the first mail will ask"
    assert diagnosis["domain_certificates"] == []
    assert "none of its certificates is usable" not in cli("check", "-c", config).out
    store_crl(config, make_crl(root))
    assert reasons(cli, config, emil) == expected("personal-certificate", "domain-certificate")
