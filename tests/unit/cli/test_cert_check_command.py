"""`cert check`: every candidate with every piece of evidence, and the network only when asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pki import Entity, make_ca, make_user
from tests.revocation import WebServer, make_crl, points
from tests.unit.cli.conftest import Cli


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def allow_loopback(config: Path) -> None:
    text = config.read_text()
    assert "# allow_networks = []" in text
    config.write_text(text.replace("# allow_networks = []", 'allow_networks = ["127.0.0.1/32"]'))


def test_an_address_its_evidence_and_a_revocation(
    cli: Cli, config: Path, site: Path, root: Entity, tmp_path: Path, web: WebServer
) -> None:
    emil = make_user("emil@acme.example", root, extra=[points(web.url("/a.crl"))])
    emil.write(tmp_path, "emil")
    web.give("/a.crl", make_crl(root, [emil]))
    assert cli("apply", "-c", config, site).status == 0
    assert cli("cert", "import", "-c", config, tmp_path / "emil.pem").status == 0

    (before,) = cli("cert", "check", "emil@acme.example", "--json", "-c", config).json
    assert before["usable"] and before["selected_by"] == "automatic" and before["kind"] == "personal"
    assert any(line.startswith("path: ") for line in before["evidence"])
    assert any("unasked" in line for line in before["evidence"]) and web.asked == []

    (refused,) = cli("cert", "check", "emil@acme.example", "--fetch", "--json", "-c", config).json
    assert refused["usable"] and web.asked == [], "loopback is not asked unless allowed"
    assert any("allow_networks" in line for line in refused["evidence"])

    allow_loopback(config)
    other = make_user("fritz@acme.example", root, extra=[points(web.url("/b.crl"))])
    other.write(tmp_path, "fritz")
    web.give("/b.crl", make_crl(root, [other]))
    assert cli("cert", "import", "-c", config, tmp_path / "fritz.pem").status == 0
    (revoked,) = cli("cert", "check", "fritz@acme.example", "--fetch", "--json", "-c", config).json
    assert (revoked["usable"], revoked["reason"]) == (False, "certificate-revoked") and web.asked == ["/b.crl"]
    (again,) = cli("cert", "check", "fritz@acme.example", "--json", "-c", config).json
    assert again["reason"] == "certificate-revoked" and web.asked == ["/b.crl"], "the store remembers"
    printed = cli("cert", "check", "fritz@acme.example", "-c", config)
    assert "not used as personal certificate (automatic): certificate-revoked" in printed.out
    assert "listed since" in printed.out


def test_a_fetch_that_failed_is_made_anew_at_once(
    cli: Cli, config: Path, site: Path, root: Entity, tmp_path: Path, web: WebServer
) -> None:
    allow_loopback(config)
    emil = make_user("emil@acme.example", root, extra=[points(web.url("/a.crl"))])
    emil.write(tmp_path, "emil")
    assert cli("apply", "-c", config, site).status == 0
    (before,) = cli("cert", "check", tmp_path / "emil.pem", "--fetch", "--json", "-c", config).json
    assert before["usable"] and any("404" in line for line in before["evidence"]) and web.asked == ["/a.crl"]
    web.give("/a.crl", make_crl(root, [emil]))
    (after,) = cli("cert", "check", tmp_path / "emil.pem", "--fetch", "--json", "-c", config).json
    assert after["reason"] == "certificate-revoked" and web.asked == ["/a.crl", "/a.crl"]


def test_a_domain_and_a_file(cli: Cli, config: Path, site: Path, root: Entity, tmp_path: Path) -> None:
    domain = make_user("domain-confidentiality-authority@partner.example", root)
    domain.write(tmp_path, "partner")
    with site.open("a") as file:
        file.write('[[partner_domain]]\nname = "*.partner.example"\nsmime_certificates = ["partner.pem"]\n')
    assert cli("apply", "-c", config, site).status == 0
    (found,) = cli("cert", "check", "sales.partner.example", "--json", "-c", config).json
    assert found["kind"] == "domain" and found["selected_by"] == "inherited" and found["usable"]
    assert found["thumbprint"] == domain.certificate.thumbprint
    stranger = make_user("x@y.example")
    stranger.write(tmp_path, "stranger")
    (file_,) = cli("cert", "check", tmp_path / "stranger.pem", "--json", "-c", config).json
    assert (file_["selected_by"], file_["reason"]) == ("file", "certificate-untrusted")


def test_wrong_words(cli: Cli, config: Path, tmp_path: Path) -> None:
    for what, sentence in (
        ("nobody.example", "neither a domain of ours nor a partner"),
        ("a@@b", "neither an address"),
    ):
        ended = cli("cert", "check", what, "-c", config)
        assert ended.status == 1 and sentence in ended.err
    junk = tmp_path / "junk.pem"
    junk.write_text("nothing")
    assert cli("cert", "check", junk, "-c", config).status == 1
    assert cli("cert", "check", "nobody@acme.example", "-c", config).out.startswith("no certificate is known")


def test_the_path_through_a_ca_that_came_beside_its_root(
    cli: Cli, config: Path, site: Path, root: Entity, tmp_path: Path
) -> None:
    issuing = make_ca("Issuing CA", root)
    (tmp_path / "root.pem").write_bytes(root.pem + issuing.pem)
    make_user("emil@acme.example", issuing).write(tmp_path, "emil")
    assert cli("apply", "-c", config, site).status == 0
    checked = cli("cert", "check", tmp_path / "emil.pem", "-c", config)
    assert f"< {issuing.certificate.subject} < {root.certificate.subject} (root)" in checked.out
    assert f"revocation of {issuing.certificate.subject}" in checked.out
