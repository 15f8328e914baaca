"""A mail as bytes: header fields that can be exchanged one by one, everything else untouched.

The add-in changes a handful of header fields (RFC 5322 section 2.2) of a mail that somebody wrote;
parsing and writing the whole mail anew would change bytes that are not ours.
"""

import email.utils
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

_ANY_NEWLINE = re.compile(rb"\r\n|\r|\n")
_END_OF_HEADER = b"\r\n\r\n"


class UnusableMailError(Exception):
    """A mail, or a value for one of its fields, cannot be used; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: `raw` is the whole of it with folding and final CRLF."""

    name: str
    """As written; empty for a line that is no field (kept, never interpreted)."""
    raw: bytes

    @property
    def value(self) -> str:
        """The unfolded text after the colon (RFC 5322 section 2.2.3); bytes that are no UTF-8 survive."""
        text = self.raw[self.raw.find(b":") + 1 :].replace(b"\r\n", b"")
        return text.decode("utf-8", "surrogateescape").strip()


def make_field(name: str, value: str) -> Field:
    """A field of at most 998 bytes per line, folded after commas; refuses control characters (`UnusableMailError`)."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise UnusableMailError(f"The value of {name} holds a control character.")
    lines = [f"{name}:"]
    for piece in re.findall(r"[^,]+,?|,", value.strip()):
        fresh = lines[-1] == f"{name}:"
        if not fresh and len(lines[-1]) + len(piece) > 76 and piece.strip():
            lines.append(f" {piece.strip()}")
        else:
            lines[-1] += f" {piece.strip()}" if fresh else piece
    raw = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"
    return Field(name, raw)


@dataclass(frozen=True, slots=True)
class RawMail:
    """Header fields in their order, and the body bytes after the empty line."""

    fields: tuple[Field, ...]
    body: bytes

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name; case does not count (RFC 5322 section 1.2.2)."""
        return tuple(field for field in self.fields if field.name.lower() == name.lower())

    def value(self, name: str) -> str:
        """The unfolded text of the first field of that name; empty when there is none."""
        found = self.all(name)
        return found[0].value if found else ""

    def without(self, *names: str) -> "RawMail":
        """The mail without the fields of these names."""
        gone = {name.lower() for name in names}
        return replace(self, fields=tuple(field for field in self.fields if field.name.lower() not in gone))

    def put(self, new: Field) -> "RawMail":
        """The mail with this field in place of the first of its name, or at the end; further ones go."""
        key = new.name.lower()
        fields: list[Field] = []
        placed = False
        for field in self.fields:
            if field.name.lower() != key:
                fields.append(field)
            elif not placed:
                fields.append(new)
                placed = True
        if not placed:
            fields.append(new)
        return replace(self, fields=tuple(fields))

    def add(self, *new: Field) -> "RawMail":
        """The mail with these fields after the others."""
        return replace(self, fields=(*self.fields, *new))

    def to_bytes(self) -> bytes:
        """The whole mail: header, empty line, body."""
        return b"".join(field.raw for field in self.fields) + b"\r\n" + self.body


def mailboxes_in(fields: Iterable[Field]) -> list[tuple[str, str]]:
    """Name and address of everybody in these fields (RFC 5322 section 3.4).

    Raises `UnusableMailError` for comments in comments, so many that Python's reader gives up: no program writes them.
    """
    try:
        return email.utils.getaddresses([field.value for field in fields])
    except RecursionError as error:
        raise UnusableMailError("The mail names its people in a way that cannot be read.") from error


def canonical_newlines(data: bytes) -> bytes:
    """Every line end as CRLF, as SMTP and IMAP want it (RFC 5321 section 2.3.8); files often hold LF."""
    if data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r"):
        return data
    return _ANY_NEWLINE.sub(b"\r\n", data)


def parse(data: bytes) -> RawMail:
    """Split a mail with CRLF line ends into fields and body without changing a byte."""
    if data.startswith(b"\r\n"):
        return RawMail((), data[2:])
    end = data.find(_END_OF_HEADER)
    if end < 0:
        header, body = data if data.endswith(b"\r\n") or not data else data + b"\r\n", b""
    else:
        header, body = data[: end + 2], data[end + 4 :]
    return RawMail(tuple(_fields(header.splitlines(keepends=True))), body)


def _fields(lines: Iterable[bytes]) -> Iterable[Field]:
    name, raw = "", b""
    for line in lines:
        if line[:1] in (b" ", b"\t") and raw:
            raw += line
            continue
        if raw:
            yield Field(name, raw)
        before, colon, _ = line.partition(b":")
        name = before.decode("ascii", "replace").rstrip() if colon else ""
        raw = line
    if raw:
        yield Field(name, raw)
