"""`addin-sim publish --backend ldap` as an administrator runs it, against slapd with Active Directory's schema."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addin_sim.cli import app
from tests.pki import make_user
from tests.servers.ad_world import PEOPLE, PLACE, SUFFIX, WRITER, WRITER_PASSWORD, add, as_admin, dns_below, read
from tests.servers.slapd_ad import ENTRY_CLASSES, SlapdAd
from tests.unit.addin_sim.address_list.test_publish_contact import ADDRESS, export

DN = f"cn=_IME domain-confidentiality-authority,{PLACE}"
HOSTILE = '_Ümläut, "Q" \\ <a+b;c=d> #*()(cn=*) x'


@pytest.fixture(scope="module")
def with_exchange() -> Iterator[SlapdAd]:
    with SlapdAd(exchange=True) as server:
        yield server


@pytest.fixture(scope="module")
def without_exchange() -> Iterator[SlapdAd]:
    with SlapdAd(exchange=False) as server:
        yield server


@pytest.fixture
def ad(with_exchange: SlapdAd) -> Iterator[SlapdAd]:
    yield with_exchange
    empty(with_exchange)


def empty(server: SlapdAd) -> None:
    for place in (PLACE, PEOPLE):
        for dn in dns_below(server, place):
            with as_admin(server) as connection:
                connection.delete(dn)


@pytest.fixture
def contact(tmp_path: Path) -> Path:
    return export(tmp_path / "contact", make_user(ADDRESS))


def settings(server: SlapdAd, folder: Path, **changes: str | bool) -> Path:
    table: dict[str, str | bool] = {
        "url": server.url,
        "ca_file": str(server.ca_file),
        "user": WRITER,
        "password": WRITER_PASSWORD,
        "base": SUFFIX,
        "place": PLACE,
        **changes,
    }
    path = folder / "outlook.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    path.write_text(
        '[account]\naddress = "anna@acme.example"\n[submission]\nhost = "127.0.0.1"\n[address_list.ldap]\n'
        + "\n".join(lines)
        + "\n"
    )
    return path


@dataclass
class Said:
    """What a command printed, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


def publish(settings_file: Path, contact: Path, *more: str) -> Said:
    words = ["publish", "--backend", "ldap", "--settings", str(settings_file), "--contact", str(contact), *more]
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def test_from_nothing_to_published_renewed_and_gone(ad: SlapdAd, contact: Path, tmp_path: Path) -> None:
    where = settings(ad, tmp_path)
    tried = publish(where, contact, "--dry-run")
    assert tried.returncode == 0 and "mail: (nothing) -> " in tried.stdout and "A dry run" in tried.stdout
    assert "Connecting to ldaps://" in tried.stderr and "Connecting" not in tried.stdout
    assert dns_below(ad, PLACE) == []

    done = publish(where, contact)
    assert done.returncode == 0, done.stderr
    assert "Adding" in done.stderr and "Added" in done.stdout
    assert "may not create" not in done.stderr, "a directory that does not say so has not said no"
    stored = read(ad, DN)
    assert stored["userCertificate"] == [(contact / "userCertificate.der").read_bytes()]
    assert stored["userSMIMECertificate"] == [(contact / "userSMIMECertificate.bin").read_bytes()]
    assert stored["proxyAddresses"] == stored["targetAddress"] == [f"SMTP:{ADDRESS}".encode()]
    assert stored["mAPIRecipient"] == [b"FALSE"] and stored["internetEncoding"] == [b"1310720"]

    again = publish(where, contact)
    assert again.returncode == 0 and "nothing was changed" in again.stdout and read(ad, DN) == stored

    newer = export(tmp_path / "newer", make_user(ADDRESS))
    log = ad.log()
    renewed = json.loads(publish(where, newer, "--json").stdout)
    assert renewed["action"] == "change" and renewed["dry_run"] is False
    old, new = (json.loads((one / "contact.json").read_text())["thumbprint"] for one in (contact, newer))
    assert renewed["changes"] == [
        {"attribute": name, "old": [old], "new": [new]} for name in ("userCertificate", "userSMIMECertificate")
    ]
    assert read(ad, DN)["userCertificate"] == [(newer / "userCertificate.der").read_bytes()]
    modifications = [line for line in ad.log().removeprefix(log).splitlines() if " MOD attr=" in line]
    assert len(modifications) == 1 and "userCertificate userSMIMECertificate" in modifications[0]

    gone = publish(where, contact, "--remove")
    assert gone.returncode == 0 and "Removed" in gone.stdout and dns_below(ad, PLACE) == []
    assert "There is no contact" in publish(where, contact, "--remove").stdout


def test_json_tells_a_dry_run_apart(ad: SlapdAd, contact: Path, tmp_path: Path) -> None:
    told = json.loads(publish(settings(ad, tmp_path), contact, "--dry-run", "--json").stdout)
    assert (told["backend"], told["action"], told["address"], told["dry_run"]) == ("ldap", "add", ADDRESS, True)
    assert told["sentence"] is None and told["thumbprint"].startswith("sha256:")
    assert dns_below(ad, PLACE) == []


def test_without_exchange_the_rest_is_written(without_exchange: SlapdAd, contact: Path, tmp_path: Path) -> None:
    done = publish(settings(without_exchange, tmp_path), contact)
    assert done.returncode == 0 and "no Exchange schema" in done.stderr
    stored = read(without_exchange, DN)
    assert stored["mail"] == [ADDRESS.encode()] and "userSMIMECertificate" in stored
    assert not {"mailNickname", "targetAddress", "mAPIRecipient"} & set(stored)


@pytest.mark.parametrize("way", ["starttls", "external"])
def test_other_ways_in(ad: SlapdAd, contact: Path, tmp_path: Path, way: str) -> None:
    changes: dict[str, str | bool] = {"url": ad.plain_url}
    if way == "external":
        changes |= {"bind": "external", "client_certificate": str(ad.client_certificate), "user": "", "password": ""}
    done = publish(settings(ad, tmp_path, **changes), contact)
    assert done.returncode == 0, done.stderr
    assert dns_below(ad, PLACE) != []


def test_no_name_becomes_a_command(ad: SlapdAd, tmp_path: Path) -> None:
    add(ad, f"CN=other,{PLACE}", ENTRY_CLASSES["contact"], mail="other@acme.example")
    contact = export(tmp_path / "c", make_user(ADDRESS), name=HOSTILE)
    where = settings(ad, tmp_path)
    told = json.loads(publish(where, contact, "--json").stdout)
    assert told["action"] == "add"
    assert read(ad, told["place"])["displayName"] == [HOSTILE.encode()]
    assert json.loads(publish(where, contact, "--json").stdout)["action"] == "nothing"
    assert json.loads(publish(where, contact, "--json", "--remove").stdout)["action"] == "remove"
    assert [dn.lower() for dn in dns_below(ad, PLACE)] == [f"CN=other,{PLACE}".lower()]


def test_what_stands_in_the_directory_cannot_speak_for_the_program(ad: SlapdAd, tmp_path: Path, contact: Path) -> None:
    forged = "x\nAdded CN=boss\x1b[2J\u202e"
    add(ad, DN, ENTRY_CLASSES["contact"], mail=ADDRESS, displayName=forged)
    where = settings(ad, tmp_path)
    said = publish(where, contact, "--dry-run")
    assert "displayName: x\\nAdded CN=boss\\x1b[2J\\u202e -> _IME" in said.stdout
    assert not {"\x1b", "\u202e"} & set(said.stdout + said.stderr)
    assert all(not line.startswith("Added") for line in said.stdout.splitlines())
    assert json.loads(publish(where, contact, "--json").stdout)["changes"][0]["old"] == [forged]


def test_two_domains_with_the_same_local_part_have_a_contact_each(ad: SlapdAd, tmp_path: Path) -> None:
    where = settings(ad, tmp_path)
    other = ADDRESS.replace("acme", "subsidiary")
    for address in (ADDRESS, other):
        contact = export(tmp_path / address, make_user(address), address)
        assert publish(where, contact).returncode == 0
        assert "nothing was changed" in publish(where, contact).stdout
    assert len(dns_below(ad, PLACE)) == 2


def test_what_is_not_ours_is_never_touched(ad: SlapdAd, contact: Path, tmp_path: Path) -> None:
    elsewhere, twin = f"CN=other,{PEOPLE}", f"CN=twin,{PLACE}"
    add(ad, elsewhere, ENTRY_CLASSES["contact"], mail=ADDRESS)
    _assert_refused(ad, tmp_path, contact, "lies outside", elsewhere)
    add(ad, twin, ENTRY_CLASSES["contact"], proxyAddresses=[f"smtp:{ADDRESS.upper()}"])
    _assert_refused(ad, tmp_path, contact, "exists 2 times", elsewhere, twin)
    empty(ad)
    add(ad, twin, ENTRY_CLASSES["user"], mail=ADDRESS)
    _assert_refused(ad, tmp_path, contact, "is no contact but a user", twin)
    empty(ad)
    add(ad, twin, ENTRY_CLASSES["contact"], mail="bob@acme.example", proxyAddresses=[f"smtp:{ADDRESS}"])
    _assert_refused(ad, tmp_path, contact, "somebody else: its mail is bob@acme.example", twin)


def _assert_refused(server: SlapdAd, folder: Path, contact: Path, words: str, *dns: str) -> None:
    before = {dn: read(server, dn) for dn in dns}
    assert all(before.values())
    for more in ((), ("--remove",)):
        said = publish(settings(server, folder), contact, *more)
        assert said.returncode == 1 and words in said.stderr and "Nothing was changed" in said.stderr, said.stderr
        assert all(dn.lower() in said.stderr.lower() for dn in dns) and "Traceback" not in said.stderr
    assert {dn: read(server, dn) for dn in dns} == before


def test_wrong_usage_and_missing_tables(contact: Path, tmp_path: Path) -> None:
    assert publish(tmp_path / "none.toml", contact).returncode == 2
    assert publish(tmp_path / "none.toml", tmp_path / "nowhere").returncode == 2
    bare = tmp_path / "bare.toml"
    bare.write_text('[account]\naddress = "anna@acme.example"\n[submission]\nhost = "127.0.0.1"\n')
    said = publish(bare, contact)
    assert said.returncode == 1 and "[address_list.ldap]" in said.stderr and "Traceback" not in said.stderr


def test_an_expired_certificate_is_not_published(ad: SlapdAd, tmp_path: Path) -> None:
    contact = export(tmp_path / "old", make_user(ADDRESS, expired=True))
    said = publish(settings(ad, tmp_path), contact)
    assert said.returncode == 1 and "expired on" in said.stderr and said.stdout == ""
    assert dns_below(ad, PLACE) == []


def test_the_program_itself(ad: SlapdAd, contact: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("addin-sim")
    words = ["publish", "--backend", "ldap", "--settings", settings(ad, tmp_path), "--contact", contact]
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("Added CN=_IME"), done.stderr
    refused = subprocess.run(
        [program, *words[:4], settings(ad, tmp_path, password="wrong"), *words[5:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr.splitlines()[-1].startswith(f"{ad.url} refuses the login as {WRITER}: ")
