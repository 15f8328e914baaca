"""`apply` and `export` at the command line, and what certificates, trust and domains show afterwards."""

import stat
import tomllib
from pathlib import Path

import pytest

from ime_gateway.app.installation import open_installation
from tests.pki import Entity, make_ca, make_user
from tests.unit.cli.conftest import Cli


def generation(config: Path) -> int:
    with open_installation(config) as installation, installation.store.registry.transaction(write=False) as live:
        return live.view().generation


def test_apply(cli, config: Path, site: Path) -> None:
    before = generation(config)
    would = cli("apply", site, "-c", config, "--dry-run")
    assert would.status == 0 and "dry run" in would.out
    assert generation(config) == before
    done = cli("apply", site, "-c", config)
    assert done.status == 0
    assert done.out.splitlines()[:-1] == would.out.splitlines()[:-1]
    assert "+ managed domain acme.example\n" in done.out and "+ certificate anna@acme.example\n" in done.out
    after = generation(config)
    assert after == before + 1
    again = cli("apply", site, "-c", config)
    assert (again.status, again.out) == (0, "nothing changed\n") and generation(config) == after
    site.write_text('[[managed_domain]]\nname = "acme.example"\ndeliver_to = "mx"\n')
    pruned = cli("apply", site, "--prune", "-c", config)
    assert "~ managed domain acme.example\n" in pruned.out and "- certificate anna@acme.example\n" in pruned.out
    assert cli("cert", "list", "--json", "-c", config).json == []


def test_a_wrong_site_applies_nothing(cli, config: Path, site: Path) -> None:
    site.write_text(site.read_text() + '[[certificate]]\nfile = "gone.pem"\n')
    result = cli("apply", site, "-c", config)
    assert result.status == 1 and result.out == ""
    assert (
        result.err
        == f"ime-gateway: {site}, line 9: certificate[2].file: gone.pem: cannot be read: No such file or directory\n"
    )
    assert cli("domain", "list", "--json", "-c", config).json == []
    site.write_text("[policy]\nportal = 'on'\n")
    assert (
        'line 2: policy.portal: portal = "on" is not available in this version' in cli("apply", site, "-c", config).err
    )


def test_export_and_back(cli, config: Path, site: Path, tmp_path: Path) -> None:
    cli("apply", site, "-c", config)
    shown = cli("export", "-c", config)
    assert shown.status == 0 and "--out DIR" in shown.err
    out = tmp_path / "export"
    written = cli("export", "-c", config, "--out", out)
    assert written.status == 0 and (out / "site.toml").read_text() == shown.out
    named = [one["file"] for key in ("certificate", "root") for one in tomllib.loads(shown.out)[key]]
    assert all((out / name).is_file() for name in named) and len(named) == 2
    assert cli("init", tmp_path / "other").status == 0
    other = tmp_path / "other" / "gateway.toml"
    assert cli("apply", out / "site.toml", "-c", other).status == 0
    assert cli("export", "-c", other).out == shown.out
    assert cli("export", "-c", config, "--out", out).err == f"ime-gateway: {out} is not empty; choose a new folder\n"


def test_export_with_keys(cli, config: Path, site: Path, anna, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anna.p12").write_bytes(anna.pkcs12("swordfish"))
    site.write_text(site.read_text().replace('"anna.pem"', '"anna.p12"\npassword = "swordfish"'))
    assert cli("apply", site, "-c", config).status == 0
    words = tmp_path / "words.txt"
    words.write_text("correct horse battery\n")
    assert "needs --out" in cli("export", "--with-keys", "-c", config).err
    assert "for --with-keys" in cli("export", "--passphrase-file", words, "-c", config).err
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "--passphrase-file" in cli("export", "--with-keys", "--out", tmp_path / "e", "-c", config).err
    (tmp_path / "short.txt").write_text("short")
    short = cli(
        "export", "--with-keys", "--out", tmp_path / "e", "--passphrase-file", tmp_path / "short.txt", "-c", config
    )
    assert short.status == 1 and "too short" in short.err and not (tmp_path / "e").exists()
    sealed = cli("export", "--with-keys", "--out", tmp_path / "e", "--passphrase-file", words, "-c", config)
    assert sealed.status == 0 and "IMEGW_EXPORT_PASSPHRASE" in sealed.out and "correct horse" not in sealed.out
    files = [path for path in (tmp_path / "e").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert cli("init", tmp_path / "other").status == 0
    other = tmp_path / "other" / "gateway.toml"
    assert "IMEGW_EXPORT_PASSPHRASE is not set" in cli("apply", tmp_path / "e/site.toml", "-c", other).err
    monkeypatch.setenv("IMEGW_EXPORT_PASSPHRASE", "correct horse battery")
    assert cli("apply", tmp_path / "e/site.toml", "-c", other).status == 0
    (row,) = cli("cert", "list", "--json", "-c", other).json
    assert row["private_key"] is True


def test_certificates(cli, config: Path, site: Path, anna, root, tmp_path: Path) -> None:
    cli("apply", site, "-c", config)
    make_user("stranger@acme.example").write(tmp_path, "stranger")
    imported = cli("cert", "import", tmp_path / "stranger.pem", "-c", config)
    assert imported.status == 0 and "note: it is not used: certificate-untrusted" in imported.out
    assert "known already" in cli("cert", "import", tmp_path / "stranger.pem", "-c", config).out
    rows = {row["addresses"][0]: row for row in cli("cert", "list", "--json", "-c", config).json}
    assert rows["anna@acme.example"]["usable"] and rows["anna@acme.example"]["reason"] == "personal-certificate"
    assert not rows["stranger@acme.example"]["usable"]
    assert rows["stranger@acme.example"]["reason"] == "certificate-untrusted"
    assert len(cli("cert", "list", "STRANGER", "--json", "-c", config).json) == 1
    table = cli("cert", "list", "-c", config).out
    assert "anna@acme.example" in table and "certificate-untrusted" in table
    thumbprint = rows["stranger@acme.example"]["thumbprint"]
    shown = cli("cert", "show", thumbprint[7:20], "-c", config)
    assert thumbprint in shown.out and "not used: certificate-untrusted" in shown.out
    assert cli("cert", "show", thumbprint, "--json", "-c", config).json == rows["stranger@acme.example"]

    assert cli("trust", "allow", thumbprint, "--note", "seen", "-c", config).status == 0
    assert cli("cert", "show", thumbprint, "--json", "-c", config).json["usable"] is True
    assert cli("trust", "deny", tmp_path / "stranger.pem", "-c", config).status == 0
    assert cli("cert", "show", thumbprint, "--json", "-c", config).json["reason"] == "certificate-denied"
    assert [row["verdict"] for row in cli("trust", "list", "--json", "-c", config).json] == ["deny"]
    again = cli("trust", "deny", thumbprint, "-c", config).out
    assert "nothing changed" in again and "deny its file" not in again
    assert "deny its file" in cli("trust", "deny", "ab" * 32, "-c", config).out
    assert cli("trust", "remove", "ab" * 32, "-c", config).status == 0
    assert cli("trust", "remove", tmp_path / "stranger.pem", "-c", config).status == 0
    assert "empty" in cli("trust", "list", "-c", config).out
    assert cli("trust", "allow", "sha256:12", "-c", config).status == 1

    assert cli("cert", "delete", thumbprint, "-c", config).status == 0
    assert cli("cert", "delete", thumbprint, "-c", config).status == 1


def test_import_with_password(cli, config: Path, anna, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "anna.p12").write_bytes(anna.pkcs12("swordfish"))
    (tmp_path / "word").write_text("swordfish\n")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    arguments = ("cert", "import", tmp_path / "anna.p12", "-c", config)
    wrong = cli(*arguments)
    assert wrong.status == 1 and "anna.p12" in wrong.err
    monkeypatch.setenv("WORD", "wrong")
    assert cli(*arguments, "--password-env", "WORD").status == 1
    assert cli(*arguments, "--password-env", "NO_WORD").status == 1
    assert cli(*arguments, "--password-file", tmp_path / "word", "--address", "Anna@x.example").status == 0
    (row,) = cli("cert", "list", "--json", "-c", config).json
    assert row["addresses"] == ["anna@x.example"] and row["private_key"] is True


def test_domains(cli, config: Path, site: Path) -> None:
    assert "no domain yet" in cli("domain", "list", "-c", config).out
    cli("apply", site, "-c", config)
    (row,) = cli("domain", "list", "--json", "-c", config).json
    assert (row["kind"], row["name"], row["deliver_to"]) == ("managed", "acme.example", "smtp://127.0.0.1:9")
    assert "acme.example" in cli("domain", "list", "-c", config).out
    assert "smtp://127.0.0.1:9" in cli("domain", "show", "ACME.example", "-c", config).out
    assert cli("domain", "show", "acme.example", "--json", "-c", config).json == row
    assert cli("domain", "remove", "acme.example", "-c", config).status == 0
    assert cli("domain", "remove", "acme.example", "-c", config).status == 1


def test_a_domain_by_the_name_that_people_write(cli, config: Path, site: Path) -> None:
    site.write_text('[[partner_domain]]\nname = "müller.example"\n')
    cli("apply", site, "-c", config)
    assert cli("domain", "show", "MÜLLER.example.", "-c", config).status == 0
    assert cli("domain", "remove", "müller.example", "-c", config).status == 0
    assert cli("domain", "list", "--json", "-c", config).json == []
    assert "is no domain name" in cli("domain", "show", "a b", "-c", config).err


def test_files_that_are_not_there(cli, config: Path) -> None:
    for command in ("allow", "deny", "remove"):
        result = cli("trust", command, "nosuch.pem", "-c", config)
        assert (result.status, result.err) == (1, "ime-gateway: nosuch.pem: there is no such file\n")
    result = cli("doctor", "--people", "nosuch", "-c", config)
    assert result.err == "ime-gateway: nosuch cannot be read: No such file or directory\n"


def test_a_person_who_calls_themselves_a_ca(cli, config: Path, root, tmp_path: Path) -> None:
    root.write(tmp_path, "root")
    taken = cli("cert", "import", tmp_path / "root.pem", "-c", config)
    assert "note: it is a CA certificate and belongs to nobody; if it is a person's: --address ADDRESS" in taken.out
    named = cli("cert", "import", tmp_path / "root.pem", "--address", "eve@x.example", "-c", config)
    assert "belongs to nobody" not in named.out


def test_an_export_tells_what_stays_behind(cli, config: Path, site: Path, tmp_path: Path) -> None:
    assert cli("apply", site, "-c", config).status == 0
    assert cli("domain", "key", "generate", "acme.example", "-c", config).status == 0
    sentence = "The domain key stays behind (--with-keys takes it along): that of acme.example."
    shown = cli("export", "-c", config)
    assert f"# {sentence}" in shown.out.splitlines() and sentence in shown.err
    assert sentence in cli("export", "-c", config, "--out", tmp_path / "out").err


def test_denying_a_file_of_several_denies_each_ca_or_says_what_to_do(
    cli: Cli, config: Path, tmp_path: Path, root: Entity, anna: Entity
) -> None:
    issuing = make_ca("Issuing CA", root)
    (tmp_path / "ca.pem").write_bytes(root.pem + issuing.pem)
    done = cli("trust", "deny", tmp_path / "ca.pem", "--note", "hacked", "-c", config)
    both = {root.certificate.thumbprint, issuing.certificate.thumbprint}
    assert done.status == 0 and all(f"deny {one}" in done.out for one in both)
    listed = cli("trust", "list", "--json", "-c", config).json
    assert {row["thumbprint"] for row in listed} == both and {row["note"] for row in listed} == {"hacked"}
    assert all(row["subject"] for row in listed), "their certificates are kept"
    assert cli("trust", "deny", tmp_path / "ca.pem", "--note", "hacked", "-c", config).out.count("nothing changed") == 2
    (tmp_path / "mixed.pem").write_bytes(anna.pem + issuing.pem)
    mixed = cli("trust", "deny", tmp_path / "mixed.pem", "-c", config)
    assert mixed.status == 1 and "Nothing was denied" in mixed.err and anna.certificate.thumbprint in mixed.err
    assert f"{issuing.certificate.thumbprint} {issuing.certificate.subject} (a CA)" in mixed.err
    assert len(cli("trust", "list", "--json", "-c", config).json) == 2
