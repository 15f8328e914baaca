"""The header block as ordered raw fields: read without changing a byte, edited field by field.

Signatures (DKIM, S/MIME) cover the bytes as they stood, so a field keeps its raw form and is never
written anew; an edit drops, replaces or adds whole fields (RFC 5322 sections 2.2 and 3.6).
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.address import Mailbox
from ime_gateway.mail.encoded_words import decode_words, encode_words

MAX_BLOCK_BYTES = 1 << 20
"""A header block larger than this is refused; mail of people stays under 100 KiB."""
MAX_FIELDS = 10_000
"""Fields in one header block; beyond it the block is an attack."""

_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*(?:\n|\Z))*|[^\n]+\Z")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*(?:\r\n[ \t]+)*:")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LINE = 78
_LINE_LIMIT = 998


class Field(NamedTuple):
    """One header field; a named tuple because every message makes twenty of them."""

    name: str
    """As written, without blanks before the colon; empty for a line that is no field at all."""
    raw: bytes
    """The whole field with its folding and its final CRLF."""

    @property
    def key(self) -> str:
        """The name as it is compared (RFC 5322 section 1.2.2: without regard to case)."""
        return self.name.lower()

    @property
    def value(self) -> bytes:
        """The body of the field, unfolded (RFC 5322 section 2.2.3) and stripped of outer blanks."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t\r\n")

    @property
    def text(self) -> str:
        """The value as text: UTF-8 (RFC 6532), or Latin-1 where it is not."""
        value = self.value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")


class HeaderBlock:
    """The fields of one header in their order, duplicates included; never changed in place."""

    __slots__ = ("_index", "fields")

    fields: tuple[Field, ...]
    _index: dict[str, list[Field]] | None

    def __init__(self, fields: Iterable[Field] = ()) -> None:
        self.fields = tuple(fields)
        self._index = None

    def __eq__(self, other: object) -> bool:
        """Two blocks are equal when their bytes are."""
        return isinstance(other, HeaderBlock) and self.fields == other.fields

    def __hash__(self) -> int:
        """Equal blocks have equal hashes."""
        return hash(self.fields)

    def __repr__(self) -> str:
        """The names only: values do not belong in logs."""
        return f"HeaderBlock({[field.name for field in self.fields]})"

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, in order; names are compared without regard to case."""
        if self._index is None:
            index: dict[str, list[Field]] = {}
            for field in self.fields:
                index.setdefault(field.name.lower(), []).append(field)
            self._index = index
        return tuple(self._index.get(name.lower(), ()))

    def first(self, name: str) -> Field | None:
        """The first field of that name, or None."""
        found = self.all(name)
        return found[0] if found else None

    def without(self, names: Collection[str], prefixes: tuple[str, ...] = ()) -> "HeaderBlock":
        """The block without fields of these names or name prefixes (both in lower case).

        Returns the block itself when nothing is removed.
        """
        kept = tuple(f for f in self.fields if not ((key := f.name.lower()) in names or key.startswith(prefixes)))
        return self if len(kept) == len(self.fields) else HeaderBlock(kept)

    def prepend(self, *fields: Field) -> "HeaderBlock":
        """The block with fields put before all others, as trace fields must be (RFC 5321 section 4.4)."""
        return HeaderBlock((*fields, *self.fields))

    def append(self, *fields: Field) -> "HeaderBlock":
        """The block with fields put after all others."""
        before = self.fields
        if fields and before and not before[-1].raw.endswith(b"\n"):  # mail that ended inside its header
            before = (*before[:-1], Field(before[-1].name, before[-1].raw + b"\r\n"))
        return HeaderBlock((*before, *fields))

    def replace(self, name: str, field: Field) -> "HeaderBlock":
        """The block with `field` in the place of the first one of that name, the others dropped.

        Appended when there is none.
        """
        key = name.lower()
        kept: list[Field] = []
        placed = False
        for old in self.fields:
            if old.name.lower() != key:
                kept.append(old)
            elif not placed:
                kept.append(field)
                placed = True
        return HeaderBlock(kept) if placed else self.append(field)

    def to_bytes(self) -> bytes:
        """The raw bytes of all fields, without the empty line that ends a header."""
        return b"".join([field.raw for field in self.fields])


def parse_fields(block: bytes) -> HeaderBlock:
    """Cut a header block (without the empty line) into fields; the joined raw fields are the block.

    Raises UnreadableMail beyond `MAX_BLOCK_BYTES` or `MAX_FIELDS`.
    """
    if len(block) > MAX_BLOCK_BYTES:
        raise UnreadableMail(f"the header is larger than {MAX_BLOCK_BYTES} bytes")
    raws = _FIELD.findall(block)
    if len(raws) > MAX_FIELDS:
        raise UnreadableMail(f"the header has more than {MAX_FIELDS} fields")
    match = _NAME.match
    return HeaderBlock([Field(found[1].decode("ascii") if (found := match(raw)) else "", raw) for raw in raws])


def make_field(name: str, text: str) -> Field:
    """Write a field from plain text: folded at 78 columns, never beyond 998; RFC 2047 beyond ASCII.

    Raises ValueError for CR, LF, NUL and other control characters, so that no value can become
    two fields.
    """
    _check(name, text)
    text = text.strip()
    plain = (
        text.isascii() and "=?" not in text and len(max(text.split(" "), default="", key=len)) < _LINE_LIMIT - len(name)
    )
    if plain:
        return _folded(name, re.findall(r" *[^ ]+", text))
    return _folded(
        name, [" " * (place > 0) + word for place, word in enumerate(encode_words(text, _LINE - len(name) - 2))]
    )


def make_address_field(name: str, mailboxes: Sequence[Mailbox]) -> Field:
    """Write an address field (RFC 5322 section 3.6.3) with one comma-separated list.

    Display names are quoted or encoded as they need it. Raises ValueError for control characters
    or an empty list.
    """
    if not mailboxes:
        raise ValueError(f"{name} needs at least one address")
    pieces: list[str] = []
    for place, mailbox in enumerate(mailboxes):
        _check(name, mailbox.display_name)
        words = _mailbox_words(mailbox)
        if place:
            pieces[-1] += ","
            words[0] = " " + words[0]
        pieces += words
    return _folded(name, pieces)


def _mailbox_words(mailbox: Mailbox) -> list[str]:
    """One mailbox as pieces between which a line may be folded."""
    display, address = mailbox.display_name.strip(), str(mailbox.address)
    if not display:
        return [address]
    if not display.isascii() or "=?" in display or len(display) > _LINE - 8:
        words = list(encode_words(display, _LINE - 16))
        return [words[0], *(f" {word}" for word in words[1:]), f" <{address}>"]
    if not _ATOMS.fullmatch(display):
        escaped = display.replace("\\", "\\\\").replace('"', '\\"')
        display = f'"{escaped}"'
    return [display, f" <{address}>"]


def _folded(name: str, pieces: Sequence[str]) -> Field:
    """Join pieces (each with its leading blanks) into a field, breaking lines before a piece."""
    lines: list[str] = []
    line = f"{name}:"
    first = True
    for piece in pieces:
        spaced = f" {piece}" if first else piece
        if not first and len(line) + len(spaced.encode("utf-8")) > _LINE:
            lines.append(line)
            line = spaced
        else:
            line += spaced
        first = False
    lines.append(line)
    return Field(name, ("\r\n".join(lines) + "\r\n").encode("utf-8"))


def _check(name: str, text: str) -> None:
    if not re.fullmatch(r"[!-9;-~]+", name):
        raise ValueError("not the name of a header field")
    if _FORBIDDEN.search(text):
        raise ValueError(f"{name} would hold control characters")


__all__ = [
    "MAX_BLOCK_BYTES",
    "MAX_FIELDS",
    "Field",
    "HeaderBlock",
    "decode_words",
    "make_address_field",
    "make_field",
    "parse_fields",
]


def without_controls(text: str) -> str:
    """Text that `make_field` takes: control characters, which no header may hold, become blanks (RFC 5322, 2.2)."""
    return "".join(" " if ord(character) < 32 or 127 <= ord(character) < 160 else character for character in text)
