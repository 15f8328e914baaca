"""`ime-gateway exchange-kit` as an administrator types it: what is written, what is refused, what is never touched."""

import json
import re
import shutil
from pathlib import Path

import pytest

from addin_sim.address_list.contact import read_contact
from tests.pki import NOW, make_ca, make_user
from tests.powershell import read
from tests.unit.cli.conftest import Cli

ADDRESS = "domain-confidentiality-authority@ime.acme.example"
SECRET = "a-secret-that-stays-here"
IP = ("--gateway-address", "10.20.0.5")
SECOND = '[[listener]]\nname = "second"\nrole = "internal"\nport = 2527\nallow = ["10.0.0.0/8"]'
LISTENER = """\
[smtp]
hostname = "{hostname}"
[[listener]]
name = "internal"
role = "internal"
address = "{address}"
port = {port}
allow = ["10.20.0.0/24"]
require_header = "X-Acme-Proof: {secret}"
{more}
[[listener]]
name = "internet"
role = "internet"
port = 2526
"""


def configure(
    config: Path, *, hostname: str = "gw.acme.example", address: str = "10.20.0.5", port: int = 25, more: str = ""
) -> None:
    config.write_text(LISTENER.format(hostname=hostname, address=address, port=port, secret=SECRET, more=more))


def apply(cli: Cli, folder: Path, *, ime: str = f'ime_address = "{ADDRESS}"\nime_key = "generate"') -> None:
    path = folder / "site.toml"
    path.write_text(
        '[[managed_domain]]\nname = "acme.example"\ndeliver_to = "smtp://mail.acme.example:25"\n'
        f'return_to = "smtp://mail.acme.example:10026"\n{ime}\n'
    )
    assert cli("apply", path, "-c", folder / "gw" / "gateway.toml").status == 0


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_kit_from_live_data(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    apply(cli, tmp_path)
    out = tmp_path / "kit"
    told = cli("exchange-kit", "--out", out, "-c", config)
    assert told.status == 0
    assert told.out == f"Wrote {len(files(out))} files to {out}; begin with README.txt there.\n"
    assert 'note: listener internal has tls = "off"' in told.err
    written = files(out)
    readme = written["README.txt"].decode().replace("\r\n", "\n")
    for name, content in written.items():
        assert SECRET.encode() not in content, name
    assert {name for name in written if "/" not in name and name not in readme} == {"README.txt"}
    for name in (one for one in written if one.endswith(".ps1")):
        text = written[name].decode("utf-8-sig")
        assert text.count("\n") == text.count("\r\n")
        assert read(text).unknown("online" if name.startswith("2") else "server") == []
        assert "ime.acme.example" in text
    assert max(map(len, readme.splitlines())) <= 100
    mails = {name for name in written if name.startswith("test-mails/")}
    assert mails == {f"test-mails/{one}" for one in re.findall(r"^\[ \] (\S+\.eml): ", readme, re.MULTILINE)}
    for name in mails:
        assert written[name].isascii()
        assert max(map(len, written[name].split(b"\r\n"))) <= 78
    contact = read_contact(out / "contact" / "acme.example", NOW.timestamp(), must_be_valid=False)
    assert contact.address == ADDRESS
    assert f'"InternalRecipient"="{ADDRESS}"' in written["registry.reg"].decode("utf-16")


def test_the_second_kit_takes_the_place_of_the_first(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    apply(cli, tmp_path)
    out = tmp_path / "kit"
    assert cli("exchange-kit", "--out", out, "-c", config).status == 0
    before = set(files(out))
    of_an_older_kit = {"test-mails/99-gone.eml": "test-mails/01-ordinary-mail.eml"}
    of_an_older_kit |= {"contact/gone.example/contact.json": "contact/acme.example/contact.json"}
    for new, old in of_an_older_kit.items():
        (out / new).parent.mkdir(exist_ok=True)
        (out / new).write_bytes((out / old).read_bytes())
    gone = (out / "registry.reg").read_bytes().decode("utf-16").replace("acme.example", "gone.example")
    (out / "registry-gone.example.reg").write_text(gone, "utf-16")
    mine = {"notes-of-the-administrator.txt", "test-mails/reply.eml", "registry-with-key.reg", "contact/acme.example/x"}
    for name in mine:
        (out / name).write_bytes(b"mine")
    key = r"HKEY_LOCAL_MACHINE\SOFTWARE\Vendor\Add-In"
    told = cli("exchange-kit", "--out", out, "--registry-key", key, "--json", "-c", config)
    assert told.status == 0
    assert told.json["files"] == sorted(before)
    assert told.json["ime_domains"] == ["imepseudodomain.local", "ime.acme.example"]
    assert (told.json["inside_ports"], told.json["outside_ports"]) == ([10026], [25])
    assert set(files(out)) == before | mine
    assert f"[{key}]" in files(out)["registry.reg"].decode("utf-16")


@pytest.mark.parametrize("blocked", ["11-rollback-on-premises.ps1", "test-mails"])
def test_a_kit_that_was_written_in_part_says_so(cli: Cli, config: Path, tmp_path: Path, blocked: str) -> None:
    configure(config)
    apply(cli, tmp_path)
    out = tmp_path / "kit"
    assert cli("exchange-kit", "--out", out, "-c", config).status == 0
    shutil.rmtree(out / "test-mails")
    (out / blocked).unlink(missing_ok=True)
    if blocked == "test-mails":
        (out / blocked).write_bytes(b"")
    else:
        (out / blocked).mkdir()
    told = cli("exchange-kit", "--out", out, "-c", config)
    assert (told.status, told.out) == (1, "")
    assert "cannot be written" in told.err and "run none of its scripts" in told.err
    (out / blocked).rmdir() if (out / blocked).is_dir() else (out / blocked).unlink()
    assert cli("exchange-kit", "--out", out, "-c", config).status == 0


def test_a_folder_of_others_is_left_alone(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    apply(cli, tmp_path)
    out = tmp_path / "scripts"
    out.mkdir()
    (out / "10-on-premises.ps1").write_bytes(b"mine")
    told = cli("exchange-kit", "--out", out, "-c", config)
    assert (told.status, "holds other files" in told.err) == (1, True)
    assert files(out) == {"10-on-premises.ps1": b"mine"}
    (out / "README.txt").write_bytes(b"mine, too")
    assert cli("exchange-kit", "--out", out, "-c", config).status == 1
    assert len(files(out)) == 2
    assert cli("exchange-kit", "--out", out / "README.txt", "-c", config).status == 1


@pytest.mark.parametrize("name", ["contact", "contact/acme.example", "test-mails"])
def test_a_link_out_of_the_folder_is_not_followed(cli: Cli, config: Path, tmp_path: Path, name: str) -> None:
    configure(config)
    apply(cli, tmp_path)
    out, elsewhere = tmp_path / "kit", tmp_path / "elsewhere"
    for folder in (elsewhere / "ssl", (out / name).parent):
        folder.mkdir(parents=True, exist_ok=True)
    (out / "README.txt").write_bytes(b"Made by `ime-gateway exchange-kit`")
    (elsewhere / "ssl" / "README.txt").write_bytes(b"not ours")
    (out / name).symlink_to(elsewhere)
    told = cli("exchange-kit", "--out", out, "-c", config)
    assert (told.status, "is a link to another place; nothing was written" in told.err) == (1, True)
    assert files(elsewhere) == {"ssl/README.txt": b"not ours"}


def refused(cli: Cli, config: Path, *options: str) -> str:
    """The one sentence; nothing was written."""
    out = config.parent.parent / "kit"
    told = cli("exchange-kit", "--out", out, *options, "-c", config)
    assert (told.status, told.out) == (1, "")
    assert not out.exists()
    assert told.err.count("\n") == 1
    return told.err


def test_without_a_managed_domain(cli: Cli, config: Path) -> None:
    configure(config)
    assert "ime-gateway domain add NAME --managed deliver_to=" in refused(cli, config)


def test_without_an_ime_certificate(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    apply(cli, tmp_path, ime="")
    assert cli("domain", "set", "acme.example", f"ime_address={ADDRESS}", "-c", config).status == 0
    said = refused(cli, config)
    assert f"acme.example has the IME address {ADDRESS} and no certificate for it; nothing was written" in said
    assert cli(*said.rpartition("ime-gateway ")[2].split(), "-c", config).status == 0
    assert cli("exchange-kit", "--out", tmp_path / "kit", "-c", config).status == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "::1"])
def test_without_an_address_that_exchange_can_know(cli: Cli, config: Path, tmp_path: Path, address: str) -> None:
    configure(config, address=address)
    apply(cli, tmp_path, ime="")
    assert "give it: --gateway-address IP" in refused(cli, config)
    assert cli("exchange-kit", "--out", tmp_path / "kit", *IP, "-c", config).status == 0


@pytest.mark.parametrize(
    ("settings", "options", "words"),
    [
        ({"port": 0}, (), "takes any free port"),
        ({}, ("--listener", "internet"), "has no internal listener called internet"),
        ({}, ("--gateway-address", "gw.acme.example"), "is no IP address"),
        ({}, ("--gateway-name", "10.20.0.5"), "Exchange checks the gateway's certificate by name"),
        ({}, ("--gateway-name", "not a name"), "is no host name"),
        ({}, ("--registry-key", "SOFTWARE\\Vendor"), "is no registry key"),
        ({}, ("--test-sender", "nobody"), "is no mail address"),
        ({}, ("--test-recipient", "m\u00fcller@acme.example"), "must be plain ASCII"),
        ({"more": SECOND}, (), "--listener NAME"),
    ],
)  # fmt: skip
def test_what_no_script_can_do_without(
    cli: Cli, config: Path, tmp_path: Path, settings: dict[str, str], options: tuple[str, ...], words: str
) -> None:
    configure(config, **settings)  # type: ignore[arg-type]
    apply(cli, tmp_path, ime="")
    assert words in refused(cli, config, *options)


def test_what_is_not_ready_is_said_in_the_readme_and_on_the_screen(cli: Cli, config: Path, tmp_path: Path) -> None:
    expired = make_user("gw@other.example", make_ca("Listener CA"))
    certificate, key = expired.write(tmp_path, "gw")
    configure(config, port=2525, more=f'tls = "mandatory"\ncertificate = "{certificate}"\nkey = "{key}"\n')
    (tmp_path / "site.toml").write_text(
        '[policy]\nopportunistic_tls = false\n[[managed_domain]]\nname = "acme.example"\n'
        'deliver_to = "smtp://mail.acme.example:2525"\n'
    )
    assert cli("apply", tmp_path / "site.toml", "-c", config).status == 0
    told = cli("exchange-kit", "--out", tmp_path / "kit", "--json", "-c", config)
    assert told.status == 0
    readme = " ".join((tmp_path / "kit" / "README.txt").read_text(encoding="utf-8").split())
    for words in (
        "Exchange Online connects to port 25 only: if you have mailboxes there, let it listen on 25",
        "is not for gw.acme.example",
        "set return_to",
        "belongs to the Transport service of every Exchange server",
        "opportunistic_tls is false",
        "has no ime_address",
    ):
        assert any(words in note for note in told.json["notes"]), words
        assert words in readme


def test_a_port_for_strangers_is_never_a_trusted_door(cli: Cli, config: Path, tmp_path: Path) -> None:
    """One domain's return_to is another's deliver_to: the trusted door would take what strangers sent to the other."""
    configure(config)
    other = '[[managed_domain]]\nname = "branch.example"\ndeliver_to = "smtp://mail.acme.example:10026"'
    apply(cli, tmp_path, ime=f'{other}\nreturn_to = "smtp://mail.acme.example:10027"')
    told = cli("exchange-kit", "--out", tmp_path / "kit", "--json", "-c", config)
    assert (told.json["inside_ports"], told.json["outside_ports"]) == ([10027], [25, 10026])
    assert any("port 10026 is in a return_to and in a deliver_to" in note for note in told.json["notes"])


def test_the_contact_is_named_as_ime_export_contact_names_it(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    apply(cli, tmp_path)
    assert cli("exchange-kit", "--out", tmp_path / "kit", "-c", config).status == 0
    assert cli("ime", "export-contact", "acme.example", "--out", tmp_path / "contact", "-c", config).status == 0
    facts = [
        json.loads((one / "contact.json").read_text())
        for one in (tmp_path / "kit/contact/acme.example", tmp_path / "contact")
    ]
    assert facts[0] | {"made_at": ""} == facts[1] | {"made_at": ""}


def test_two_domains_have_contacts_of_two_names(cli: Cli, config: Path, tmp_path: Path) -> None:
    configure(config)
    long_one = f"{'a' * 40}.example"
    apply(
        cli,
        tmp_path,
        ime=f'ime_address = "{ADDRESS}"\n[[managed_domain]]\nname = "{long_one}"\ndeliver_to = "smtp://mail.acme.example:25"\n'
        f'ime_address = "dca@ime.{long_one}"\n[[managed_domain]]\nname = "b.{long_one}"\n'
        f'deliver_to = "smtp://mail.acme.example:25"\nime_address = "dca@ime.b.{long_one}"',
    )
    assert cli("exchange-kit", "--out", tmp_path / "kit", "-c", config).status == 0
    text = (tmp_path / "kit" / "10-on-premises.ps1").read_text(encoding="utf-8-sig")
    for key in ("Name", "Alias"):
        found = re.findall(rf" {key} = '([^']+)'", text.partition("$Contacts = @(")[2].partition("\n)")[0])
        assert len(set(found)) == 3
        assert all(0 < len(one) <= 64 for one in found)
    assert {path.name for path in (tmp_path / "kit").glob("registry*.reg")} == {
        f"registry-{one}.reg" for one in ("acme.example", long_one, f"b.{long_one}")
    }
