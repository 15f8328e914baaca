"""`export`: the whole live data, the same text every time, and private keys only when sealed."""

import secrets
import subprocess
import tomllib
from pathlib import Path

import pytest

from ime_gateway.admin.site_apply import SiteDesk, all_certificates
from ime_gateway.admin.site_export import PASSPHRASE_VARIABLE, ExportDesk, SiteExport
from ime_gateway.admin.site_file import read_site
from ime_gateway.admin.toml_text import toml_value
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.load import load_site
from ime_gateway.store.database import open_store
from tests.pki import make_ca, make_user

EVERYTHING = """\
[policy]
on_unprotectable = "report"
calendar = "pass"
hierarchy = ["smime-domain", "smime-personal"]
[policy.subject_keywords]
encrypt = ["[vertraulich]", "[\\"geheim\\"]"]
[[managed_domain]]
name = "acme.example"
deliver_to = "smtp://127.0.0.1:10025"
return_to = "smtp://[::1]:10026"
internal_certificates = ["bob.pem"]
[[managed_domain]]
name = "münchen.example"
deliver_to = "mx"
[[partner_domain]]
name = "*.partner.example"
encryption = "on-request"
smime_certificates = ["partner.pem", "root.pem"]
route = "smtp://partner.example:2525"
[[partner_domain]]
name = "quiet.example"
[[certificate]]
file = "anna.p12"
password = "swordfish"
addresses = ["anna@acme.example", "a.ammann@acme.example"]
[[certificate]]
file = "stranger.pem"
[[certificate]]
file = "link.pem"
[[root]]
file = "root.pem"
[[trust]]
file = "stranger.pem"
verdict = "allow"
allow_expired = true
note = 'said "yes" on \\ 2 Feb'
[[trust]]
file = "bob.pem"
verdict = "deny"
"""


@pytest.fixture
def filled(site, people) -> None:
    link = make_ca("Link CA", people.root)
    (site.folder / "link.pem").write_bytes(link.pem)
    (site.folder / "anna.p12").write_bytes(people.anna.pkcs12("swordfish"))
    site.apply(EVERYTHING)


def write(exported: SiteExport, folder: Path) -> Path:
    for name, content in exported.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "site.toml").write_text(exported.text, encoding="utf-8")
    return folder / "site.toml"


def applied_anew(
    exported: SiteExport, folder: Path, clock, environment: dict[str, str], passphrase: str | None
) -> SiteExport:
    """Export, apply into a new installation, export from there."""
    path = write(exported, folder / "export")
    (folder / "other").mkdir()
    url = f"sqlite:///{folder}/other/gateway.db"
    store = open_store(url, bytes(range(32)), folder / "other", clock, secrets.token_bytes)
    try:
        store.migrate()
        contents = read_site(load_site(path), Path.read_bytes, environment)
        SiteDesk(store.registry, clock, secrets.token_bytes).apply(contents, prune=False, dry_run=False, actor="test")
        return ExportDesk(store.registry).export(passphrase=passphrase, actor="test")
    finally:
        store.close()


@pytest.mark.usefixtures("filled")
def test_round_trip(registry: Registry, tmp_path: Path, clock) -> None:
    exported = ExportDesk(registry).export()
    assert applied_anew(exported, tmp_path, clock, {}, None) == exported


@pytest.mark.usefixtures("filled")
def test_applying_an_export_to_itself_changes_nothing(site, registry: Registry) -> None:
    exported = ExportDesk(registry).export()
    write(exported, site.folder)
    report = site.apply(exported.text, prune=True)
    assert not report.changed, [change for change in report.changes if change.kind != "unchanged"]


@pytest.mark.usefixtures("filled")
def test_nothing_is_left_out(registry: Registry) -> None:
    exported = ExportDesk(registry).export()
    site = tomllib.loads(exported.text)
    assert site["policy"]["on_unprotectable"] == "report"
    assert site["policy"]["hierarchy"] == ["smime-domain", "smime-personal"]
    assert site["policy"]["subject_keywords"]["encrypt"] == ["[vertraulich]", '["geheim"]']
    assert [domain["name"] for domain in site["managed_domain"]] == ["acme.example", "xn--mnchen-3ya.example"]
    assert len(site["managed_domain"][0]["internal_certificates"]) == 1
    assert len(site["partner_domain"][0]["smime_certificates"]) == 2
    assert site["partner_domain"][0]["route"] == "smtp://partner.example:2525"
    assert {tuple(one.get("addresses", ())) for one in site["certificate"]} == {
        ("a.ammann@acme.example", "anna@acme.example"),
        ("stranger@acme.example",),
        (),
    }
    assert len(site["root"]) == 1
    assert {(one["verdict"], one.get("allow_expired", False), one.get("note", "")) for one in site["trust"]} == {
        ("allow", True, 'said "yes" on \\ 2 Feb'),
        ("deny", False, ""),
    }


@pytest.mark.usefixtures("filled")
def test_private_keys_stay_behind(registry: Registry, people) -> None:
    exported = ExportDesk(registry).export()
    everything = exported.text.encode() + b"".join(exported.files.values())
    assert b"PRIVATE KEY" not in everything and people.anna.key_der not in everything
    assert all(name.endswith(".pem") for name in exported.files)
    assert all(content.count(b"-----BEGIN") == 1 for content in exported.files.values())


@pytest.mark.usefixtures("filled")
def test_private_keys_travel_sealed(registry: Registry, people, tmp_path: Path, clock) -> None:
    passphrase = "correct horse battery"
    exported = ExportDesk(registry).export(passphrase=passphrase, actor="test")
    (sealed,) = [content for name, content in exported.files.items() if name.endswith(".p12")]
    assert passphrase not in exported.text and people.anna.key_der not in sealed
    with registry.transaction(write=False) as live:
        assert live.audit_lines()[0].action == "site-export-with-keys"
    (tmp_path / "anna.p12").write_bytes(sealed)
    shown = subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "anna.p12", "-passin", f"pass:{passphrase}", "-info", "-nodes"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"BEGIN PRIVATE KEY" in shown.stdout
    assert b"PBES2, PBKDF2, AES-256-CBC" in shown.stderr and b"Iteration 600000" in shown.stderr
    wrong = subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "anna.p12", "-passin", "pass:wrong", "-nodes"], capture_output=True
    )
    assert wrong.returncode != 0
    again = applied_anew(exported, tmp_path, clock, {PASSPHRASE_VARIABLE: passphrase}, passphrase)
    assert again.text == exported.text
    assert set(again.files) == set(exported.files)


def test_file_names_cannot_leave_the_folder(site, registry: Registry, people) -> None:
    hostile = make_user("../../etc/x@acme.example", people.root, san=False, common_name="x")
    (site.folder / "x.pem").write_bytes(hostile.pem)
    site.apply('[[certificate]]\nfile = "x.pem"\naddresses = [\'"../../etc/passwd"@acme.example\']\n')
    exported = ExportDesk(registry).export()
    with registry.transaction(write=False) as live:
        assert next(all_certificates(live)).addresses
    for name in exported.files:
        assert name.startswith("certs/") and name.count("/") == 1 and ".." not in name


@pytest.mark.parametrize(
    "value", ["", 'a"b\\c', "tab\tnew\nline", "\x7f\x00\x1f", "ünï €", ["a", "b"], [], True, 7, 1.5]
)
def test_toml_values_read_back(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


def test_toml_has_no_form_for_nothing() -> None:
    with pytest.raises(TypeError):
        toml_value(None)
