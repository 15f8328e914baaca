"""What a server can do, as its EHLO reply says (RFC 5321 section 4.1.1.1)."""

from dataclasses import dataclass

from ime_gateway.smtp.outbound.reply_parser import Reply


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions that concern us; nothing at all after HELO."""

    starttls: bool = False
    pipelining: bool = False
    eight_bit_mime: bool = False
    smtputf8: bool = False
    dsn: bool = False
    chunking: bool = False
    size: bool = False
    """SIZE= may be given (RFC 1870)."""
    size_limit: int | None = None
    """Bytes; None when none was announced (0 means the same, RFC 1870 section 4)."""


def parse_capabilities(reply: Reply) -> Capabilities:
    """Read the lines after the first; keywords count in any case, unknown ones are left alone."""
    keywords: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, argument = line.decode("ascii", "replace").strip().partition(" ")
        keywords.setdefault(keyword.upper(), argument.strip())
    limit = keywords.get("SIZE", "")
    return Capabilities(
        starttls="STARTTLS" in keywords,
        pipelining="PIPELINING" in keywords,
        eight_bit_mime="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        dsn="DSN" in keywords,
        chunking="CHUNKING" in keywords,
        size="SIZE" in keywords,
        size_limit=_limit(limit),
    )


def _limit(argument: str) -> int | None:
    # RFC 1870 section 4: at most 20 digits; anything else is no announcement.
    if not (argument.isascii() and argument.isdigit()) or len(argument) > 20:
        return None
    return int(argument) or None
