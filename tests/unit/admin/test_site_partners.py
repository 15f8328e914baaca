"""SITE.toml there and back: inheritance, addresses, domain keys and the archive are neither lost nor invented."""

import re
import secrets
import tomllib
from pathlib import Path

import pytest

from ime_gateway.admin.site_export import PASSPHRASE_VARIABLE, ExportDesk
from ime_gateway.base.errors import ConfigurationError, UserError
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.inheritance import recipient_settings
from ime_gateway.store.database import open_store
from tests.pki import make_user

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
    assert re.search(r"# The older domain key \(sha256:\w+\) opens mail, too; not exported", exported)


def test_a_denied_domain_key_is_refused(site, registry: Registry) -> None:
    key = make_user(AUTHORITY)
    (site.folder / "key.pem").write_bytes(key.pem + key.key_pem)
    denied = f'[[trust]]\nthumbprint = "{key.certificate.thumbprint}"\nverdict = "deny"\nnote = "stolen"\n'
    with pytest.raises(UserError, match=r"line 4: .*domain_key: key.pem: .* denied by the trust list \(stolen\)"):
        site.apply(ACME + 'domain_key = "key.pem"\n' + denied)
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
    site.apply('[policy]\nadministrators = ["ada@acme.example"]\n' + ACME)
