"""SITE.toml there and back: inheritance, addresses, domain keys and the archive are neither lost nor invented."""

import re
import secrets
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.admin.site_export import PASSPHRASE_VARIABLE, ExportDesk
from ime_gateway.base.errors import ConfigurationError, UserError
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.registry import Registry
from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.store.database import open_store
from tests.pki import make_ca, make_user

AUTHORITY = "domain-confidentiality-authority@acme.example"
ACME = '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://127.0.0.1:25"\n'
EVERYTHING = f"""\
[policy]
encryption = "on-request"
administrators = ["ada@acme.example"]
expiry_warning_days = [90, 10]
additional_certificates = ["bob.pem"]
revocation_stale_hours = 12.5
[policy.tags]
secure = "[sicher]"
{ACME}exchange_address = "exchange@acme.example"
domain_key = "domain.p12"
domain_key_password = "swordfish"
sign_outgoing = "on-request"
[[partner_domain]]
name = "*.partner.example"
encryption = "mandatory"
bound_recipients = true
[[partner_domain]]
name = "a.partner.example"
smime_certificates = ["partner.pem"]
route = ""
[[partner_domain]]
name = "quiet.example"
[[certificate]]
file = "anna.pem"
[[address]]
address = "Dave@a.partner.example"
selection = "manual"
use = ["THUMBPRINT"]
[[address]]
address = "anna@acme.example"
sign_outgoing = "always"
"""


@pytest.fixture
def text(site, people) -> str:
    (site.folder / "domain.p12").write_bytes(make_user(AUTHORITY).pkcs12("swordfish"))
    return EVERYTHING.replace("THUMBPRINT", people.anna.certificate.thumbprint)


def write(exported, folder: Path) -> str:
    for name, content in exported.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return exported.text


def test_applied_twice_it_changes_nothing(site, text: str) -> None:
    first = site.apply(text, prune=True)
    assert first.count("added") >= 8
    generation = site.generation()
    again = site.apply(text, prune=True)
    assert [change for change in again.changes if change.kind != "unchanged"] == []
    assert site.generation() == generation


@pytest.mark.parametrize("passphrase", [None, "correct horse battery"])
def test_an_export_says_the_same(site, text: str, registry: Registry, passphrase: str | None) -> None:
    site.apply(text)
    exported = ExportDesk(registry).export(passphrase=passphrase, actor="me")
    said = tomllib.loads(exported.text)
    assert said["policy"] == {
        "encryption": "on-request", "administrators": ["ada@acme.example"], "expiry_warning_days": [90, 10],
        "revocation_stale_hours": 12.5, "tags": {"secure": "[sicher]"},
        "additional_certificates": said["policy"]["additional_certificates"],
    }  # fmt: skip
    assert len(said["policy"]["additional_certificates"]) == 1
    assert said["partner_domain"][2] == {"name": "quiet.example"}, "what is inherited is not written down"
    assert said["partner_domain"][1]["route"] == "", "what is named is"
    assert said["address"] == [
        {"address": "anna@acme.example", "sign_outgoing": "always"},
        {"address": "dave@a.partner.example", "selection": "manual", "use": tomllib.loads(text)["address"][0]["use"]},
    ]
    assert ("domain_key" in said["managed_domain"][0]) is (passphrase is not None)
    assert ("# The domain key stays behind" in exported.text) is (passphrase is None)
    site.environment[PASSPHRASE_VARIABLE] = passphrase or ""
    report = site.apply(write(exported, site.folder), prune=True)
    assert [change for change in report.changes if change.kind != "unchanged"] == []


def test_another_installation_gets_all_of_it(site, text: str, registry: Registry, tmp_path: Path, clock) -> None:
    site.apply(text)
    passphrase = "correct horse battery"
    exported = ExportDesk(registry).export(passphrase=passphrase, actor="me")
    folder = tmp_path / "other"
    folder.mkdir()
    other = open_store(f"sqlite:///{folder}/gateway.db", bytes(32), folder, clock, secrets.token_bytes)
    other.migrate()
    try:
        there = type(site)(folder, other.registry, clock, {PASSPHRASE_VARIABLE: passphrase})
        there.apply(write(exported, folder))
        with registry.transaction(write=False) as mine, other.registry.transaction(write=False) as theirs:
            one, two = mine.view(), theirs.view()
            assert one.policy.as_stored() == two.policy.as_stored()
            assert one.additional_certificates == two.additional_certificates
            assert {n: t.as_stored() for n, t in one.partners.items()} == {
                n: t.as_stored() for n, t in two.partners.items()
            }
            assert one.addresses == two.addresses
            (here,), (moved,) = mine.domain_keys.list(), theirs.domain_keys.list()
            assert (here.certificate, here.state) == (moved.certificate, moved.state)
            thumbprint = here.certificate.thumbprint
            assert mine.domain_keys.private_key("acme.example", thumbprint) == theirs.domain_keys.private_key(
                "acme.example", thumbprint
            )
            quiet = recipient_settings(two.policy, two.partners, two.addresses, "x@quiet.example")
            assert (quiet.encryption.value, quiet.encryption.origin) == ("on-request", "global")
    finally:
        other.close()


def test_prune_takes_away_what_is_not_named(site, text: str, registry: Registry) -> None:
    site.apply(text)
    report = site.apply(ACME, prune=True)
    assert ("removed", "address", "dave@a.partner.example") in [(c.kind, c.what, c.name) for c in report.changes]
    with registry.transaction(write=False) as live:
        assert live.view().addresses == {} and live.view().partners == {}
        assert len(live.domain_keys.list()) == 1, "a key is not pruned while its domain is there"
    report = site.apply('[[managed_domain]]\nname = "b.example"\ndeliver_to = "mx"\n[policy]\n', prune=True)
    assert "the domain keys of acme.example are removed with it; mail to them cannot be opened again" in report.notes
    with registry.transaction(write=False) as live:
        assert live.domain_keys.list() == [] and live.view().additional_certificates == ()


def test_another_archive_certificate_alone_is_a_change(site, text: str, registry: Registry, people) -> None:
    site.apply(text)
    assert site.apply(text.replace('["bob.pem"]', '["bob.pem", "partner.pem"]')).count("changed") == 1
    with registry.transaction(write=False) as live:
        assert set(live.view().additional_certificates) == {people.bob.certificate, people.partner.certificate}


def test_a_key_that_says_the_default_is_another_thing_than_none(site, registry: Registry) -> None:
    site.apply('[[partner_domain]]\nname = "x.example"\n')
    report = site.apply('[[partner_domain]]\nname = "x.example"\nencryption = "opportunistic"\n')
    assert report.count("changed") == 1
    with registry.transaction(write=False) as live:
        found = recipient_settings(live.view().policy, live.view().partners, {}, "x.example")
    assert found.encryption.origin == "domain x.example"


def test_a_domain_key_is_generated_once(site, registry: Registry) -> None:
    wish = ACME + 'domain_key = "generate"\n'
    dry = site.apply(wish, dry_run=True)
    assert ("added", "domain key", "acme.example") in [(c.kind, c.what, c.name) for c in dry.changes]
    with registry.transaction(write=False) as live:
        assert live.domain_keys.list() == []
    site.apply(wish)
    assert not site.apply(wish).changed
    with registry.transaction(write=False) as live:
        (key,) = live.domain_keys.list()
    assert key.state == "current" and AUTHORITY in key.certificate.addresses


def test_another_file_begins_a_rollover(site, registry: Registry) -> None:
    first, second = make_user(AUTHORITY), make_user(AUTHORITY)
    for name, key in (("first", first), ("second", second)):
        (site.folder / f"{name}.pem").write_bytes(key.pem + key.key_pem)
    site.apply(ACME + 'domain_key = "first.pem"\n')
    report = site.apply(ACME + 'domain_key = "second.pem"\n')
    assert report.count("changed") == 1 and any("takes over in 30 days" in note for note in report.notes)
    with registry.transaction(write=False) as live:
        assert [(key.state, key.certificate) for key in live.domain_keys.list()] == [
            ("current", first.certificate), ("next", second.certificate),
        ]  # fmt: skip
    assert not site.apply(ACME + 'domain_key = "first.pem"\n').changed
    with registry.transaction(write=True) as live:
        live.domain_keys.set_state("acme.example", second.certificate.thumbprint, "current")
    report = site.apply(ACME + 'domain_key = "first.pem"\n')
    assert not report.changed and any("is an older domain key" in note for note in report.notes)
    exported = ExportDesk(registry).export().text
    assert re.search(r"# The older domain key of acme.example \(sha256:\w+\) opens mail, too; it stays", exported)


def test_a_rollover_moves_with_the_export(site, registry: Registry, tmp_path: Path, clock) -> None:
    """Keys that open mail and the proof of trust are there afterwards, and the same file again changes nothing."""
    states = {"oldest": "older", "older": "older", "current": "current", "next": "next"}
    keys = {name: make_user(AUTHORITY) for name in states}
    checks = [
        ThumbprintCheck("sha256:" + 64 * "a", clock.now() + 0.25, "root", "phone", 'Dave "D" Dunn', "he read it"),
        ThumbprintCheck("sha256:" + 64 * "b", clock.now(), "root", "in-person", "Eve"),
    ]
    site.apply(ACME)
    with registry.transaction(write=True) as live:
        for name, key in keys.items():
            state: Any = states[name]
            live.domain_keys.put("acme.example", key.certificate, key.key_der, state)
        for check in checks:
            live.checks.put(check)
    exported = ExportDesk(registry).export(passphrase="correct horse battery", actor="me")
    assert exported.left_behind == ()
    folder = tmp_path / "other"
    folder.mkdir()
    other = open_store(f"sqlite:///{folder}/gateway.db", bytes(32), folder, clock, secrets.token_bytes)
    other.migrate()
    try:
        there = type(site)(folder, other.registry, clock, {PASSPHRASE_VARIABLE: "correct horse battery"})
        text = write(exported, folder)
        assert there.apply(text, dry_run=True).count("added") == 7
        assert there.apply(text, prune=True).count("added") == 7
        assert not there.apply(text, prune=True).changed
        assert not there.apply(ACME, prune=True).changed, "neither a key nor a check is pruned"
        with other.registry.transaction(write=False) as live:
            moved = {one.certificate.thumbprint: one.state for one in live.domain_keys.list()}
            assert moved == {key.certificate.thumbprint: states[name] for name, key in keys.items()}
            for key in keys.values():
                assert live.domain_keys.private_key("acme.example", key.certificate.thumbprint) == key.key_der
            assert live.checks.list() == [replace(check, at=float(int(check.at))) for check in checks]
        assert ExportDesk(other.registry).export(passphrase="correct horse battery", actor="me").text == exported.text
    finally:
        other.close()


def test_an_old_file_undoes_no_rollover(site, registry: Registry) -> None:
    first, second = make_user(AUTHORITY), make_user(AUTHORITY)
    for name, key in (("first", first), ("second", second)):
        (site.folder / f"{name}.pem").write_bytes(key.pem + key.key_pem)
    both = ACME + 'domain_key = "first.pem"\nnext_domain_key = "second.pem"\n'
    report = site.apply(both)
    assert any("second.pem is the next domain key" in note for note in report.notes)
    with registry.transaction(write=True) as live:
        live.domain_keys.set_state("acme.example", second.certificate.thumbprint, "current")
    assert not site.apply(both, prune=True).changed


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('older_domain_keys = ["first.pem"]\n', "names the same domain key"),
        ('older_domain_keys = ["anna.pem"]\n', "older_domain_keys: anna.pem: "),
        ('domain_key = "third.pem"\nnext_domain_key = "second.pem"\n', "would have two next domain keys"),
        ('[[thumbprint_check]]\nthumbprint = "aa"\nperson = "Eve"\nmethod = "phone"\nat = "2026-02-02"\n', "at"),
    ],
)
def test_domain_keys_that_do_not_go_together(site, registry: Registry, more: str, sentence: str) -> None:
    for name in ("first", "second", "third"):
        key = make_user(AUTHORITY)
        (site.folder / f"{name}.pem").write_bytes(key.pem + key.key_pem)
    first = 'domain_key = "first.pem"\n'
    site.apply(ACME + first)
    with pytest.raises((ConfigurationError, UserError), match=sentence):
        site.apply(ACME + ("" if more.startswith("domain_key") else first) + more)
    with registry.transaction(write=False) as live:
        assert len(live.domain_keys.list()) == 1


def test_what_only_the_store_has_is_said(site, registry: Registry, clock) -> None:
    authority = make_ca("House CA")
    with registry.transaction(write=True) as live:
        live.authorities.put(authority.certificate, "root", authority.key_der)
    exported = ExportDesk(registry).export()
    (sentence,) = exported.left_behind
    assert "CN=House CA" in sentence and "ime-gateway ca list" in sentence
    assert exported.text.startswith(f"# {sentence}\n")
    assert tomllib.loads(exported.text)


def test_a_denied_domain_key_is_refused(site, registry: Registry) -> None:
    key = make_user(AUTHORITY)
    (site.folder / "key.pem").write_bytes(key.pem + key.key_pem)
    denied = f'[[trust]]\nthumbprint = "{key.certificate.thumbprint}"\nverdict = "deny"\nnote = "stolen"\n'
    with pytest.raises(UserError, match=r"line 4: .*domain_key: key.pem: .* denied by the trust list \(stolen\)"):
        site.apply(ACME + 'domain_key = "key.pem"\n' + denied)
    with registry.transaction(write=True) as live:
        live.put_trust(TrustEntry(key.certificate.thumbprint, "deny", note="lost"))
    with pytest.raises(UserError, match=r"denied by the trust list \(lost\)"):
        site.apply(ACME + 'domain_key = "key.pem"\n')
    with registry.transaction(write=False) as live:
        assert live.view().managed == {} and live.domain_keys.list() == []


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            'domain_key = "anna.pem"\n',
            "line 4: managed_domain[1].domain_key: anna.pem: it holds no private key; a do",
        ),
        ('domain_key = "other.pem"\n', "other.pem: the certificate is for x@other.example, not for acme.example"),
        ('domain_key = "domain.p12"\n', "set domain_key_password, domain_key_password_file or domain_key_password_env"),
        ('domain_key = "nothing.pem"\n', "nothing.pem: cannot be read"),
        ('[[address]]\naddress = "no address"\n', "line 5: address[1].address: 'no address' is no mail address"),
        ('[[address]]\naddress = "a@b.example"\n[[address]]\naddress = "A@b.example"\n', "a@b.example stands twice"),
    ],
)
def test_bad_files_are_named(site, text: str, registry: Registry, more: str, sentence: str) -> None:
    other = make_user("x@other.example")
    (site.folder / "other.pem").write_bytes(other.pem + other.key_pem)
    with pytest.raises(ConfigurationError) as caught:
        site.apply(ACME + more)
    assert sentence in str(caught.value)
    assert "swordfish" not in str(caught.value)
    with registry.transaction(write=False) as live:
        assert live.view().managed == {}


def test_administrators_are_of_the_house(site) -> None:
    with pytest.raises(UserError, match="in no managed domain"):
        site.apply('[policy]\nadministrators = ["ada@elsewhere.example"]\n' + ACME)
    site.apply('[policy]\nadministrators = ["ada@acme.example", "Bob@ACME.example"]\n' + ACME)
