"""The copy of the address list that Outlook works with in cached mode: old, and without some certificates.

Exchange builds the offline address book about every eight hours and Outlook fetches it about daily, so for a day or
two after a rollover clients encrypt to the certificate before it: the reason why a gateway keeps its old keys. Invalid
and expired certificates are left out when the book is built, and values that are too large are dropped and
listed, so that Outlook asks the server for them ([MS-OXOAB] sections 2.9.2.2.1 and 2.9.4).

Simplified: of all entries only the IME contact is kept, a book is built when it is fetched, and that the contact was
not in the list is not remembered.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_list import CertificateValues
from addin_sim.address_list.outlook_certificates import PLAIN, SMIME, time_problem
from addin_sim.whole_file import write_whole

BOOK_FILE = "offline-book.json"
"""In the profile folder."""

_VERSION = 1
_LARGEST_VALUE = 32768
"""Bytes; the largest that can be set for a binary value."""

_LARGEST_TOGETHER = 65536
"""Bytes; the same for all values of a property together."""


@dataclass(frozen=True, slots=True)
class BookEntry:
    """The IME contact as the book has it."""

    address: str
    source: str
    """URL and base of the list that it was fetched from."""
    fetched: float
    """In seconds since 1970 UTC."""
    dn: str
    name: str
    values: CertificateValues
    left_out: tuple[str, ...] = ()
    """Which values the book lacks and why, a sentence each."""
    ask_server: tuple[str, ...] = ()
    """Attributes with values too large for the book: Outlook asks the server for them."""

    def age_hours(self, moment: float) -> float:
        """How old it is at `moment` (seconds since 1970 UTC)."""
        return (moment - self.fetched) / 3600


def as_in_book(address: str, source: str, dn: str, name: str, values: CertificateValues, moment: float) -> BookEntry:
    """What becomes of an entry when a book is built at `moment` (seconds since 1970 UTC)."""
    left_out: list[str] = []
    large: list[str] = []
    smime = _fit(SMIME, values.smime, moment, left_out, large)
    plain = _fit(PLAIN, values.plain, moment, left_out, large)
    return BookEntry(address, source, moment, dn, name, CertificateValues(smime, plain), tuple(left_out), tuple(large))


def load_book(profile: Path, address: str, source: str) -> BookEntry | None:
    """The kept entry, if it is of this address and this list; None also when the file cannot be understood."""
    try:
        kept = json.loads((profile / BOOK_FILE).read_text("utf-8"))
        if kept["version"] != _VERSION or kept["address"] != address or kept["source"] != source:
            return None
        values = CertificateValues(_bytes(kept["smime"]), _bytes(kept["plain"]))
        where, notes = (str(kept["dn"]), str(kept["name"])), (tuple(kept["left_out"]), tuple(kept["ask_server"]))
        return BookEntry(address, source, float(kept["fetched"]), *where, values, *notes)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_book(profile: Path, entry: BookEntry) -> None:
    """Write it in place of the one before, whole or not at all. Raises `AddressListError`."""
    content = {
        "version": _VERSION,
        "address": entry.address,
        "source": entry.source,
        "fetched": entry.fetched,
        "dn": entry.dn,
        "name": entry.name,
        "smime": _texts(entry.values.smime),
        "plain": _texts(entry.values.plain),
        "left_out": entry.left_out,
        "ask_server": entry.ask_server,
    }
    try:
        profile.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(profile / BOOK_FILE, json.dumps(content).encode(), mode=0o600)
    except OSError as error:
        raise AddressListError(
            f"{profile / BOOK_FILE}: the offline address book cannot be written: {error.strerror}. The address list "
            "could be read, and an older book is as it was. Make room, or set address_list.offline_book.hours to 0."
        ) from error


def _fit(
    source: str, values: Sequence[bytes], moment: float, left_out: list[str], large: list[str]
) -> tuple[bytes, ...]:
    kept: list[bytes] = []
    for value in values:
        if len(value) > _LARGEST_VALUE or sum(map(len, kept)) + len(value) > _LARGEST_TOGETHER:
            left_out.append(f"A value of {source} has {len(value)} bytes, too many for the offline address book.")
            large.append(source)
        elif problem := time_problem(value, source, moment):
            left_out.append(f"A value of {source} is not in the offline address book: {problem}.")
        else:
            kept.append(value)
    return tuple(kept)


def _texts(values: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(value).decode("ascii") for value in values]


def _bytes(texts: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(base64.b64decode(text, validate=True) for text in texts)
