"""People's keys for their own programs: what openssl opens with the one-time password, and with no other."""

import secrets
import subprocess
from pathlib import Path

import pytest

from ime_gateway.admin.authority_desk import AuthorityDesk
from ime_gateway.admin.export_desk import Export, ExportDesk
from ime_gateway.admin.issue_desk import IssueDesk
from ime_gateway.base.errors import UserError
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store
from tests.pki import make_user
from tests.unit.admin.conftest import FixedClock

PKI = "http://pki.acme.com"


@pytest.fixture
def issuing(store: Store, clock: FixedClock) -> IssueDesk:
    with store.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.com", deliver_to="smtp://127.0.0.1:9"), ())
    authorities = AuthorityDesk(store.registry, clock, secrets.token_bytes, PKI)
    authorities.init("Acme", "", "p-256", open_root=False, replace=False, actor="test")
    return IssueDesk(store.registry, clock, secrets.token_bytes, PKI)


@pytest.fixture
def desk(store: Store, clock: FixedClock) -> ExportDesk:
    return ExportDesk(store.registry, clock, secrets.token_bytes)


def issue(desk: IssueDesk, kind: str = "p-256", *, again: bool = False) -> list[str]:
    made = desk.issue("anna@acme.com", kind=kind, self_signed=False, again=again, actor="test")  # type: ignore[arg-type]
    return [one.certificate.thumbprint for one in made]


def opened(made: Export, folder: Path, *options: str, password: str = "") -> tuple[int, str]:
    (folder / "x.p12").write_bytes(made.data)
    command = ["openssl", "pkcs12", "-in", "x.p12", "-nodes", "-passin", f"pass:{password or made.password}", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_openssl_opens_key_certificate_and_chain(issuing: IssueDesk, desk: ExportDesk, tmp_path: Path) -> None:
    issue(issuing)
    made = desk.export("Anna@acme.com", compatible=False, actor="test")
    status, text = opened(made, tmp_path, "-info")
    assert status == 0 and made.chain == 2 and text.count("BEGIN CERTIFICATE") == 3
    assert "BEGIN PRIVATE KEY" in text and "friendlyName: anna@acme.com" in text
    assert "AES-256-CBC" in text and "sha256" in text and "3DES" not in text
    assert opened(made, tmp_path, password="wrong")[0] != 0


def test_old_programs_get_what_they_read(issuing: IssueDesk, desk: ExportDesk, tmp_path: Path) -> None:
    issue(issuing)
    made = desk.export("anna@acme.com", compatible=True, actor="test")
    status, text = opened(made, tmp_path, "-info", "-legacy")
    assert status == 0 and "pbeWithSHA1And3-KeyTripleDES-CBC" in text and "MAC: sha1" in text


def test_every_export_has_its_own_password_and_a_line_of_audit(
    issuing: IssueDesk, desk: ExportDesk, store: Store
) -> None:
    [thumbprint] = issue(issuing)
    passwords = {desk.export(thumbprint[7:20], compatible=False, actor="carol").password for _ in range(3)}
    assert len(passwords) == 3 and all(len(one.replace("-", "")) >= 20 for one in passwords)
    with store.registry.transaction(write=False) as live:
        line = live.audit_lines(1)[0]
    assert (line.actor, line.action, line.detail) == ("carol", "cert-export", thumbprint)


def test_the_newest_that_holds(issuing: IssueDesk, desk: ExportDesk, clock: FixedClock) -> None:
    [first] = issue(issuing)
    clock.moment += 86_400
    [second] = issue(issuing, again=True)
    assert desk.export("anna@acme.com", compatible=False, actor="x").certificate.thumbprint == second
    issuing.revoke(second, "superseded", "x")
    assert desk.export("anna@acme.com", compatible=False, actor="x").certificate.thumbprint == first
    clock.moment += 740 * 86_400
    with pytest.raises(UserError, match="none with a private key that is valid now"):
        desk.export("anna@acme.com", compatible=False, actor="x")


def test_a_key_that_no_pkcs12_carries_comes_as_pem(issuing: IssueDesk, desk: ExportDesk) -> None:
    signing, encrypting = issue(issuing, "curve25519")
    with pytest.raises(UserError, match="keys of several kinds; name one by its thumbprint"):
        desk.export("anna@acme.com", compatible=False, actor="x")
    for thumbprint in (signing, encrypting):
        made = desk.export(thumbprint, compatible=False, actor="x")
        bundle = read_bundle(made.data, made.password)
        assert [entry.thumbprint for entry in bundle.private_keys] == [thumbprint]
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in made.data


def test_what_cannot_be_exported(issuing: IssueDesk, desk: ExportDesk, store: Store) -> None:
    guest = make_user("guest@acme.com", kind="p256")
    with store.registry.transaction(write=True) as live:
        live.put_certificate(guest.certificate, ("guest@acme.com",), None)
    for which, words in (
        ("nobody@acme.com", "there is none here"),
        ("guest@acme.com", "none with a private key"),
        (guest.certificate.thumbprint, "is not here"),
        ("abcdef0123", "domain key export"),
        ("abc", "digits"),
        ("not an address@@", "is no mail address"),
    ):
        with pytest.raises(UserError, match=words):
            desk.export(which, compatible=False, actor="x")
