"""`apply` and `export` of IME addresses: a key is made once, brought once, never lost by accident."""

import secrets
import subprocess
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from ime_gateway.admin.site_apply import SiteDesk
from ime_gateway.admin.site_export import PASSPHRASE_VARIABLE, ExportDesk
from ime_gateway.admin.site_file import read_site
from ime_gateway.base.errors import ConfigurationError, UserError
from ime_gateway.ports.registry import ImeKeyEntry, Registry
from ime_gateway.settings.load import load_site
from ime_gateway.store.database import open_store
from tests.pki import Entity, key_usage, make_user

ADDRESS = "dca@ime.acme.example"
SITE = f'[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\nime_address = "{ADDRESS}"\n'
DAY = 86_400


@pytest.fixture(scope="session")
def dca() -> Entity:
    return make_user(ADDRESS)


def keys(registry: Registry) -> list[ImeKeyEntry]:
    with registry.transaction(write=False) as live:
        return live.ime_keys("acme.example")


def acts(report, *kinds: str) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in report.changes if one.what == "IME key" and one.kind in kinds]


def test_a_key_is_made_when_there_is_none(site, registry: Registry, clock) -> None:
    report = site.apply(SITE)
    assert acts(report, "added") == [("added", ADDRESS)]
    (key,) = keys(registry)
    certificate = key.certificate
    assert certificate.addresses == (ADDRESS,)
    assert (certificate.key_kind, certificate.key_bits) == ("rsa", 3072)
    assert certificate.not_after > clock.now() + 3 * 364 * DAY
    with registry.transaction(write=False) as live:
        assert ("ime-issue", f"acme.example {certificate.thumbprint}") in {
            (line.action, line.detail) for line in live.audit_lines()
        }
    again = site.apply(SITE, prune=True)
    assert not again.changed
    assert [one.certificate for one in keys(registry)] == [certificate]
    assert report.notes == ()


def test_a_dry_run_tells_of_the_key_and_makes_none(site, registry: Registry) -> None:
    would = site.apply(SITE, dry_run=True)
    assert keys(registry) == []
    assert site.apply(SITE) == would


def test_an_address_may_be_left_without_key(site, registry: Registry) -> None:
    report = site.apply(SITE + 'ime_key = ""\n')
    assert keys(registry) == []
    assert any("there is no IME key, so every container is refused" in note for note in report.notes)


@pytest.mark.parametrize("form", ["p12", "pem"])
def test_a_key_comes_in_a_file(site, registry: Registry, dca: Entity, form: str, clock) -> None:
    site.apply(SITE)
    (made,) = keys(registry)
    if form == "p12":
        (site.folder / "dca.p12").write_bytes(dca.pkcs12("swordfish"))
        text = SITE + 'ime_key = "dca.p12"\nime_key_password_env = "DCA"\n'
        site.environment["DCA"] = "swordfish"
    else:
        (site.folder / "dca.pem").write_bytes(dca.pem + dca.key_pem)
        text = SITE + 'ime_key = "dca.pem"\n'
    report = site.apply(text)
    assert [kind for kind, _ in acts(report, "changed")] == ["changed"]
    current, older = keys(registry)
    assert current.certificate == dca.certificate
    assert (older.certificate, older.opens_until) == (made.certificate, clock.now() + 14 * DAY)
    with registry.transaction(write=False) as live:
        assert live.ime_private_key("acme.example", dca.certificate.thumbprint) == dca.key_der
        resting = live.view().managed["acme.example"].model_dump_json()
    assert "dca" not in resting.replace(ADDRESS, ""), "no path and no password of the machine is stored"
    assert not site.apply(text).changed
    assert not site.apply(SITE).changed, '"generate" makes a key only when there is none'


@pytest.mark.parametrize(
    ("entity", "sentence"),
    [
        (lambda: make_user("anna@acme.example"), r"certificate is for anna@acme.example, not for dca@ime.acme.example"),
        (lambda: make_user(ADDRESS, key_bits=1024), r"1024 bits"),
        (lambda: make_user(ADDRESS, eku=(ExtendedKeyUsageOID.SERVER_AUTH,)), r"cannot be used"),
    ],
)
def test_files_that_are_no_key_for_it(site, registry: Registry, entity, sentence: str) -> None:
    one = entity()
    (site.folder / "dca.pem").write_bytes(one.pem + one.key_pem)
    with pytest.raises(ConfigurationError, match=r"line 5.*ime_key: dca.pem: .*" + sentence):
        site.apply(SITE + 'ime_key = "dca.pem"\n')
    assert keys(registry) == []


def test_files_without_a_pair(site, dca: Entity, people) -> None:
    for content, sentence in (
        (dca.pem, "holds no private key"),
        (dca.pem + people.anna.key_pem, "belongs to none"),
        (dca.pem + dca.key_pem + people.anna.pem + people.anna.key_pem, "holds 2 certificates with private keys"),
    ):
        (site.folder / "dca.pem").write_bytes(content)
        with pytest.raises(ConfigurationError, match=sentence):
            site.apply(SITE + 'ime_key = "dca.pem"\n')
    (site.folder / "dca.p12").write_bytes(dca.pkcs12("swordfish"))
    advice = r"dca.p12: .*; set ime_key_password, ime_key_password_file or ime_key_password_env$"
    with pytest.raises(ConfigurationError, match=advice) as locked:
        site.apply(SITE + 'ime_key = "dca.p12"\n')
    assert locked.value.evidence == "", "nothing for people in the name of a Python error"
    with pytest.raises(ConfigurationError, match=r"dca.p12: .*password is wrong"):
        site.apply(SITE + 'ime_key = "dca.p12"\nime_key_password = "wrong"\n')
    with pytest.raises(ConfigurationError, match="give only one of"):
        site.apply(SITE + 'ime_key = "dca.p12"\nime_key_password = "x"\nime_key_password_env = "Y"\n')


def test_odd_certificates_are_taken_with_a_word(site, registry: Registry) -> None:
    odd = make_user("topsecret@ime.acme.example", ku=key_usage(digital_signature=True))
    (site.folder / "dca.pem").write_bytes(odd.pem + odd.key_pem)
    report = site.apply(SITE + 'ime_key = "dca.pem"\n')
    assert [key.certificate for key in keys(registry)] == [odd.certificate]
    assert any("keyEncipherment" in note for note in report.notes)
    assert any("is for topsecret@ime.acme.example" in note for note in report.notes)


def test_certificates_that_end_are_named(site, registry: Registry, clock) -> None:
    site.apply(SITE)
    (key,) = keys(registry)
    clock.moment = key.certificate.not_after - 29 * DAY
    assert any(
        "expires at" in note and note.endswith("run: ime-gateway ime rotate acme.example")
        for note in site.apply(SITE).notes
    )
    clock.moment = key.certificate.not_after + 1
    assert any("expired at" in note for note in site.apply(SITE).notes)


def test_first_use_is_said_to_be_weaker(site) -> None:
    assert any("weaker" in note for note in site.apply(SITE + 'ime_signers = "first-use"\n').notes)


def test_addresses_stand_in_no_others_way(site, registry: Registry) -> None:
    site.apply(SITE)
    other = SITE.replace('"acme.example"', '"other.example"')
    with pytest.raises(UserError, match=r"acme.example uses ime.acme.example already"):
        site.apply(other)
    with pytest.raises(UserError, match="a domain of its own here"):
        site.apply('[[managed_domain]]\nname = "ime.acme.example"\ndeliver_to = "mx"\n')
    report = site.apply(other, prune=True)
    assert any("IME keys of acme.example are removed with it" in note for note in report.notes)
    with registry.transaction(write=False) as live:
        assert {key.domain for key in live.ime_keys()} == {"other.example"}


def test_ime_1_and_2_need_a_domain_each(site, registry: Registry) -> None:
    with pytest.raises(UserError, match=r"site.toml, line 4: .*ime_address: imepseudodomain.local is the domain of"):
        site.apply(SITE.replace(ADDRESS, "dca@imepseudodomain.local"))
    assert keys(registry) == []


def test_prune_removes_no_key_of_a_domain_that_stays(site, registry: Registry) -> None:
    site.apply(SITE)
    report = site.apply('[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n', prune=True)
    assert len(keys(registry)) == 1
    assert any("has IME keys and no IME address" in note for note in report.notes)


def exported_elsewhere(site, registry: Registry, folder: Path, clock, passphrase: str | None):
    """Export, apply it to a new installation, and give that one's keys and its own export."""
    exported = ExportDesk(registry).export(passphrase=passphrase, actor="test")
    (folder / "export" / "certs").mkdir(parents=True)
    for name, content in (*exported.files.items(), ("site.toml", exported.text.encode())):
        (folder / "export" / name).write_bytes(content)
    (folder / "other").mkdir()
    store = open_store(
        f"sqlite:///{folder}/other/gateway.db", bytes(range(32)), folder / "other", clock, secrets.token_bytes
    )
    try:
        store.migrate()
        environment = {PASSPHRASE_VARIABLE: passphrase} if passphrase else {}
        contents = read_site(load_site(folder / "export" / "site.toml"), Path.read_bytes, environment)
        desk = SiteDesk(store.registry, clock, secrets.token_bytes)
        desk.apply(contents, prune=False, dry_run=False, actor="test")
        return exported, keys(store.registry), ExportDesk(store.registry).export(passphrase=passphrase, actor="test")
    finally:
        store.close()


def test_an_export_with_keys_takes_the_ime_key_along(site, registry: Registry, tmp_path: Path, clock) -> None:
    site.apply(SITE + 'ime_signers = "registered"\n')
    passphrase = "correct horse battery"
    exported, there, again = exported_elsewhere(site, registry, tmp_path, clock, passphrase)
    assert [key.certificate for key in there] == [key.certificate for key in keys(registry)]
    assert again.text == exported.text
    assert 'ime_signers = "registered"' in exported.text
    (sealed,) = [content for name, content in exported.files.items() if name.endswith(".p12")]
    (tmp_path / "x.p12").write_bytes(sealed)
    wrong = subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "x.p12", "-passin", "pass:wrong", "-nodes"], capture_output=True
    )
    assert wrong.returncode != 0


def test_an_export_without_keys_says_what_stays_behind(site, registry: Registry, tmp_path: Path, clock, dca) -> None:
    site.apply(SITE)
    (site.folder / "dca.pem").write_bytes(dca.pem + dca.key_pem)
    site.apply(SITE + 'ime_key = "dca.pem"\n')
    exported, there, _ = exported_elsewhere(site, registry, tmp_path, clock, None)
    assert "IME key stays behind" in exported.text
    assert "An older IME key (sha256:" in exported.text
    assert "ime_key" not in exported.text.replace("ime_key stays", "")
    assert not exported.files
    assert there[0].certificate not in [key.certificate for key in keys(registry)]
