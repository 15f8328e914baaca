"""`ime-gateway ca` and the commands of `cert` that make certificates, as an administrator types them."""

import stat
import subprocess
from pathlib import Path

import pytest

from ime_gateway.app.cli.output_files import write_new
from ime_gateway.base.errors import UserError
from tests.unit.cli.conftest import Cli


@pytest.fixture
def ready(cli: Cli, config: Path, site: Path) -> Path:
    """An installation with a managed domain and an address for its lists."""
    text = config.read_text()
    assert '# pki_url = ""' in text
    config.write_text(text.replace('# pki_url = ""', 'pki_url = "http://pki.acme.example/"'))
    assert cli("apply", site, "-c", config).status == 0
    return config


@pytest.fixture
def ca(cli: Cli, ready: Path) -> Path:
    made = cli("ca", "init", "Acme", "--country", "de", "--kind", "p-256", "-c", ready)
    assert made.status == 0, made.err
    return ready


def openssl(*command: object) -> str:
    done = subprocess.run(["openssl", *map(str, command)], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_from_init_to_a_verified_certificate(cli: Cli, ca: Path, tmp_path: Path) -> None:
    made = cli("cert", "issue", "bert@acme.example", "--kind", "p-256", "-c", ca)
    assert made.status == 0 and "signed by the built-in CA" in made.out
    assert cli("ca", "export", "--out", tmp_path / "ca.pem", "-c", ca).status == 0
    assert cli("ca", "crl", "--out", tmp_path, "-c", ca).status == 0
    exported = cli("cert", "export", "bert@acme.example", "--out", tmp_path / "bert.p12", "-c", ca)
    password = next(line for line in exported.out.splitlines() if "password" in line).split(": ")[1]
    assert stat.S_IMODE((tmp_path / "bert.p12").stat().st_mode) == 0o600
    assert password not in (ca.parent / "gateway.db").read_bytes().decode("latin-1")
    leaf = openssl("pkcs12", "-in", tmp_path / "bert.p12", "-clcerts", "-nokeys", "-passin", f"pass:{password}")
    (tmp_path / "leaf.pem").write_text(leaf)
    lists = b""
    for file in tmp_path.glob("*.crl"):
        lists += openssl("crl", "-inform", "DER", "-in", file).encode()
    (tmp_path / "lists.pem").write_bytes(lists)
    verified = openssl(
        "verify", "-crl_check_all", "-CAfile", tmp_path / "ca.pem", "-CRLfile", tmp_path / "lists.pem",
        tmp_path / "leaf.pem",
    )  # fmt: skip
    assert verified.endswith("leaf.pem: OK\n")


def test_show_and_list(cli: Cli, ca: Path) -> None:
    cli("cert", "issue", "acme.example", "--kind", "p-256", "-c", ca)
    root, issuing = cli("ca", "show", "--json", "-c", ca).json
    assert (root["role"], root["state"], root["subject"]) == ("root", "active", "CN=Acme S/MIME Root CA G1,O=Acme,C=DE")
    assert issuing["crl_url"] == f"http://pki.acme.example/pki/{issuing['name']}.crl"
    assert cli("ca", "show", root["name"], "--json", "-c", ca).json == root
    text = cli("ca", "show", "-c", ca).out
    assert "ec-256, here" in text and root["thumbprint_groups"] in text
    owners = [row["owner"] for row in cli("ca", "list", "--json", "-c", ca).json]
    assert owners == ["acme.example", issuing["name"]]
    assert "acme.example" in cli("ca", "list", "ACME.example", "-c", ca).out
    assert cli("ca", "list", "--revoked", "-c", ca).out == "nothing was issued yet\n"


def test_the_root_key_in_a_file(cli: Cli, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASS", "correct horse battery")
    out = tmp_path / "root.p12"
    out.write_text("something precious")
    refused = cli("ca", "take-offline", "--out", out, "--passphrase-env", "PASS", "-c", ca)
    assert refused.status == 1 and f"{out} exists already" in refused.err
    assert out.read_text() == "something precious"
    out.unlink()
    taken = cli("ca", "take-offline", "--out", out, "--passphrase-env", "PASS", "-c", ca)
    assert taken.status == 0 and stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "offline" in cli("ca", "show", "-c", ca).out
    assert "is offline; first: ime-gateway ca bring-back FILE" in cli("ca", "renew", "-c", ca).err
    assert "was not renewed: its key is offline" in cli("ca", "crl", "-c", ca).err
    (tmp_path / "pass").write_text("correct horse battery\n")
    back = cli("ca", "bring-back", out, "--passphrase-file", tmp_path / "pass", "-c", ca)
    assert back.status == 0, back.err
    assert cli("ca", "renew", "--kind", "p-256", "-c", ca).status == 0


def test_revocation_and_renewal(cli: Cli, ca: Path) -> None:
    first = cli("cert", "issue", "bert@acme.example", "--kind", "p-256", "--json", "-c", ca).json[0]["thumbprint"]
    wrong = cli("cert", "revoke", first, "--reason", "because", "-c", ca)
    assert wrong.status == 1 and "'because' is no reason" in wrong.err
    done = cli("cert", "revoke", first[:20], "--reason", "key-compromise", "-c", ca)
    assert done.status == 0 and f"revoked {first} of bert@acme.example" in done.out
    [line] = cli("ca", "list", "--revoked", "--json", "-c", ca).json
    assert (line["thumbprint"], line["revocation_reason"]) == (first, "keyCompromise")
    second = cli("cert", "issue", "bert@acme.example", "--kind", "p-256", "--json", "-c", ca).json[0]["thumbprint"]
    renewed = cli("cert", "renew", second, "--json", "-c", ca).json[0]
    assert renewed["key"] == "ec-256" and renewed["thumbprint"] not in (first, second)


def test_a_request_to_another_ca(cli: Cli, ready: Path, tmp_path: Path) -> None:
    csr, key, crt = tmp_path / "acme.csr", tmp_path / "ca.key", tmp_path / "ca.crt"
    assert cli("cert", "request", "acme.example", "--kind", "p-256", "--out", csr, "-c", ready).status == 0
    [waiting] = cli("cert", "requests", "--json", "-c", ready).json
    assert (waiting["owner"], waiting["purpose"]) == ("acme.example", "domain")
    assert "verify OK" in openssl("req", "-in", csr, "-noout", "-verify")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-out", crt, "-subj", "/CN=Public CA")  # fmt: skip
    openssl("x509", "-req", "-in", csr, "-CA", crt, "-CAkey", key, "-days", "90", "-copy_extensions", "copy",
            "-out", tmp_path / "acme.crt")  # fmt: skip
    wrong = cli("cert", "install", crt, "-c", ready)
    assert wrong.status == 1 and f"{crt}: it holds CA certificates only" in wrong.err
    done = cli("cert", "install", tmp_path / "acme.crt", "-c", ready)
    assert done.status == 0 and "it is the domain key of acme.example now" in done.out
    assert cli("cert", "requests", "-c", ready).out == "no request waits\n"


def test_a_request_whose_file_cannot_be_written_leaves_nothing(cli: Cli, ready: Path, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "x.csr"
    refused = cli("cert", "request", "acme.example", "--kind", "p-256", "--out", out, "-c", ready)
    assert refused.status == 1 and "cannot be written" in refused.err
    assert cli("cert", "requests", "--json", "-c", ready).json == []


def test_forgetting_a_request(cli: Cli, ready: Path, tmp_path: Path) -> None:
    cli("cert", "request", "bert@acme.example", "--kind", "p-256", "--out", tmp_path / "x.csr", "-c", ready)
    [waiting] = cli("cert", "requests", "--json", "-c", ready).json
    assert cli("cert", "forget-request", waiting["id"], "-c", ready).status == 0
    assert "no request" in cli("cert", "forget-request", waiting["id"], "-c", ready).err


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("ca", "init"), 1, "[web] pki_url"),
        (("ca", "init", "--country", "Germany"), 2, "two letters"),
        (("ca", "init", "x" * 65), 2, "at most 64"),
        (("ca", "init", "--kind", "x25519"), 2, "x25519"),
        (("ca", "export", "--out", "x"), 1, "no built-in CA yet"),
        (("ca", "crl"), 1, "no built-in CA yet"),
        (("ca", "renew"), 1, "[web] pki_url"),
        (("ca", "bring-back", "missing.p12", "--passphrase-env", "HOME"), 1, "missing.p12 cannot be read"),
        (("ca", "take-offline", "--out", "x"), 1, "needs a passphrase"),
        (("cert", "issue", "bert@acme.example"), 1, "[web] pki_url"),
        (("cert", "issue", "bert@acme.example", "--days", "3000"), 2, "--days"),
        (("cert", "issue", "bert@acme.example", "--kind", "dsa"), 2, "dsa"),
        (("cert", "export", "bert@acme.example", "--out", "x"), 1, "there is none here"),
        (("cert", "install", "missing.pem"), 1, "missing.pem cannot be read"),
    ],
)
def test_what_is_wrong_and_what_to_do(
    cli: Cli, config: Path, site: Path, command: tuple[str, ...], status: int, words: str
) -> None:
    cli("apply", site, "-c", config)
    result = cli(*command, "-c", config)
    assert result.status == status and words in result.err


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "x"
    write_new(target, b"one", secret=True)
    with pytest.raises(UserError, match="exists already"):
        write_new(target, b"two")
    assert target.read_bytes() == b"one" and list(tmp_path.iterdir()) == [target]
    write_new(target, b"three", replace=True)
    assert target.read_bytes() == b"three" and list(tmp_path.iterdir()) == [target]
    with pytest.raises(UserError, match="cannot be written"):
        write_new(tmp_path / "no" / "x", b"")


def test_prune_leaves_what_was_made_here(cli: Cli, ca: Path, site: Path) -> None:
    made = cli("cert", "issue", "bert@acme.example", "--kind", "p-256", "--json", "-c", ca).json[0]
    pruned = cli("apply", site, "--prune", "-c", ca)
    assert (pruned.status, pruned.out) == (0, "nothing changed\n")
    shown = cli("cert", "show", made["thumbprint"], "--json", "-c", ca).json
    assert shown["private_key"] is True and shown["usable"] is True
