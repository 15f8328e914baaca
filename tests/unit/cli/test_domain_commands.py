"""`domain` and `trust` at the command line: a partner set up in one sitting, and what is said to whoever slips."""

import io
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ime_gateway.admin.key_pairs import groups
from ime_gateway.app.installation import open_current_installation
from ime_gateway.app.preflight.store_checks import _domain_keys
from ime_gateway.settings.site import Policy
from tests.pki import DAY, NOW, Entity, make_ca, make_user

AUTHORITY = "domain-confidentiality-authority@partner.example"


@pytest.fixture(scope="module")
def partner() -> Entity:
    return make_user(AUTHORITY)


@pytest.fixture
def file(tmp_path: Path, partner: Entity) -> Path:
    path = tmp_path / "partner.pem"
    path.write_bytes(partner.pem)
    return path


def test_certificates_with_names_of_others_are_warned_of(cli, config: Path, tmp_path: Path) -> None:
    for name, command in (("one.example", "add"), ("*.two.example", "add"), ("one.example", "set")):
        domain = name.removeprefix("*.")
        local = "domain-confidentiality-authority@" + ("a." if name.startswith("*") else "") + domain
        several = make_user(local, dn_addresses=["ceo@bank.example", "cfo@bank.example"])
        (tmp_path / "several.pem").write_bytes(several.pem)
        done = cli("domain", command, name, "--certificate", tmp_path / "several.pem", "-c", config)
        thumbprint = several.certificate.thumbprint
        warning = f"WARNING: certificate {thumbprint} of {name} also names ceo@bank.example and 1 more"
        assert done.status == 0 and warning in done.out
        assert warning in cli("domain", "show", name, "-c", config).out


def test_a_certificate_of_an_unknown_ca_names_the_next_command(cli, config: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    root = make_ca("Partner Root", kind="p256")
    issuing = make_ca("Partner CA", root, kind="p256")
    file, site = tmp_path / "issued.pem", tmp_path / "SITE.toml"
    file.write_bytes(make_user(AUTHORITY, issuing).pem)
    added = cli("domain", "add", "partner.example", "--certificate", file, *here)
    assert "is not used: certificate-untrusted: " in added.out
    assert "as [[root]], then: ime-gateway apply SITE.toml\n" in added.out
    assert f"Or, for this certificate alone: ime-gateway trust verify {file} --with" in added.out
    (tmp_path / "ca.pem").write_bytes(root.pem + issuing.pem)
    site.write_text('[[root]]\nfile = "ca.pem"\n')
    assert cli("apply", site, *here).status == 0
    (used,) = cli("domain", "show", "partner.example", "--json", *here).json["certificates"]
    assert used["usable"], "what it says helps"
    bound = make_ca("Bound Root", kind="p256", permitted_mail=["other.example"])
    file.write_bytes(make_user(AUTHORITY, bound).pem)
    (tmp_path / "ca.pem").write_bytes(bound.pem)
    assert cli("apply", site, *here).status == 0
    outside = cli("domain", "set", "partner.example", "--certificate", file, *here)
    assert "name constraints" in outside.out and "Next:" not in outside.out


def test_unused_certificates_are_told_when_they_are_stored(cli, config: Path, file: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    added = cli("domain", "add", "partner.example", "encryption=opportunistic", "--certificate", file, *here)
    assert added.status == 0 and "is not used: certificate-untrusted: " in added.out
    verify = f'Next: ime-gateway trust verify {file} --with "PERSON, NUMBER" --how phone, then: ime-gateway trust allow'
    assert f"{verify} {file}\n" in added.out
    assert "until then mail to them goes out unencrypted" in added.out
    assert cli("trust", "allow", file, *here).status == 0
    weak = make_user(AUTHORITY, key_bits=1024)
    (tmp_path / "weak.pem").write_bytes(weak.pem)
    brought = cli("domain", "set", "partner.example", "--certificate", tmp_path / "weak.pem", *here)
    assert f"note: {weak.certificate.thumbprint} is not used: certificate-weak: " in brought.out
    assert "trust verify" not in brought.out and "until then" not in brought.out
    archive = cli("domain", "set", "global", "--certificate", tmp_path / "weak.pem", *here)
    assert "is not used: certificate-weak" in archive.out and "until then" not in archive.out


def test_what_holds_everywhere_is_shown(cli, config: Path, file: Path, partner: Entity) -> None:
    here = ("-c", config)
    assert cli("domain", "set", "global", "revocation=hard-fail", "--certificate", file, *here).status == 0
    shown = cli("domain", "show", "global", "--json", *here).json
    assert (shown["kind"], shown["revocation"], shown["origins"]["revocation"]) == ("global", "hard-fail", "global")
    assert shown["origins"]["overlap_days"] == "default"
    assert [one["thumbprint"] for one in shown["certificates"]] == [partner.certificate.thumbprint]
    assert "hard-fail" in cli("domain", "show", "global", *here).out
    assert "cannot be removed" in cli("domain", "remove", "global", *here).err


def test_what_ends_soon_or_has_ended_is_told(cli, config: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    for name, end in (("soon", NOW + 5 * DAY + DAY / 2), ("ended", NOW - DAY)):
        path = tmp_path / f"{name}.pem"
        path.write_bytes(make_user(AUTHORITY, not_before=NOW - 9 * DAY, not_after=end).pem)
        assert cli("domain", "add", f"{name}.example", "--certificate", path, *here).status == 0
        allowed = cli("trust", "allow", path, *here)
        assert ("note: it is not used all the same: certificate-expired" in allowed.out) is (name == "ended")
        assert ("--allow-expired" in allowed.out) is (name == "ended")
        shown = cli("domain", "show", f"{name}.example", *here).out
        assert ("ends in 5 days" in shown) is (name == "soon")
    findings = cli("check", "--json", *here).out
    assert "its last certificate expires at" in findings and "domain set soon.example --certificate FILE" in findings


def test_a_change_of_keys_that_goes_its_way_is_no_warning(cli, config: Path) -> None:
    here = ("-c", config)
    assert cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here).status == 0
    assert cli("domain", "key", "generate", "acme.example", *here).status == 0
    assert cli("domain", "key", "rollover", "acme.example", *here).status == 0
    with open_current_installation(config) as installation:
        with installation.store.registry.transaction(write=False) as live:
            keys = live.domain_keys.list("acme.example")
        told = [replace(key, announced_at=NOW.timestamp()) if key.state == "next" else key for key in keys]
    (before,) = _domain_keys("acme.example", keys, Policy(), NOW.timestamp())
    (after,) = _domain_keys("acme.example", told, Policy(), NOW.timestamp())
    assert (before.level, after.level) == ("warning", "ok")
    assert "not announced" in before.message and "takes over at" in after.message


def test_files_of_the_wrong_kind_say_what_to_bring(cli, config: Path, tmp_path: Path, partner: Entity) -> None:
    sealed = tmp_path / "sealed.p12"
    sealed.write_bytes(partner.pkcs12("secret"))
    for words in (("domain", "add", "p.example", "--certificate", sealed), ("trust", "allow", sealed)):
        assert "ask for the certificate alone (.cer, .pem)" in cli(*words, "-c", config).err
    assert "give --password-file or --password-env" in cli("cert", "import", sealed, "-c", config).err


def test_a_test_that_cannot_be_sent_answers_in_json(cli, config: Path) -> None:
    result = cli("domain", "test", "nobody.example", "--json", "-c", config)
    assert result.status == 1 and result.json["state"] == "failed"
    assert "is no partner domain" in result.json["problems"][0]


def test_check_of_our_own_domain_points_to_its_keys(cli, config: Path) -> None:
    here = ("-c", config)
    assert cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here).status == 0
    assert cli("domain", "key", "generate", "acme.example", *here).status == 0
    checked = cli("cert", "check", "acme.example", *here)
    assert checked.status == 0 and "ime-gateway domain key show acme.example" in checked.out
    assert "no certificate is known" not in checked.out


def test_a_partner_in_one_sitting(cli, config: Path, file: Path, partner: Entity, tmp_path: Path) -> None:
    here = ("-c", config)
    assert cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here).status == 0
    made = cli("domain", "key", "generate", "acme.example", *here)
    assert made.status == 0 and "domain key export acme.example --out FILE" in made.out
    out = tmp_path / "acme.pem"
    assert cli("domain", "key", "export", "acme.example", "--out", out, *here).status == 0
    assert out.read_bytes().count(b"BEGIN CERTIFICATE") == 1
    assert "exists already" in cli("domain", "key", "export", "acme.example", "--out", out, *here).err

    added = cli("domain", "add", "partner.example", "encryption=mandatory", "--certificate", file, *here)
    assert added.status == 0 and "added partner domain partner.example" in added.out
    shown = cli("domain", "show", "partner.example", *here).out
    assert "certificate-untrusted" in shown and "nobody has compared its thumbprint yet" in shown

    thumbprint = partner.certificate.thumbprint
    listed = groups(thumbprint).split()
    wrong = " ".join([*listed[:6], "ZZZZ", *listed[7:]])
    said = ("--with", "Bea Beispiel, switchboard", "--how", "phone", *here)
    refused = cli("trust", "verify", file, "--confirm", wrong, *said)
    assert refused.status == 1 and f"group 7 of 16 is {listed[6]} here, ZZZZ was given" in refused.err
    assert cli("trust", "show", file, "--json", *here).json["checks"] == []
    verified = cli("trust", "verify", file, "--confirm", " ".join(listed), *said)
    assert verified.status == 0 and f"ime-gateway trust allow {thumbprint}" in verified.out
    assert cli("trust", "allow", file, "--note", "Bea", *here).status == 0

    facts = cli("trust", "show", thumbprint[7:27], "--json", *here).json
    assert facts["thumbprint_groups"] == groups(thumbprint) and facts["verdict"] == "allow"
    assert facts["used_by"] == ["partner partner.example"]
    (check,) = facts["checks"]
    assert (check["with"], check["how"]) == ("Bea Beispiel, switchboard", "phone") and check["by"].startswith("cli:")
    row = cli("domain", "show", "partner.example", "--json", *here).json
    assert row["certificates"][0]["usable"] is True and row["certificates"][0]["checks"] == [check]
    assert (row["encryption"], row["origins"]["encryption"]) == ("mandatory", "domain partner.example")


def test_the_groups_are_asked_for_in_a_terminal(cli, config: Path, file: Path, partner: Entity, monkeypatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    arguments = ("trust", "verify", file, "--with", "Bea", "--how", "video", "-c", config)
    assert 'give --confirm "GROUPS"' in cli(*arguments).err
    monkeypatch.setattr("sys.stdin", Terminal(groups(partner.certificate.thumbprint) + "\n"))
    result = cli(*arguments)
    assert result.status == 0 and groups(partner.certificate.thumbprint) in result.out
    assert cli("trust", "verify", file, "--with", "Bea", "--how", "smell", "-c", config).status == 2


def test_settings_are_inherited_and_set_one_by_one(cli, config: Path) -> None:
    here = ("-c", config)
    assert cli("domain", "add", "*.partner.example", "encryption=mandatory", *here).status == 0
    assert cli("domain", "add", "a.partner.example", *here).status == 0
    assert cli("domain", "set", "global", "encryption=opportunistic", "expiry_warning_days=90,5", *here).status == 0
    assert cli("domain", "set", "dave@a.partner.example", "encryption=never", *here).status == 0
    shown = cli("domain", "show", "a.partner.example", *here).out
    assert any(line.split() == ["encryption:", "mandatory", "from", "*.partner.example"] for line in shown.splitlines())
    rows = cli("domain", "list", "--json", *here).json
    assert [(row["kind"], row.get("name") or row["address"]) for row in rows] == [
        ("partner", "*.partner.example"), ("partner", "a.partner.example"), ("address", "dave@a.partner.example"),
    ]  # fmt: skip
    assert "mandatory (*.partner.example)" in cli("domain", "list", *here).out
    assert cli("domain", "set", "a.partner.example", "encryption=mandatory", *here).out.endswith("in force now\n")
    assert cli("domain", "set", "a.partner.example", "encryption=mandatory", *here).out.endswith("nothing changed\n")
    assert cli("domain", "unset", "a.partner.example", "encryption", *here).status == 0
    assert cli("domain", "remove", "dave@a.partner.example", *here).status == 0
    for arguments, sentence in (
        (("set", "a.partner.example"), "nothing to set"),
        (("set", "a.partner.example", "encryption"), "is no KEY=VALUE"),
        (("set", "b.example", "encryption=never"), "first: ime-gateway domain add b.example"),
        (("unset", "a.partner.example", "colour"), "colour: unknown key"),
        (("add", "c.example", "--certificate", "nowhere.pem"), "nowhere.pem cannot be read"),
    ):
        result = cli("domain", *arguments, *here)
        assert result.status == 1 and sentence in result.err, arguments


def test_the_key_changes_and_is_told(cli, config: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here)
    key = make_user("domain-confidentiality-authority@acme.example")
    (tmp_path / "key.p12").write_bytes(key.pkcs12("swordfish"))
    (tmp_path / "password").write_text("swordfish\n")
    refused = cli("domain", "key", "import", "acme.example", tmp_path / "key.p12", *here)
    assert refused.status == 1 and "key.p12: " in refused.err and "password" in refused.err
    brought = ("domain", "key", "import", "acme.example", tmp_path / "key.p12", "--password-file")
    assert cli(*brought, tmp_path / "password", *here).status == 0
    began = cli("domain", "key", "rollover", "acme.example", "--days", "700", *here)
    assert began.status == 0 and "takes over at" in began.out and "domain announce acme.example" in began.out
    answer = cli("domain", "key", "show", "acme.example", "--json", *here).json
    assert [one["state"] for one in answer["keys"]] == ["current", "next"]
    assert answer["keys"][0]["thumbprint"] == key.certificate.thumbprint
    assert answer["next_takes_over_at"].endswith("Z") and answer["keys"][1]["announced_at"] is None
    following = cli("domain", "key", "export", "acme.example", "--next", *here)
    assert following.out.count("BEGIN CERTIFICATE") == 1
    now = cli("domain", "key", "rollover", "acme.example", "--now", *here)
    assert now.status == 0 and "WARNING: partners of acme.example were not told of this key" in now.out
    assert "domain key export acme.example --out FILE, for your partners" in now.out
    assert "WARNING" in cli("domain", "key", "rollover", "acme.example", "--now", *here).out, "made and used at once"
    told = cli("domain", "key", "rollover", "acme.example", *here)
    assert told.status == 0 and "WARNING" not in told.out
    with open_current_installation(config) as installation, installation.store.registry.transaction(write=True) as live:
        (following,) = [one for one in live.domain_keys.list("acme.example") if one.state == "next"]
        live.domain_keys.set_announced("acme.example", following.certificate.thumbprint, 1_800_000_000.0)
    assert "WARNING" not in cli("domain", "key", "rollover", "acme.example", "--now", *here).out
    assert cli("domain", "key", "retire", "acme.example", key.certificate.thumbprint[:20], *here).status == 0
    assert "denied by the trust list" in cli(*brought, tmp_path / "password", *here).err
    assert "--with-keys" in cli("domain", "remove", "acme.example", *here).err
    assert cli("domain", "remove", "acme.example", "--with-keys", *here).status == 0


def test_a_private_key_leaves_only_sealed(cli, config: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here)
    cli("domain", "key", "generate", "acme.example", *here)
    export = ("domain", "key", "export", "acme.example", "--with-key")
    assert "needs --out FILE" in cli(*export, *here).err
    (tmp_path / "short").write_text("short")
    (tmp_path / "phrase").write_text("correct horse battery\n")
    out = tmp_path / "key.p12"
    assert "too short" in cli(*export, "--out", out, "--passphrase-file", tmp_path / "short", *here).err
    assert not out.exists()
    assert cli(*export, "--out", out, "--passphrase-file", tmp_path / "phrase", *here).status == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600 and b"PRIVATE KEY" not in out.read_bytes()


def test_check_warns_of_a_domain_key_that_ends(cli, config: Path, tmp_path: Path) -> None:
    here = ("-c", config)
    cli("domain", "add", "acme.example", "deliver_to=smtp://127.0.0.1:9", "--managed", *here)
    cli("domain", "key", "generate", "acme.example", "--days", "20", *here)
    findings = json.loads(cli("check", "--json", *here).out)
    listed = findings["findings"] if isinstance(findings, dict) else findings
    (found,) = [one for one in listed if "managed_domain.acme.example.domain_key" in str(one)]
    assert "expires at" in str(found) and "domain key rollover acme.example" in str(found)
