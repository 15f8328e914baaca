"""A partner's program fetches our revocation list from a running gateway, and sees a revocation at once."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.servers.gateway import Gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    made.configure(next_hop=1, workers=1)
    text = made.config.read_text()
    portal = f'portal = "127.0.0.1:{made.portal_port}"'
    assert portal in text
    made.config.write_text(text.replace(portal, f'{portal}\npki_url = "http://127.0.0.1:{made.portal_port}"'))
    made.apply('[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:1"\n')
    made.start()
    yield made
    made.stop()


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def verified(folder: Path) -> str:
    """openssl fetches the lists from the address in the certificates by itself."""
    command = ["openssl", "verify", "-crl_check", "-crl_download", "-CAfile", "ca.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_a_revocation_reaches_partners(gateway: Gateway, tmp_path: Path) -> None:
    gateway.command("ca", "init", "Acme", "--kind", "p-256")
    made = json.loads(gateway.command("cert", "issue", "anna@acme.example", "--kind", "p-256", "--json"))[0]
    exported = gateway.command("cert", "export", "anna@acme.example", "--out", str(tmp_path / "anna.p12"))
    password = next(line for line in exported.splitlines() if line.startswith("One-time")).split(": ")[1]
    gateway.command("ca", "export", "--out", str(tmp_path / "ca.pem"))
    leaf = subprocess.run(
        ["openssl", "pkcs12", "-in", "anna.p12", "-clcerts", "-nokeys", "-passin", f"pass:{password}"],
        cwd=tmp_path, capture_output=True, check=True,
    ).stdout  # fmt: skip
    (tmp_path / "leaf.pem").write_bytes(leaf)
    assert verified(tmp_path) == "leaf.pem: OK\n"

    root, issuing = gateway.json("ca", "show")
    issuer = x509.load_der_x509_certificate(fetched(issuing["crl_url"].replace(".crl", ".cer")))
    assert issuer.subject == x509.load_pem_x509_certificate(leaf[leaf.index(b"-----BEGIN") :]).issuer
    assert x509.load_der_x509_crl(fetched(root["crl_url"])).issuer == issuer.issuer

    gateway.command("cert", "revoke", made["thumbprint"], "--reason", "keyCompromise")
    assert "certificate revoked" in verified(tmp_path)


def test_the_public_address_shows_nothing_else(gateway: Gateway) -> None:
    for path in ("/", "/login", "/healthz", "/pki/root-0000000000000000.crl", "/pki/../login"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fetched(f"http://127.0.0.1:{gateway.portal_port}{path}")
        with refused.value as error:
            assert (error.code, error.read()) == (404, b"Not Found\n")
            assert "Set-Cookie" not in error.headers and "waitress" not in error.headers.get("Server", "")
