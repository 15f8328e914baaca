"""The header of a mail that the gateway has opened: the envelope's fields, around the content that came out of it.

What stands inside an encryption was written by whoever wrote the mail, so none of its fields may take the place of one
that mail servers have looked at (CVE-2026-27443 class). Only what describes the content moves out (RFC 8551 section
3.1), and of protected header fields (RFC 9788 section 4) those that say something to the reader and steer nobody.
"""

from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import flatten, parse_address_list
from ime_gateway.mail.header_protection import ProtectedHeaders, without_protection
from ime_gateway.mail.headers import Field, HeaderBlock, decode_words, make_address_field, make_field, without_controls
from ime_gateway.mail.secure_parts import split_for_encryption

_WORDS: Final = ("subject", "keywords", "comments")
"""Free text: hidden outside, shown inside."""
_THREADING: Final = ("in-reply-to", "references")
_PEOPLE: Final = ("from", "sender", "reply-to", "to", "cc")
_LONGEST = 65_536


def opened_headers(outer: HeaderBlock, content: HeaderBlock, protected: ProtectedHeaders | None) -> HeaderBlock:
    """The header under which the entity with header `content` goes on.

    outer: of the mail as it came. protected: what the innermost entity carries, None for nothing; only fields of a kind
    made for encryption are restored: words, names of the very people who stand outside, and what threads the mail when
    nothing of it stands outside.
    """
    kept, _ = split_for_encryption(outer)
    _, described = split_for_encryption(without_protection(content))
    block = kept if protected is None or protected.kind == "clear" else _restored(kept, protected.fields)
    return block.append(Field("MIME-Version", b"MIME-Version: 1.0\r\n"), *map(_ended, described.fields))


def _restored(outer: HeaderBlock, inside: HeaderBlock) -> HeaderBlock:
    block = outer
    for name in _WORDS:
        found = inside.first(name)
        if found is not None and len(found.raw) <= _LONGEST:
            block = block.replace(name, make_field(found.name, without_controls(decode_words(found.text))))
    for name in _THREADING:
        found = inside.first(name)
        if found is not None and block.first(name) is None and len(found.raw) <= _LONGEST:
            block = block.append(make_field(found.name, without_controls(" ".join(found.text.split()))))
    for name in _PEOPLE:
        new = _named(block, inside, name)
        block = block if new is None else block.replace(name, new)
    return block


def _named(outer: HeaderBlock, inside: HeaderBlock, name: str) -> Field | None:
    """The people of a field with the names that they have inside, when both fields name the same addresses in the
    same order; None when not, or when nothing is gained."""
    here, there = outer.all(name), inside.all(name)
    if len(here) != 1 or len(there) != 1 or max(len(here[0].raw), len(there[0].raw)) > _LONGEST:
        return None
    try:
        shown = flatten(parse_address_list(here[0].text))
        meant = flatten(parse_address_list(there[0].text))
    except UnreadableMail:
        return None
    if [one.address.key for one in shown] != [one.address.key for one in meant] or not meant:
        return None
    if any(one.display_name for one in shown):
        return None  # what mail servers and readers have seen outside stays
    if not any(one.display_name for one in meant):
        return None
    try:
        return make_address_field(here[0].name, meant)
    except ValueError:
        return None


def _ended(last: Field) -> Field:
    """A field with its line end; the last of an entity that ended in its header may lack it."""
    return last if last.raw.endswith(b"\n") else Field(last.name, last.raw + b"\r\n")
