"""Reads the arguments of EHLO, MAIL, RCPT and BDAT; what is not plainly right is refused with the reply to give.

Pure syntax: no state, no permission. Rules: RFC 5321 section 4.1.2, SIZE RFC 1870, BODY RFC 6152, DSN RFC 3461
section 4, SMTPUTF8 RFC 6531, BDAT RFC 3030 section 2.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from ime_gateway.base.errors import GatewayError, UnreadableMail
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.smtp import replies

# A path may hold ">" and blanks inside quoted strings; both alternatives begin with different letters, so the
# expression needs time linear in the text.
_PATH = re.compile(r'<((?:[^<>"\\\s]|"(?:[^"\\]|\\.)*")*)>(?: +(.*))?')
_SOURCE_ROUTE = re.compile(r"@[^:@\"]+(?:,@[^:@\"]+)*:")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_DIGITS = re.compile(r"[0-9]{1,20}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_CHUNK = re.compile(r"([0-9]{1,20})( +LAST)?", re.IGNORECASE)
_MAX_ENVID = 100
_MAX_ORCPT = 500
_NOTIFY_WORDS = frozenset({"SUCCESS", "FAILURE", "DELAY"})


class CommandError(GatewayError):
    """A command that cannot be run; carries the reply that says why."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply.decode("ascii").rstrip())
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailCommand:
    """`MAIL FROM:<...>` with its parameters."""

    sender: Address | None
    """None for `<>`."""
    size: int = 0
    """Declared bytes (RFC 1870 section 3); 0: not declared."""
    body: Literal["", "7BIT", "8BITMIME"] = ""
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""
    smtputf8: bool = False


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """`RCPT TO:<...>` with its parameters."""

    recipient: Address
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class ChunkCommand:
    """`BDAT size [LAST]`."""

    size: int
    last: bool


def parse_hello(argument: str) -> str:
    """The name in EHLO or HELO: a domain or an address literal; checked for shape only (RFC 5321 section 4.1.4)."""
    name = argument.strip(" ")
    if not name or len(name) > 255 or " " in name:
        raise CommandError(replies.bad_argument("the command needs your host name, for example EHLO mail.example"))
    return name


def parse_mail(argument: str) -> MailCommand:
    """The argument of MAIL. Raises CommandError."""
    path, given = _path_and_parameters(argument, "FROM:", {"SIZE", "BODY", "RET", "ENVID", "SMTPUTF8"})
    if path is None:
        raise CommandError(replies.bad_sender("the syntax is MAIL FROM:<address>"))
    smtputf8 = _flag(given, "SMTPUTF8")
    return MailCommand(
        sender=_sender(path, smtputf8=smtputf8),
        size=_size(given),
        body=_body(given),
        ret=_ret(given),
        envid=_envid(given),
        smtputf8=smtputf8,
    )


def parse_rcpt(argument: str, hostname: str, *, smtputf8: bool) -> RcptCommand:
    """The argument of RCPT; `hostname` completes `<postmaster>` (RFC 5321 section 4.1.1.3). Raises CommandError."""
    path, given = _path_and_parameters(argument, "TO:", {"NOTIFY", "ORCPT"})
    if not path:
        raise CommandError(replies.bad_recipient("the syntax is RCPT TO:<address>"))
    if path.lower() == "postmaster":
        path = f"{path}@{hostname}"
    try:
        recipient = parse_path(path)
    except UnreadableMail as error:
        raise CommandError(replies.bad_recipient(str(error))) from error
    if recipient.smtputf8 and not smtputf8:
        raise CommandError(replies.NEEDS_SMTPUTF8)
    return RcptCommand(recipient, _notify(given), _orcpt(given, smtputf8=smtputf8))


def parse_chunk(argument: str) -> ChunkCommand:
    """The argument of BDAT. Raises CommandError."""
    match = _CHUNK.fullmatch(argument)
    if not match:
        raise CommandError(replies.bad_argument("the syntax is BDAT size [LAST]"))
    return ChunkCommand(int(match[1]), bool(match[2]))


def _path_and_parameters(argument: str, word: str, known: Collection[str]) -> tuple[str | None, dict[str, str | None]]:
    """Path without its angle brackets and source route (None: no path) and the ESMTP parameters."""
    if argument[: len(word)].upper() != word:
        return None, {}
    # A blank after the colon is wrong (RFC 5321 section 3.3) but frequent, and it can mean nothing else.
    match = _PATH.fullmatch(argument[len(word) :].strip(" "))
    if not match:
        return None, {}
    path = match[1]
    if path.startswith("@"):
        # Source routes must be understood and should be ignored (RFC 5321 section 4.1.1.3, appendix C).
        route = _SOURCE_ROUTE.match(path)
        path = path[route.end() :] if route else path
    return path, _parameters(match[2], known) if match[2] else {}


def _parameters(text: str, known: Collection[str]) -> dict[str, str | None]:
    given: dict[str, str | None] = {}
    for word in text.split(" "):
        if not word:
            continue
        match = _PARAMETER.fullmatch(word)
        if not match:
            raise CommandError(replies.bad_argument("a parameter is malformed"))
        keyword = match[1].upper()
        if keyword not in known:
            raise CommandError(replies.unknown_parameter(keyword))
        if keyword in given:
            raise CommandError(replies.bad_argument(f"{keyword} is given twice"))
        given[keyword] = match[2]
    return given


def _sender(path: str, *, smtputf8: bool) -> Address | None:
    if not path:
        return None
    try:
        sender = parse_path(path)
    except UnreadableMail as error:
        raise CommandError(replies.bad_sender(str(error))) from error
    if sender.smtputf8 and not smtputf8:
        raise CommandError(replies.NEEDS_SMTPUTF8)
    return sender


def _flag(given: dict[str, str | None], keyword: str) -> bool:
    if given.get(keyword) is not None:
        raise CommandError(replies.bad_argument(f"{keyword} takes no value"))
    return keyword in given


def _size(given: dict[str, str | None]) -> int:
    if "SIZE" not in given:
        return 0
    value = given["SIZE"] or ""
    if not _DIGITS.fullmatch(value):
        raise CommandError(replies.bad_argument("SIZE is not a number"))
    return int(value)


def _body(given: dict[str, str | None]) -> Literal["", "7BIT", "8BITMIME"]:
    match (given["BODY"] or "?").upper() if "BODY" in given else "":
        case "" | "7BIT" | "8BITMIME" as body:
            return body
        case _:
            raise CommandError(replies.bad_argument("BODY is 7BIT or 8BITMIME"))


def _ret(given: dict[str, str | None]) -> Literal["", "FULL", "HDRS"]:
    match (given["RET"] or "?").upper() if "RET" in given else "":
        case "" | "FULL" | "HDRS" as ret:
            return ret
        case _:
            raise CommandError(replies.bad_argument("RET is FULL or HDRS"))


def _notify(given: dict[str, str | None]) -> str:
    """NEVER alone, or each of SUCCESS, FAILURE, DELAY at most once (RFC 3461 section 4.1)."""
    if "NOTIFY" not in given:
        return ""
    value = (given["NOTIFY"] or "").upper()
    words = value.split(",")
    if value != "NEVER" and (len(set(words)) != len(words) or not _NOTIFY_WORDS.issuperset(words)):
        raise CommandError(replies.bad_argument("NOTIFY is NEVER, or a list of SUCCESS, FAILURE, DELAY"))
    return value


def _envid(given: dict[str, str | None]) -> str:
    if "ENVID" not in given:
        return ""
    value = given["ENVID"] or ""
    if len(value) > _MAX_ENVID or not _printable_xtext(value):
        raise CommandError(replies.bad_argument("ENVID is not xtext of at most 100 characters"))
    return value


def _orcpt(given: dict[str, str | None], *, smtputf8: bool) -> str:
    """`type;xtext` (RFC 3461 section 4.2), or UTF-8 behind `utf-8;` when SMTPUTF8 was given (RFC 6533 section 3)."""
    if "ORCPT" not in given:
        return ""
    value = given["ORCPT"] or ""
    kind, semicolon, address = value.partition(";")
    written_out = smtputf8 and kind.lower() == "utf-8" and not address.isascii() and address.isprintable()
    good = _printable_xtext(address) or written_out
    if not semicolon or len(value) > _MAX_ORCPT or not _ADDRESS_TYPE.fullmatch(kind) or not good:
        raise CommandError(replies.bad_argument("ORCPT is not type;xtext of at most 500 characters"))
    return value


def _printable_xtext(value: str) -> bool:
    """Well-formed xtext (RFC 3461 section 4) that decodes to printable ASCII: no CR or LF is smuggled in as `+0D`."""
    return bool(_XTEXT.fullmatch(value)) and all(0x20 <= int(octet, 16) <= 0x7E for octet in _HEXCHAR.findall(value))
