"""What every way to publish the IME contact has in common: decide first, show it to people, then do exactly that.

The address list of Exchange is written by LDAP; EWS writes contacts folders only (MS-OXWSCONT), and Exchange Online
is written by its own PowerShell commands. One command drives all three, so each of them is a `Publisher`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from addin_sim.address_list.outlook_certificates import certificates_in
from addin_sim.own_keys import thumbprint

Value = str | bytes
"""One value of an attribute; bytes are certificates (`userCertificate`) or signed values (`userSMIMECertificate`)."""

Progress = Callable[[str], None]
"""Takes one sentence about what begins now; the command line prints it on stderr."""


@dataclass(frozen=True, slots=True)
class Contact:
    """The contact that the gateway exported (`contact.json`, version 1), checked and read."""

    address: str
    """The IME address, as `InternalRecipient` names it."""
    display_name: str
    """Begins with `_`, so that the add-in finds it early in the list."""
    common_name: str
    """The display name in ASCII, at most 64 characters: the CN of a directory entry."""
    certificate: bytes
    """DER: the value of `userCertificate`."""
    smime_value: bytes
    """DER, CMS SignedData: the value of `userSMIMECertificate` (MS-OXLDAP section 2.2.5.2)."""
    thumbprint: str
    """SHA-256 of `certificate` as contact.json spells it: `sha256:` and 64 lower-case digits."""
    not_after: datetime
    """The last moment of the certificate (UTC)."""


class Action(StrEnum):
    """What a plan comes to."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    NOTHING = "nothing"
    """The list is already as wanted."""


@dataclass(frozen=True, slots=True)
class Change:
    """One attribute before and after; an empty side means that it does not exist there."""

    attribute: str
    old: tuple[Value, ...]
    new: tuple[Value, ...]

    @property
    def line(self) -> str:
        """`attribute: old -> new`, certificates by their thumbprints."""
        return f"{self.attribute}: {_side(self.old)} -> {_side(self.new)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, complete: carrying it out needs no second decision."""

    action: Action
    place: str
    """Where, for people: a DN, a folder with the entry's name, a script."""
    key: str
    """The entry, for the back end alone (DN, item id); empty when there is none yet."""
    contact: Contact
    changes: tuple[Change, ...] = ()
    """Only attributes that differ; all of the entry when it is added or removed."""
    remarks: tuple[str, ...] = ()
    """Sentences that a person should read before it is done."""

    @property
    def diff(self) -> tuple[str, ...]:
        """One line for each attribute that changes."""
        return tuple(change.line for change in self.changes)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, and what the list holds now."""

    action: Action
    place: str
    sentence: str
    """One sentence: what happened and where."""
    remarks: tuple[str, ...] = ()
    """What to do next, or what could not be seen; a sentence each."""


class Publisher(Protocol):
    """A back end. Every method raises `AddressListError` with one sentence: what happened, what the list holds now,
    what to do. Whoever makes one gives it a `Progress`; it is used inside `with contextlib.closing(...)`."""

    def plan(self, contact: Contact) -> Plan:
        """Read what is there and decide; writes nothing. An entry that is not our contact is refused, never taken."""
        ...

    def plan_removal(self, contact: Contact) -> Plan:
        """The same for taking the contact away: only an entry with its address that is a contact counts."""
        ...

    def carry_out(self, plan: Plan) -> Outcome:
        """Do what `plan` or `plan_removal` of this very object decided; `Action.NOTHING` writes nothing."""
        ...

    def remove(self, contact: Contact) -> Outcome:
        """`carry_out(plan_removal(contact))`."""
        ...

    def close(self) -> None:
        """Let go of the connection; never raises."""
        ...


def shown(value: Value) -> str:
    """A value for people: text as it is, a certificate by its SHA-256 thumbprint and last day."""
    if isinstance(value, str):
        return value
    certificates = certificates_in(value)
    if not certificates:
        return f"{len(value)} bytes that are no certificate"
    first = certificates[0]
    signed = "signed" if value[:1] == b"\x30" else "unsigned"  # MS-OXOABK section 2.2.4.36: CMS, or a run of tags
    kind = "certificate" if first.public_bytes(Encoding.DER) == value else f"{signed} value of certificate"
    return f"{kind} {thumbprint(first)} (until {first.not_valid_after_utc:%Y-%m-%d})"


def _side(values: tuple[Value, ...]) -> str:
    return ", ".join(shown(value) for value in values) if values else "(nothing)"
