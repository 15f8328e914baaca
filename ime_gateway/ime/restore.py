"""Give a message back the recipients that the add-in hid from the mail server.

The Outlook add-in moves To, Cc and Bcc into `X-SM-ORIGTO/CC/BCC` and addresses the pseudo
recipient, so that Exchange routes the message here. Exchange may fold these headers and encode them
as unstructured text (RFC 2047), so a list is read as RFC 5322 section 3.4 first and decoded only when
that fails; two readings that name different people are refused, never guessed (design 6.5, fact 2).
That is IME 1.0; the message inside an IME 2.0 container names its recipients itself, in To, Cc, Bcc or ORIG headers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, Group, Mailbox, flatten, parse_address_list
from ime_gateway.mail.headers import HeaderBlock, decode_words, make_address_field, make_field
from ime_gateway.mail.markers import BLIND_HEADERS

ORIGINAL_HEADERS = frozenset({"x-sm-origto", "x-sm-origcc", "x-sm-origbcc"})

_READ_BYTES = 262_144
"""Longest lists of recipients together: a thousand people with long names; more would keep the worker busy."""
_GLUED_WORD = re.compile(r"[\w.@-]=\?[^?\s]*\?[bBqQ]\?|\?=[\w.@-]")
"""An encoded word that touches other text is none (RFC 2047 section 5): programs differ about it."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The message's headers as the sender meant them, and everybody who shall get it."""

    headers: HeaderBlock
    visible: tuple[Address, ...]
    """To, then Cc, each once."""
    blind: tuple[Address, ...]
    """Bcc, without those who are visible anyway."""


@dataclass(frozen=True, slots=True)
class Unrestorable:
    """Why the recipients cannot be restored."""

    reason: Reason
    detail: str
    address: str = ""
    only_ime: bool = False
    """Nobody but IME addresses is named: mail to the gateway itself, at most the answer to a question."""


def restore(headers: HeaderBlock, pseudo_recipient: Address) -> Restored | Unrestorable:
    """Put the recipients of the ORIG headers back into To and Cc; Bcc goes to the envelope only.

    Other addresses that stand in To or Cc beside the pseudo recipient stay there. The result has
    no ORIG header, no Bcc, and the pseudo recipient nowhere.
    """
    if not any(headers.first(name) is not None for name in ORIGINAL_HEADERS):
        return Unrestorable(Reason.IME_NO_RECIPIENTS, "no X-SM-ORIG header has arrived")
    listed = _lists(headers, ("to", "cc"))
    if isinstance(listed, Unrestorable):
        return listed
    to, cc, bcc = (_unique((*orig, *own), pseudo_recipient.key) for orig, own in listed)
    visible, blind = _told_apart(to, cc, bcc)
    if not visible and not blind:
        return Unrestorable(Reason.IME_NO_RECIPIENTS, "the X-SM-ORIG headers are empty")
    return Restored(_rebuild(headers, to, cc), visible, blind)


def restore_inner(headers: HeaderBlock, is_ime: Callable[[Address], bool], most: int) -> Restored | Unrestorable:
    """The recipients of a message from inside a container: To, Cc, Bcc and the ORIG headers together.

    The result has no ORIG header and no Bcc; To and Cc keep their bytes unless ORIG headers add to them. is_ime: an
    address of internal mail encryption, which as a recipient would wrap containers in containers. most: how many
    recipients a container may have.
    """
    listed = _lists(headers, ("to", "cc", "bcc"), "the message inside: ")
    if isinstance(listed, Unrestorable):
        return listed
    to, cc, bcc = (_unique((*orig, *own)) for orig, own in listed)
    visible, blind = _told_apart(to, cc, bcc)
    ours = [address for address in (*visible, *blind) if is_ime(address)]
    if ours:
        alone = len(ours) == len(visible) + len(blind)
        detail = "the message inside is addressed to an IME address"
        return Unrestorable(Reason.IME_NESTED, detail, str(ours[0]), only_ime=alone)
    if not visible and not blind:
        return Unrestorable(Reason.IME_NO_RECIPIENTS, "the message inside the container names nobody")
    if len(visible) + len(blind) > most:
        return Unrestorable(Reason.IME_MALFORMED, f"the container has more than {most} recipients")
    if not any(orig for orig, _ in listed):
        return Restored(headers.without(ORIGINAL_HEADERS | BLIND_HEADERS), visible, blind)
    return Restored(_rebuild(headers, to, cc), visible, blind)


def wordless(error: UnreadableMail) -> str:
    """What is wrong with a decrypted message, in our words alone: replies and logs are in clear."""
    said = str(error)
    return "it holds an X.500 address, which only Exchange can deliver" if "X.500" in said else said


_List = tuple[tuple[Mailbox, ...], tuple[Mailbox, ...]]
"""Who stands in an ORIG header, and who in the field of that name itself."""


def _lists(headers: HeaderBlock, own: tuple[str, ...], where: str = "") -> tuple[_List, _List, _List] | Unrestorable:
    """To, Cc and Bcc; `own`: which of the fields themselves count beside the ORIG headers. where: for a message that
    was encrypted, the words that say so; then its own words are not repeated."""
    listed = sum(len(field.raw) for name in (*ORIGINAL_HEADERS, *own) for field in headers.all(name))
    if listed > _READ_BYTES:
        return Unrestorable(Reason.IME_MALFORMED, f"the lists of recipients are longer than {_READ_BYTES} bytes")
    found: list[_List] = []
    try:
        orig = {kind: _read_list(headers, f"x-sm-orig{kind}") for kind in ("to", "cc", "bcc")}
        plain = {kind: _plain_list(headers, kind) for kind in own}
    except UnreadableMail as error:
        return Unrestorable(Reason.IME_MALFORMED, f"{where}{wordless(error) if where else error}")
    for kind, items in orig.items():
        for item in items:
            if isinstance(item, Group):
                detail = f"X-SM-ORIG{kind.upper()} names a group"
                return Unrestorable(Reason.RECIPIENT_IS_GROUP, detail, "" if where else item.name)
        found.append((flatten(items), plain.get(kind, ())))
    to, cc, bcc = found
    return to, cc, bcc


def _told_apart(
    to: tuple[Mailbox, ...], cc: tuple[Mailbox, ...], bcc: tuple[Mailbox, ...]
) -> tuple[tuple[Address, ...], tuple[Address, ...]]:
    """Who is visible and who is blind; who is both is visible."""
    visible = _addresses((*to, *cc))
    seen = {address.key for address in visible}
    return visible, tuple(address for address in _addresses(bcc) if address.key not in seen)


def _plain_list(headers: HeaderBlock, name: str) -> tuple[Mailbox, ...]:
    """To, Cc or Bcc as mail programs write them; a named group counts with its members."""
    items = [item for field in headers.all(name) for item in parse_address_list(field.text)]
    return flatten(tuple(items))


def _rebuild(headers: HeaderBlock, to: tuple[Mailbox, ...], cc: tuple[Mailbox, ...]) -> HeaderBlock:
    cleaned = headers.without(ORIGINAL_HEADERS | BLIND_HEADERS)
    if to:
        cleaned = cleaned.replace("To", make_address_field("To", to))
    else:
        cleaned = cleaned.replace("To", make_field("To", "undisclosed-recipients:;"))
    if cc:
        return cleaned.replace("Cc", make_address_field("Cc", cc))
    return cleaned.without({"cc"})


def _read_list(headers: HeaderBlock, name: str) -> tuple[Mailbox | Group, ...]:
    items: list[Mailbox | Group] = []
    for field in headers.all(name):
        items.extend(_read_value(field.text, name))
    return tuple(items)


def _read_value(text: str, name: str) -> tuple[Mailbox | Group, ...]:
    """One ORIG header: read as it stands, else decoded; raises UnreadableMail when in doubt.

    Encoded words inside display names are ordinary (RFC 2047 section 5) and change no address. Anywhere
    else they are the mail server's encoding of the whole value, and are decoded before reading.
    """
    try:
        plain = parse_address_list(text, semicolons=True)
    except UnreadableMail as error:
        if "=?" not in text:
            raise UnreadableMail(f"{name.upper()}: {error}", error.evidence) from error
        if _GLUED_WORD.search(text):
            raise UnreadableMail(f"{name.upper()} can be read as two different lists of people") from error
    else:
        return _only_reading(plain, text, name)
    try:
        return parse_address_list(decode_words(text), semicolons=True)
    except UnreadableMail as error:
        raise UnreadableMail(f"{name.upper()}: {error}", error.evidence) from error


def _only_reading(plain: tuple[Mailbox | Group, ...], text: str, name: str) -> tuple[Mailbox | Group, ...]:
    """`plain`, unless the decoded text names other people: then the mail server may have encoded some of them."""
    if "=?" not in text:
        return plain
    try:
        decoded = parse_address_list(decode_words(text), semicolons=True)
    except UnreadableMail:
        return plain
    if {mailbox.address.key for mailbox in flatten(decoded)} != {mailbox.address.key for mailbox in flatten(plain)}:
        raise UnreadableMail(f"{name.upper()} can be read as two different lists of people")
    return plain


def _unique(mailboxes: tuple[Mailbox, ...], without: str = "") -> tuple[Mailbox, ...]:
    """Each once, in their order; the address with the key `without` not at all."""
    seen = {without}
    kept = []
    for mailbox in mailboxes:
        if mailbox.address.key not in seen:
            seen.add(mailbox.address.key)
            kept.append(mailbox)
    return tuple(kept)


def _addresses(mailboxes: tuple[Mailbox, ...]) -> tuple[Address, ...]:
    by_key = {mailbox.address.key: mailbox.address for mailbox in reversed(mailboxes)}
    ordered = dict.fromkeys(mailbox.address.key for mailbox in mailboxes)
    return tuple(by_key[key] for key in ordered)
