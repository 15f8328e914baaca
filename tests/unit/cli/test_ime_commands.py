"""`ime-gateway ime`: as an administrator types it, with exit statuses and sentences."""

import os
import subprocess
from pathlib import Path

import pytest

from ime_gateway.app.installation import open_installation
from ime_gateway.ports.containers import Pin
from tests.pki import Entity, make_user
from tests.servers.gateway import COMMANDS

ADDRESS = "dca@ime.acme.example"
ANNA = "anna@acme.example"


def give_address(site: Path, address: str) -> None:
    hop = 'deliver_to = "smtp://127.0.0.1:9"\n'
    site.write_text(site.read_text().replace(hop, f'{hop}ime_address = "{address}"\n'))


@pytest.fixture
def ime(cli, config: Path, site: Path) -> Path:
    """An installation whose acme.example has an IME address and its first key."""
    give_address(site, ADDRESS)
    result = cli("apply", site, "-c", config)
    assert (result.status, f"+ IME key {ADDRESS}" in result.out) == (0, True), result.err
    return config


def shown(cli, config: Path):
    return cli("ime", "show", "acme.example", "--json", "-c", config).json


def test_issue_show_rotate(cli, ime: Path) -> None:
    first = shown(cli, ime)["current"]
    refused = cli("ime", "issue", "acme.example", "-c", ime)
    assert refused.status == 1
    assert first["thumbprint_groups"] in refused.err and "ime rotate" in refused.err
    assert cli("ime", "issue", "acme.example", "--replace", "--days", "30", "-c", ime).status == 0
    second = shown(cli, ime)
    assert [key["thumbprint"] for key in second["older"]] == [first["thumbprint"]]
    result = cli("ime", "rotate", "acme.example", "--overlap-days", "5", "-c", ime)
    assert result.status == 0
    assert "export-contact acme.example" in result.out
    assert result.out.endswith("If SITE.toml still names the old file in ime_key: take it out.\n")
    text = cli("ime", "show", "acme.example", "-c", ime).out
    assert shown(cli, ime)["current"]["thumbprint_groups"] in text
    assert text.count("older key: ") == 2
    assert "0 pending" in text


def test_a_stolen_key_is_closed_with_a_warning(cli, ime: Path) -> None:
    result = cli("ime", "rotate", "acme.example", "--now", "-c", ime)
    assert result.status == 0
    assert result.err.startswith("warning: the old keys open nothing any more")
    assert [key["private_key"] for key in shown(cli, ime)["older"]] == [False]
    assert "over, key erased" in cli("ime", "show", "acme.example", "-c", ime).out


def test_a_stolen_key_that_the_file_still_names_stays_closed(cli, config: Path, site: Path) -> None:
    give_address(site, ADDRESS)
    stolen = make_user(ADDRESS)
    (site.parent / "k.p12").write_bytes(stolen.pkcs12("swordfish"))
    keys = f'ime_address = "{ADDRESS}"\nime_key = "k.p12"\n'
    site.write_text(site.read_text().replace(f'ime_address = "{ADDRESS}"\n', keys))
    locked = cli("apply", site, "-c", config)
    assert locked.status == 1
    assert locked.err.endswith("; set ime_key_password, ime_key_password_file or ime_key_password_env\n")
    site.write_text(site.read_text().replace(keys, f'{keys}ime_key_password = "swordfish"\n'))
    assert cli("apply", site, "-c", config).status == 0
    assert cli("ime", "rotate", "acme.example", "--now", "-c", config).status == 0
    new = shown(cli, config)["current"]["thumbprint"]
    refused = cli("apply", site, "-c", config)
    assert (refused.status, "k.p12 is the key that was retired on" in refused.err) == (1, True)
    assert shown(cli, config)["current"]["thumbprint"] == new != stolen.certificate.thumbprint


def test_a_long_overlap_is_refused_in_our_words(cli, ime: Path) -> None:
    assert "the overlap must be at most 365 days" in " ".join(
        cli("ime", "rotate", "acme.example", "--overlap-days", "400", "-c", ime).err.replace("\u2502", "").split()
    )


@pytest.mark.parametrize(
    "words",
    [
        ("rotate", "acme.example", "--overlap-days", "0"),
        ("rotate", "acme.example", "--overlap-days", "-3"),
        ("rotate", "acme.example", "--overlap-days", "366"),
        ("rotate", "acme.example", "--overlap-days", "3", "--now"),
        ("issue", "acme.example", "--days", "0"),
        ("issue",),
        ("export-contact", "acme.example"),
        ("export-contact", "acme.example", "--out", "x", "--name", "two\nlines"),
        ("signers", "approve", "--address", ANNA),
        ("signers", "approve", "abcdef", "--file", "x.pem", "--address", ANNA),
        ("signers", "approve", "abcdef"),
        ("signers", "revoke"),
    ],
)
def test_wrong_usage(cli, ime: Path, words: tuple[str, ...]) -> None:
    before = shown(cli, ime)
    assert cli("ime", *words, "-c", ime).status == 2
    assert shown(cli, ime) == before


def test_the_contact_goes_into_a_folder_of_its_own(cli, ime: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "contact"
    result = cli("ime", "export-contact", "acme.example", "--out", out, "-c", ime)
    assert result.status == 0, result.err
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert {"certificate.pem", "userSMIMECertificate.bin", "contact.json", "README.txt"} <= set(before)
    cli("ime", "rotate", "acme.example", "-c", ime)
    assert cli("ime", "export-contact", "acme.example", "--out", out, "-c", ime).status == 0
    assert (out / "userCertificate.der").read_bytes() != before["userCertificate.der"]
    assert {path.name for path in out.iterdir()} == set(before)
    (out / "foreign").write_text("x")
    refused = cli("ime", "export-contact", "acme.example", "--out", out, "-c", ime)
    assert (refused.status, "holds other files (foreign)" in refused.err) == (1, True)
    assert cli("ime", "export-contact", "acme.example", "--out", out / "foreign", "-c", ime).status == 1


def test_signers(cli, ime: Path, tmp_path: Path) -> None:
    waiting = make_user(ANNA)
    with open_installation(ime) as installation, installation.store.registry.transaction(write=True) as live:
        live.put_pin(Pin(ANNA, waiting.certificate, "pending", "challenged", 1_700_000_000.0))
    thumbprint = waiting.certificate.thumbprint
    (line,) = cli("ime", "signers", "list", "--pending", "--json", "-c", ime).json
    assert (line["address"], line["state"], line["thumbprint"]) == (ANNA, "pending", thumbprint)
    assert thumbprint in cli("ime", "signers", "list", "-c", ime).out
    assert any("1 signer waits" in one["message"] for one in cli("check", "--json", "-c", ime).json["findings"])
    refused = cli("ime", "signers", "approve", thumbprint[7:17], "--address", ANNA, "-c", ime)
    assert (refused.status, thumbprint in refused.err) == (1, True)
    (spoken,) = [line["thumbprint_groups"] for line in cli("ime", "signers", "list", "--json", "-c", ime).json]
    approved = cli("ime", "signers", "approve", spoken, "--address", "Anna@acme.example", "-c", ime)
    assert (approved.status, thumbprint in approved.out) == (0, True)
    assert cli("ime", "signers", "list", "--pending", "-c", ime).out == "no signer waits\n"
    again = cli("ime", "signers", "approve", thumbprint, "--address", ANNA, "-c", ime)
    assert (again.status, "nothing changed" in again.out) == (0, True)
    revoked = cli("ime", "signers", "revoke", thumbprint, "-c", ime)
    assert (revoked.status, "revoked sha256:" in revoked.out) == (0, True)
    assert cli("ime", "signers", "revoke", "ffffff", "-c", ime).status == 1


def test_a_signer_from_a_file(cli, ime: Path, tmp_path: Path, anna: Entity) -> None:
    anna.write(tmp_path, "signer")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    words = ("--address", ANNA, "--note", "shown at the desk", "-c", ime)
    assert cli("ime", "signers", "approve", "--file", tmp_path / "signer.pem", *words).status == 0
    (line,) = cli("ime", "signers", "list", "--address", ANNA, "--json", "-c", ime).json
    assert (line["origin"], line["note"], line["state"]) == ("registered", "shown at the desk", "approved")
    for name in ("broken.pem", "missing.pem"):
        result = cli("ime", "signers", "approve", "--file", tmp_path / name, *words)
        assert (result.status, str(tmp_path / name) in result.err) == (1, True)


def test_check_and_doctor_speak_of_ime_addresses(cli, ime: Path, site: Path) -> None:
    def said(command: str) -> str:
        return cli(command, "--json", "-c", ime).out

    assert "ime.acme.example to an internal listener" in said("check")
    site.write_text(site.read_text() + '[[managed_domain]]\nname = "b.example"\ndeliver_to = "smtp://127.0.0.1:9"\n'
                    'ime_address = "dca@ime.b.example"\nime_key = ""\nime_signers = "first-use"\n')  # fmt: skip
    assert cli("apply", site, "-c", ime).status == 0
    for command in ("check", "doctor"):
        assert "no IME key, so every container is refused" in said(command)
        assert "weaker" in said(command)
    assert cli("check", "-c", ime).status == 0, "warnings keep nothing from starting"


def test_ime_1_and_2_need_a_domain_each(cli, config: Path, site: Path) -> None:
    give_address(site, "x@other.local")
    assert cli("apply", site, "-c", config).status == 0
    usual = '# v1_address = "ime@imepseudodomain.local"'
    assert usual in config.read_text()
    config.write_text(config.read_text().replace(usual, 'v1_address = "ime@other.local"'))
    refused = cli("apply", site, "-c", config)
    assert (refused.status, "need a domain each" in refused.err) == (1, True)
    assert f"{site}, line 4" in refused.err
    result = cli("check", "-c", config)
    assert result.status == 1
    assert "need a domain each" in result.out


def test_as_a_process(ime: Path, tmp_path: Path) -> None:
    def program(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMMANDS / "ime-gateway"), "ime", *words],
            capture_output=True, text=True, timeout=60, env=os.environ | {"IMEGW_CONFIG": str(ime)},
        )  # fmt: skip

    assert ADDRESS in program("show", "acme.example").stdout
    done = program("export-contact", "acme.example", "--out", str(tmp_path / "contact"))
    assert (done.returncode, done.stderr) == (0, "")
    refused = program("show", "other.example")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "ime-gateway: other.example is no managed domain; first:"
        " ime-gateway domain add other.example --managed deliver_to=smtp://HOST:PORT\n"
    )
