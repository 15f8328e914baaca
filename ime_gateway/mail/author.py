"""Who wrote a message, or a refusal: From and Sender, read as strictly as they are trusted.

Keys, policy and signatures hang on the author, so a message whose From two programs could read
differently has none (CVE-2026-27444 class): exactly one From field, exactly one mailbox in it
unless a Sender says who sent it (RFC 5322 section 3.6.2).
"""

from dataclasses import dataclass
from functools import lru_cache

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Address, Group, Mailbox, parse_address_list
from ime_gateway.mail.headers import Field, HeaderBlock
from ime_gateway.mail.lookalike import apparent_name

_READ_BYTES = 65_536
"""Longest From or Sender that is read: an outsider must not keep the worker busy with one."""


@dataclass(frozen=True, slots=True)
class Author:
    """The people a message says it comes from."""

    from_: tuple[Mailbox, ...]
    """At least one; more than one only together with `sender`."""
    sender: Mailbox | None
    """Who sent it for them, when a Sender field says so."""

    @property
    def responsible(self) -> Address:
        """Who sent it: Sender if present, else the only From (RFC 5322 section 3.6.2)."""
        return (self.sender or self.from_[0]).address

    @property
    def keys(self) -> frozenset[str]:
        """Address keys of From and Sender together."""
        people = self.from_ if self.sender is None else (*self.from_, self.sender)
        return frozenset(mailbox.address.key for mailbox in people)


def read_author(headers: HeaderBlock) -> Author:
    """Read From and Sender; raises UnreadableMail with the sentence for the sender's user."""
    _refuse_disguised(headers)
    from_fields, sender_fields = headers.all("from"), headers.all("sender")
    if not from_fields:
        raise UnreadableMail("the message has no From field")
    if len(from_fields) > 1:
        raise UnreadableMail(f"the message has {len(from_fields)} From fields")
    if len(sender_fields) > 1:
        raise UnreadableMail(f"the message has {len(sender_fields)} Sender fields")
    people = _people(from_fields[0])
    senders = _people(sender_fields[0]) if sender_fields else ()
    if len(senders) > 1:
        raise UnreadableMail("the Sender field names several people")
    if len(people) > 1 and not senders:
        raise UnreadableMail("the From field names several people and no Sender says who of them sent it")
    return Author(people, senders[0] if senders else None)


@lru_cache(maxsize=64)  # the same field is read at the door, for signing and as the author of an original
def _people(field: Field) -> tuple[Mailbox, ...]:
    if len(field.raw) > _READ_BYTES:
        raise UnreadableMail(f"the {field.name} field is longer than {_READ_BYTES} bytes")
    # Names in old charsets are shown wrong but harm nobody; in an address the mark for them is refused.
    value = field.value.decode("utf-8", "replace")
    try:
        items = parse_address_list(value)
    except UnreadableMail as error:
        raise UnreadableMail(f"the {field.name} field cannot be read: {error}", error.evidence) from error
    people: list[Mailbox] = []
    for item in items:
        if isinstance(item, Group):  # RFC 6854 allows groups in From; nobody can check such an author
            raise UnreadableMail(f"the {field.name} field names a group instead of a person")
        people.append(item)
    if not people:
        raise UnreadableMail(f"the {field.name} field is empty")
    return tuple(people)


def _refuse_disguised(headers: HeaderBlock) -> None:
    """Refuse lines that are no From or Sender by RFC 5322, but that some program takes for one."""
    for field in headers.fields:
        if not field.name and apparent_name(field.raw) in ("from", "sender"):
            raise UnreadableMail("the message has a line that looks like a second From or Sender field")
