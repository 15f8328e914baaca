"""The Exchange of the company: EWS mailboxes (our double), Postfix as transport, Active Directory as address list.

    with open_exchange(["emma@acme.example"], ad) as (ews, door):
        ... Postfix started, routes emma's mail to door.port ...
        ews.transport.on_send = relay(ews, "127.0.0.1", postfix.port, everything=True)

Real Exchange is all of it in one. What it shows of a published contact it reads from the directory, so the double does.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.servers.ad_world import SUFFIX, AdServer, as_admin, ldap3
from tests.servers.ews.directory import Directory, Entry
from tests.servers.ews.mail_doors import SmtpDoor
from tests.servers.ews.server import EwsServer

_SHOWN = "(&(objectClass=contact)(mailNickname=*)(!(msExchHideFromAddressLists=TRUE)))"
"""Without mailNickname an entry is no recipient for Exchange."""


class AdAddressList(Directory):
    """Its contacts are those of a directory, at the moment of the question."""

    def __init__(self, ad: AdServer) -> None:
        super().__init__()
        self._ad = ad

    def resolve(self, words: str) -> list[Entry]:
        """As `Directory.resolve`."""
        for entry in [entry for entry in self.entries.values() if entry.kind == "Contact"]:
            self.remove(entry.address)
        for entry in _contacts(self._ad):
            self.add(entry)
        return super().resolve(words)


def _contacts(ad: AdServer) -> list[Entry]:
    names = ["mail", "displayName", "mailNickname", "userCertificate", "userSMIMECertificate"]
    with as_admin(ad) as connection:
        connection.search(SUFFIX, _SHOWN, ldap3.SUBTREE, attributes=names)
        found = [one["raw_attributes"] for one in connection.response if one["type"] == "searchResEntry"]
    return [
        Entry(
            *(one[name][0].decode() for name in ("mail", "displayName")),
            kind="Contact",
            alias=one["mailNickname"][0].decode(),
            user_certificates=one.get("userCertificate", []),
            user_smime_certificates=one.get("userSMIMECertificate", []),
        )
        for one in found
    ]


@contextmanager
def open_exchange(addresses: Sequence[str], ad: AdServer) -> Iterator[tuple[EwsServer, SmtpDoor]]:
    """A server with these mailboxes, and the door through which their mail comes in by SMTP."""
    with EwsServer(addresses, directory=AdAddressList(ad)) as ews, SmtpDoor(ews) as door:
        yield ews, door
