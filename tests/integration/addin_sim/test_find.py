"""`addin-sim find` over a real directory server: the contact, its certificate, what it costs, and old copies of it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.finding import Finding, find
from addin_sim.address_list.publisher import Contact
from addin_sim.ime_certificate import ime_certificate
from addin_sim.outlook_settings import OutlookSettings, SettingsError, load
from tests.ime_contact import ADDRESS, DISPLAY_NAME, contact_of
from tests.pki import make_user
from tests.servers.ad_world import PLACE, READER, READER_PASSWORD, SUFFIX, as_admin
from tests.servers.slapd_ad import Entry, SlapdAd, contact

_SETTINGS = """
[account]
address = "alice@acme.example"
[submission]
host = "127.0.0.1"
[registry]
InternalRecipient = "{address}"
[address_list.ldap]
url = "{url}"
ca_file = "{ca}"
user = "{user}"
password = "{password}"
base = "{base}"
page_size = 100
timeout_seconds = 10
[address_list.offline_book]
hours = {hours}
"""
IME_DN = f"CN=_IME,{PLACE}"


@pytest.fixture(scope="module")
def directory() -> Iterator[SlapdAd]:
    with SlapdAd(contacts=1200) as server:
        yield server


@pytest.fixture
def owner() -> Contact:
    return contact_of()


@pytest.fixture
def ad(directory: SlapdAd) -> Iterator[SlapdAd]:
    """Without anything in our place at the end."""
    yield directory
    with as_admin(directory) as connection:
        connection.raise_exceptions = False
        connection.search(PLACE, "(objectClass=contact)", attributes=["1.1"])
        for dn in [one["dn"] for one in connection.response]:
            connection.delete(dn)


def settings(folder: Path, server: SlapdAd, *, hours: float = 0, **changed: str) -> OutlookSettings:
    values = {
        "address": ADDRESS,
        "url": server.url,
        "ca": str(server.ca_file),
        "user": READER,
        "password": READER_PASSWORD,
        "base": SUFFIX,
        **changed,
    }
    (folder / "outlook.toml").write_text(_SETTINGS.format(**values, hours=hours))
    return load(folder / "outlook.toml")


def put(server: SlapdAd, entry: Entry) -> None:
    dn, attributes = entry
    with as_admin(server) as connection:
        connection.add(dn, attributes={name: list(values) for name, values in attributes.items()})


def ime(of: Contact, name: str = "_IME", **more: list[str | bytes]) -> Entry:
    values: Mapping[str, list[str | bytes]] = {
        "userCertificate": [of.certificate],
        "userSMIMECertificate": [of.smime_value],
    }
    return contact(name, ADDRESS, PLACE, **{**values, **more})


def renewed(server: SlapdAd, **values: list[bytes]) -> None:
    with as_admin(server) as connection:
        connection.modify(IME_DN, {name: [("MODIFY_REPLACE", value)] for name, value in values.items()})


def look(outlook: OutlookSettings, later: float = 0.0, **how: bool) -> Finding:
    return find(outlook, time.time() + later, time.monotonic, **how)


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "addin_sim.cli", "find", "--settings", str(folder / "outlook.toml"), *words]
    code = "from addin_sim.cli import run; run()"
    return subprocess.run([sys.executable, "-c", code, *command[3:]], capture_output=True, text=True, check=False)


def test_with_an_underscore_the_first_page_is_enough(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    found = look(settings(tmp_path, ad))
    assert found.scan is not None and found.chosen is not None
    assert (found.scan.position, found.scan.page, found.scan.pages_read, found.scan.entries_read) == (1, 1, 1, 1)
    assert (found.chosen.thumbprint, found.chosen.source) == (owner.thumbprint, "userSMIMECertificate")
    assert not found.remarks


def test_a_late_name_reads_the_list_page_by_page(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner, "Zentrale"))
    found = look(settings(tmp_path, ad))
    assert found.scan is not None and found.chosen is not None
    assert (found.scan.position, found.scan.page, found.scan.entries_read) == (1201, 13, 1201)
    assert "reads 13 pages of the list at each start" in found.remarks[0]


def test_what_the_command_says(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    settings(tmp_path, ad)
    told = run(tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stderr == f"reading the address list at {ad.url} below {SUFFIX}\n"
    assert f"certificate   {owner.thumbprint} of userSMIMECertificate, valid until " in told.stdout
    assert "place 1 of the list, page 1; 1 entries on 1 pages read" in told.stdout
    answer = json.loads(run(tmp_path, "--json").stdout)
    assert list(answer) == [
        *("address", "name", "dn", "certificate", "candidates", "scan", "offline_book", "remarks", "refusal")
    ]
    assert answer["certificate"]["thumbprint"] == owner.thumbprint
    assert answer["scan"]["seconds"] < 10 and answer["refusal"] is None


def test_nobody_has_the_address(ad: SlapdAd, tmp_path: Path) -> None:
    settings(tmp_path, ad)
    told = run(tmp_path)
    assert told.returncode == 1 and not told.stdout
    assert "None of the 1,200 entries of the address list" in told.stderr and "Traceback" not in told.stderr


def test_a_hidden_contact_is_told_as_such(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner, msExchHideFromAddressLists=["TRUE"]))
    with pytest.raises(AddressListError, match="Exchange hides it"):
        look(settings(tmp_path, ad))


def test_a_name_in_the_list_cannot_forge_what_is_said(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner, displayName=["_IME\ncertificate   sha256:0000 \x1b[2J"]))
    settings(tmp_path, ad)
    told = run(tmp_path)
    assert told.stdout.startswith("contact       _IME\\ncertificate   sha256:0000 \\x1b[2J (cn=_IME,"), told.stdout
    assert told.stdout.count("\ncertificate ") == 1 and "\x1b" not in told.stdout + told.stderr
    renewed(ad, userCertificate=[], userSMIMECertificate=[])
    refused = run(tmp_path)
    assert refused.returncode == 1 and "\x1b" not in refused.stdout + refused.stderr


def test_two_entries_with_the_address(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    put(ad, ime(contact_of(), "zweite"))
    found = look(settings(tmp_path, ad))
    assert found.chosen is not None and found.chosen.thumbprint == owner.thumbprint
    assert "2 entries have this address" in found.remarks[0] and "zweite" in found.remarks[0]


def test_a_stale_signed_value_beats_a_renewed_certificate(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    renewed(ad, userCertificate=[contact_of().certificate])
    found = look(settings(tmp_path, ad))
    assert found.chosen is not None and found.chosen.thumbprint == owner.thumbprint


def test_no_certificate_that_can_be_used(ad: SlapdAd, tmp_path: Path) -> None:
    expired = contact_of(owner=make_user(ADDRESS, expired=True))
    put(ad, ime(expired))
    settings(tmp_path, ad)
    told = run(tmp_path, "--json")
    assert told.returncode == 1 and "has no certificate that can be used" in told.stderr and "expired on" in told.stderr
    answer = json.loads(told.stdout)
    assert answer["certificate"] is None and len(answer["candidates"]) == 2
    put(ad, contact("_Empty", "other@ime.acme.example", PLACE))
    assert "it has none at all" in look(settings(tmp_path, ad, address="other@ime.acme.example")).refusal


@pytest.mark.parametrize("hours", [0, 24])
@pytest.mark.parametrize(
    ("years", "why"),
    [(-50, r"certificate .*is valid from 20\d\d-\d\d-\d\d only"), (50, r"certificate .*expired on 20\d\d")],
)
def test_a_wrong_clock_and_an_expired_certificate_can_be_told_apart(
    ad: SlapdAd, tmp_path: Path, owner: Contact, hours: float, years: int, why: str
) -> None:
    put(ad, ime(owner))
    refusal = look(settings(tmp_path, ad, hours=hours), years * 365.0 * 86400).refusal
    assert re.search(why, refusal)
    assert "this computer's clock" in refusal and "docs/address-list.md, section 5" in refusal
    assert ".;" not in refusal and ".." not in refusal


def test_the_book_is_compared_with_the_entry_that_it_was_made_of(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(contact_of(), "zweite"))
    put(ad, ime(contact_of(), "_verborgen", msExchHideFromAddressLists=["TRUE"]))
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad, hours=24)
    assert look(outlook).remarks[0].startswith("2 entries have this address")
    again = look(outlook, 60, compare=True)
    assert again.stale is False and again.chosen is not None and again.chosen.thumbprint == owner.thumbprint


def test_what_is_not_in_the_book_is_not_seen_from_the_first(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    expired = contact_of(owner=make_user(ADDRESS, expired=True))
    put(ad, ime(owner, userSMIMECertificate=[expired.smime_value]))
    outlook = settings(tmp_path, ad, hours=24)
    assert len(look(outlook, use_book=False).candidates) == 2
    found = look(outlook)
    assert [one.source for one in found.candidates] == ["userCertificate"] and found.book is not None
    assert "its certificate expired on 20" in found.book.left_out[0]
    assert "not in it     A value of userSMIMECertificate" in run(tmp_path).stdout


@pytest.mark.parametrize(
    "address", ["*@ime.acme.example", "a)(mail=*@ime.acme.example", r"\2a@ime.acme.example", "ü*@ime.acme.example"]
)
def test_an_address_is_never_a_filter(ad: SlapdAd, tmp_path: Path, owner: Contact, address: str) -> None:
    put(ad, ime(owner))
    with pytest.raises((AddressListError, SettingsError), match=r"None of the|must be an address"):
        look(settings(tmp_path, ad, address=address.replace("\\", "\\\\")))


def test_failures_are_sentences(ad: SlapdAd, tmp_path: Path) -> None:
    for changed in (
        {"password": "wrong"},
        {"ca": str(ad.other_ca_file)},
        {"url": "ldaps://127.0.0.1:1"},
        {"base": "DC=nowhere,DC=test"},
    ):
        settings(tmp_path, ad, **changed)
        told = run(tmp_path)
        assert told.returncode == 1, changed
        assert "Traceback" not in told.stderr and told.stderr.rstrip().endswith("."), told.stderr


def test_the_offline_book_answers_until_it_is_old(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad, hours=24)
    assert look(outlook).scan is not None
    newer = contact_of()
    renewed(ad, userCertificate=[newer.certificate], userSMIMECertificate=[newer.smime_value])
    stale = look(outlook, 3600, compare=True)
    assert stale.scan is None and stale.stale and stale.chosen is not None
    assert stale.chosen.thumbprint == owner.thumbprint
    assert newer.thumbprint in stale.remarks[0] and stale.remarks[0].startswith("Stale: ")
    assert "stale" in run(tmp_path).stdout
    fresh = look(outlook, 25 * 3600)
    assert fresh.scan is not None and fresh.chosen is not None and fresh.chosen.thumbprint == newer.thumbprint
    assert look(outlook, 26 * 3600, compare=True).stale is False
    assert look(outlook).scan is not None  # the clock was put back: a book from the future is none


def test_without_cache_the_book_stays_as_it_is(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad, hours=24)
    look(outlook)
    newer = contact_of()
    renewed(ad, userCertificate=[newer.certificate], userSMIMECertificate=[newer.smime_value])
    live = look(outlook, use_book=False)
    assert live.book is None and live.chosen is not None and live.chosen.thumbprint == newer.thumbprint
    assert newer.thumbprint in run(tmp_path, "--no-cache").stdout
    kept = look(outlook)
    assert kept.chosen is not None and kept.chosen.thumbprint == owner.thumbprint


def test_the_book_works_while_the_directory_is_away(tmp_path: Path, owner: Contact) -> None:
    with SlapdAd(entries=[ime(owner)]) as server:
        outlook = settings(tmp_path, server, hours=24)
        look(outlook)
    found = look(outlook, compare=True)
    assert found.chosen is not None and found.stale is None
    assert found.remarks[0].startswith("The offline address book was not compared with the list.")


def test_values_too_large_for_the_book_are_asked_for_online(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad, hours=24)
    renewed(ad, userSMIMECertificate=[b"\x30" + bytes(33000), owner.smime_value])
    assert look(outlook).book is not None
    kept = look(outlook, 60)
    assert kept.scan is None and kept.book is not None and kept.book.ask_server == ("userSMIMECertificate",)
    assert len(kept.candidates) == 3  # the server has the large one as well


def test_a_contact_that_is_gone_from_the_list(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad, hours=24)
    look(outlook)
    with as_admin(ad) as connection:
        connection.delete(IME_DN)
    found = look(outlook, compare=True)
    assert found.stale and "no such contact any more" in found.remarks[0]


def test_containers_are_encrypted_to_what_is_found(ad: SlapdAd, tmp_path: Path, owner: Contact) -> None:
    put(ad, ime(owner))
    outlook = settings(tmp_path, ad)
    assert ime_certificate(outlook, time.time()).public_bytes(Encoding.DER) == owner.certificate
    renewed(ad, userCertificate=[], userSMIMECertificate=[])
    with pytest.raises(AddressListError, match="it has none at all"):
        ime_certificate(outlook, time.time())


def test_without_a_list_or_with_ime1_there_is_nothing_to_find(ad: SlapdAd, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"IME 1\.0"):
        look(settings(tmp_path, ad, address="IME@imepseudodomain.local"))
    text = (tmp_path / "outlook.toml").read_text().split("[address_list")[0]
    (tmp_path / "outlook.toml").write_text(text.replace("IME@imepseudodomain.local", ADDRESS))
    with pytest.raises(SettingsError, match=r"no \[address_list\.ldap\]"):
        look(load(tmp_path / "outlook.toml"))


def test_a_schema_without_exchange(tmp_path: Path, owner: Contact) -> None:
    with SlapdAd(exchange=False, entries=[ime(owner, DISPLAY_NAME)]) as server:
        found = look(settings(tmp_path, server, url=server.plain_url))
    assert found.chosen is not None and found.name == DISPLAY_NAME
