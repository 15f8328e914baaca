"""Publishing the IME contact in a directory, and finding it as Outlook does, among 1,000 and 100,000 entries.

Over LDAPS, connection, login and schema counted in, against a private slapd with the schema of Active Directory and
Exchange. The name is the difference: with its leading `_` the contact stands on the first page of the list.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from addin_sim.address_list.finding import find
from addin_sim.address_list.ldap_publisher import LdapPublisher
from addin_sim.address_list.publisher import Contact, Outcome
from addin_sim.outlook_settings import OutlookSettings, load
from tests.ime_contact import ADDRESS, contact_of
from tests.servers.ad_world import PLACE, SUFFIX, WRITER, WRITER_PASSWORD
from tests.servers.slapd_ad import SlapdAd

ROUNDS = 9
PUBLISH_LIMIT = 0.3
"""Seconds."""


def run(sizes: tuple[int, ...] = (1_000, 100_000)) -> list[dict[str, object]]:
    """The rows of the table."""
    contacts = contact_of(), contact_of()
    rows = []
    for size in sizes:
        with SlapdAd(contacts=size) as server, tempfile.TemporaryDirectory() as folder:
            outlook = _settings(server, Path(folder))
            rows += _publishing(outlook, contacts, size)
            rows += [_finding(outlook, contacts[0], name, size) for name in ("_IME authority", "Person of the IME")]
    return rows


def _publishing(outlook: OutlookSettings, contacts: tuple[Contact, Contact], size: int) -> list[dict[str, object]]:
    steps: dict[str, Callable[[LdapPublisher], Outcome]] = {
        "publish, new": lambda publisher: publisher.carry_out(publisher.plan(contacts[0])),
        "publish, new key": lambda publisher: publisher.carry_out(publisher.plan(contacts[1])),
        "publish, as it is": lambda publisher: publisher.carry_out(publisher.plan(contacts[1])),
        "publish --remove": lambda publisher: publisher.remove(contacts[1]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            begun = time.perf_counter()
            _connected(outlook, step)
            seconds[name].append(time.perf_counter() - begun)
    return [_row(name, size, statistics.median(each), f"{PUBLISH_LIMIT * 1000:.0f}") for name, each in seconds.items()]


def _finding(outlook: OutlookSettings, contact: Contact, name: str, size: int) -> dict[str, object]:
    named = replace(contact, display_name=name)
    _connected(outlook, lambda publisher: publisher.carry_out(publisher.plan(named)))
    begun = time.perf_counter()
    scanned = find(outlook, time.time(), time.monotonic, use_book=False).scan
    seconds = time.perf_counter() - begun
    _connected(outlook, lambda publisher: publisher.remove(named))
    assert scanned is not None
    row = _row(f"find {name}", size, seconds, "first page" if name.startswith("_") else "-")
    return {**row, "entries read": scanned.entries_read, "page": scanned.page}


def _connected(outlook: OutlookSettings, step: Callable[[LdapPublisher], Outcome]) -> Outcome:
    assert outlook.address_list.ldap is not None
    with closing(LdapPublisher(outlook.address_list.ldap, lambda _: None)) as publisher:
        return step(publisher)


def _row(what: str, size: int, seconds: float, asked: str) -> dict[str, object]:
    return {"what": what, "entries": f"{size:,}", "ms": f"{seconds * 1000:.0f}", "asked": asked} | {
        "entries read": "-",
        "page": "-",
    }


def _settings(server: SlapdAd, folder: Path) -> OutlookSettings:
    file = folder / "outlook.toml"
    file.write_text(
        f'[account]\naddress = "anna@acme.example"\n[submission]\nhost = "127.0.0.1"\n'
        f'[registry]\nInternalRecipient = "{ADDRESS}"\n'
        f'[address_list.ldap]\nurl = "{server.url}"\nca_file = "{server.ca_file}"\nbase = "{SUFFIX}"\n'
        f'place = "{PLACE}"\nuser = "{WRITER}"\npassword = "{WRITER_PASSWORD}"\npage_size = 1000\n'
        f"timeout_seconds = 120.0\n"
    )
    return load(file)
