"""Content-Type and its parameters (RFC 2045 section 5.1, RFC 2231), read so that nothing hides.

Readers disagree on broken fields, and a part that we take for text while another program opens it
as a message would carry forged headers past us; so contradictions are refused, and so are fields of a
size that only serves to keep us busy.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.headers import HeaderBlock

_TYPE = re.compile(r'\s*([^\s/;"=]+)\s*/\s*([^\s;"]+)')
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?>[^"\\]+|\\.)*+)"|([^;]*))', re.DOTALL)
_QUOTED_OR_COMMENT = re.compile(r'"(?>[^"\\]+|\\.)*+("|\\?\Z)|\((?>[^()\\]+|\\.)*+(\)|\\?\Z)', re.DOTALL)
_COMMENT = re.compile(r"\((?>[^()\\]+|\\.)*+(\)|\\?\Z)", re.DOTALL)
"""What is never closed is taken to the end of the field too, else each of its escapes would be tried as a beginning."""
_SECTION = re.compile(r"(.+?)\*(?:(\d{1,4})\*?)?")
MAX_PARAMETERS = 200
"""Parameters in one field, sections of RFC 2231 counted one by one; honest fields have under twenty."""
MAX_VALUE_BYTES = 65_536
"""Length of one field that is read for parameters."""
PARAMETER_FIELDS = ("content-type", "content-disposition")
"""The fields that are read for parameters."""
OPAQUE = "application/octet-stream"
"""The type of a part whose own type cannot be read (RFC 2045 section 5.2 leaves it open)."""


@dataclass(frozen=True, slots=True)
class ContentType:
    """What one Content-Type field says."""

    media_type: str
    """`type/subtype` in lower case; `application/octet-stream` when the field cannot be read."""
    parameters: Mapping[str, str]
    """By lower-case name; RFC 2231 forms put together and decoded."""
    conflicting: frozenset[str] = frozenset()
    """Parameters that stand there twice with different values."""


def content_type_of(headers: HeaderBlock, default: str = "text/plain") -> ContentType:
    """The type of the entity with these headers; `default` when no field says it.

    Of several fields, one that makes it a multipart or a message wins, because some reader takes
    it; raises UnreadableMail when two of those differ, the boundary is given twice, or a field is beyond
    the limits.
    """
    fields = headers.all("content-type")
    if not fields:
        return ContentType(default, {})
    types = [parse_content_type(field.value.decode("latin-1")) for field in fields]
    structured = [t for t in types if t.media_type.startswith(("multipart/", "message/"))]
    for one in structured:
        if one != structured[0]:
            raise UnreadableMail("a part has two Content-Type fields that contradict each other")
        if "boundary" in one.conflicting:
            raise UnreadableMail("a multipart has two boundaries")
    return (structured or types)[0]


def parse_content_type(value: str) -> ContentType:
    """Read the unfolded value of a Content-Type or Content-Disposition-like field.

    Raises UnreadableMail beyond `MAX_VALUE_BYTES` or `MAX_PARAMETERS`, for nothing else.
    """
    _check_length(value)
    if "(" in value:
        value = _QUOTED_OR_COMMENT.sub(_without_comment, value)
    match = _TYPE.match(value)
    media_type = f"{match[1]}/{match[2]}".lower() if match else OPAQUE
    if ";" not in value:
        return ContentType(media_type, {})
    parameters, conflicting = parse_parameters(value)
    return ContentType(media_type, parameters, conflicting)


def with_parameter(raw: bytes, parameter: bytes) -> bytes:
    """A raw Content-Type field with one more parameter (`name="value"`), on a line of its own."""
    return raw.rstrip(b" \t\r\n;") + b";\r\n " + parameter + b"\r\n"


def parse_parameters(value: str) -> tuple[dict[str, str], frozenset[str]]:
    """The `;name=value` pairs of a field, and the names that occur with different values.

    Raises UnreadableMail beyond `MAX_VALUE_BYTES` or `MAX_PARAMETERS`: reading a part of them would hide the rest.
    """
    _check_length(value)
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, str]] = {}
    conflicting: set[str] = set()
    for count, match in enumerate(_PARAMETER.finditer(value), 1):
        if count > MAX_PARAMETERS:
            raise UnreadableMail(f"a field of a part has more than {MAX_PARAMETERS} parameters")
        name = match[1].lower()
        text = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3].strip(' \t\r\n"')
        if section := _SECTION.fullmatch(name):
            if name.endswith("*"):  # RFC 2231 section 4: charset'language'percent-encoded
                text = unquote(text.rpartition("'")[2] if text.count("'") >= 2 else text, "latin-1")
            pieces = sections.setdefault(section[1], {})
            if pieces.setdefault(int(section[2] or 0), text) != text:
                conflicting.add(section[1])
        elif plain.setdefault(name, text) != text:
            conflicting.add(name)
    for name, pieces in sections.items():
        joined = "".join(pieces[number] for number in sorted(pieces))
        if plain.get(name, joined) != joined:
            conflicting.add(name)
        plain[name] = joined
    return plain, frozenset(conflicting)


def file_names(headers: HeaderBlock) -> list[str]:
    """Every file name that a reader might show for the part (RFC 2183 section 2.3 and the older name=).

    Raises UnreadableMail when a field is beyond the limits: its name might be the one that matters.
    """
    names: list[str] = []
    for field_name, parameter in zip(PARAMETER_FIELDS, ("name", "filename"), strict=True):
        for field in headers.all(field_name):
            name = parse_parameters(field.value.decode("latin-1"))[0].get(parameter)
            if name is not None:
                names.append(name.strip())
    return names


def _without_comment(found: re.Match[str]) -> str:
    """A quoted string stays, a comment becomes a blank; what is never closed is neither."""
    if found[2] is not None:
        return " " if found[2] == ")" else found[0]
    return found[0] if found[1] == '"' else _COMMENT.sub(lambda m: " " if m[1] == ")" else m[0], found[0])


def _check_length(value: str) -> None:
    if len(value) > MAX_VALUE_BYTES:
        raise UnreadableMail(f"a field of a part is longer than {MAX_VALUE_BYTES} bytes")
