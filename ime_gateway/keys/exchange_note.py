"""What gateways tell each other by mail: the next certificate of a domain, a self-test, and its answer.

A small JSON object in a mail that is signed as a whole, beside text for people and the certificates themselves
(RFC 8551 section 3.8). The signature says who speaks; nothing in here is believed without it. Unknown members are
passed over, so that later versions can say more.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.settings.site import domain_name

VERSION: Final = 1
MOST_BYTES: Final = 16_384
_THUMBPRINT = re.compile(r"sha256:[0-9a-f]{64}")
_TOKEN = re.compile(r"imegw-[0-9a-z]{32}")
_LONGEST_TEXT = 500


@dataclass(frozen=True, slots=True)
class Announcement:
    """A domain names the certificate that comes after its current one."""

    domain: str
    """Whose it is."""
    current: str
    """Thumbprint of the certificate in use."""
    following: str
    """Thumbprint of the next one, which opens already."""
    at: float
    """Seconds since 1970 UTC, as all times here."""


@dataclass(frozen=True, slots=True)
class SelfTestRequest:
    """A domain asks its partner to prove that it can read this mail, check its signature, and answer."""

    domain: str
    """Who asks."""
    partner: str
    """Who is asked."""
    token: str
    at: float


@dataclass(frozen=True, slots=True)
class SelfTestAnswer:
    """What became of a request on the other side."""

    domain: str
    """Who answers."""
    partner: str
    """Who asked."""
    token: str
    at: float
    opened_with: str
    """Thumbprint of the certificate whose key opened the request; empty: it came in clear."""
    cipher: str
    signed_by: str
    """Thumbprint of the certificate that signed the request."""
    trusted: bool
    """It is one that the partner trusts for this domain."""
    detail: str
    """The partner's verdict on it, one line."""


ExchangeNote = Announcement | SelfTestRequest | SelfTestAnswer


def encode_note(note: ExchangeNote) -> bytes:
    """The JSON object in ASCII."""
    match note:
        case Announcement():
            said: dict[str, object] = {"kind": "announcement", "current": note.current, "following": note.following}
        case SelfTestRequest():
            said = {"kind": "test-request", "partner": note.partner, "token": note.token}
        case SelfTestAnswer():
            said = {
                "kind": "test-answer",
                "partner": note.partner,
                "token": note.token,
                "opened_with": note.opened_with,
                "cipher": note.cipher,
                "signed_by": note.signed_by,
                "trusted": note.trusted,
                "detail": _clean(note.detail),
            }
    said = {"imegw": VERSION, "domain": note.domain, "at": note.at} | said
    return json.dumps(said, indent=2, ensure_ascii=True).encode("ascii")


def decode_note(data: bytes) -> ExchangeNote:
    """The note in somebody's JSON. Raises UnreadableMail for everything that is none, or of a later version."""
    if len(data) > MOST_BYTES:
        raise UnreadableMail("the machine-readable part is too large")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableMail("the machine-readable part is no JSON", type(error).__name__) from None
    if not isinstance(said, dict) or said.get("imegw") != VERSION:
        raise UnreadableMail("the machine-readable part is of another version")
    match said.get("kind"):
        case "announcement":
            pair = _matched(said, "current", _THUMBPRINT), _matched(said, "following", _THUMBPRINT)
            return Announcement(_domain(said, "domain"), *pair, _moment(said))
        case "test-request":
            names = _domain(said, "domain"), _domain(said, "partner")
            return SelfTestRequest(*names, _matched(said, "token", _TOKEN), _moment(said))
        case "test-answer":
            return _answer(said)
        case _:
            raise UnreadableMail("the machine-readable part is of an unknown kind")


def _answer(said: Mapping[str, object]) -> SelfTestAnswer:
    trusted = said.get("trusted")
    if not isinstance(trusted, bool):
        raise UnreadableMail("trusted is missing in the machine-readable part")
    return SelfTestAnswer(
        domain=_domain(said, "domain"),
        partner=_domain(said, "partner"),
        token=_matched(said, "token", _TOKEN),
        at=_moment(said),
        opened_with=_matched(said, "opened_with", _THUMBPRINT) if said.get("opened_with") else "",
        cipher=_text(said, "cipher"),
        signed_by=_matched(said, "signed_by", _THUMBPRINT),
        trusted=trusted,
        detail=_text(said, "detail"),
    )


def _text(said: Mapping[str, object], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str):
        raise UnreadableMail(f"{name} is no text in the machine-readable part")
    return _clean(value)


def _matched(said: Mapping[str, object], name: str, form: re.Pattern[str]) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise UnreadableMail(f"{name} is missing or wrong in the machine-readable part")
    return value


def _domain(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or len(value) > 255:
        raise UnreadableMail(f"{name} is missing or wrong in the machine-readable part")
    try:
        return domain_name(value)
    except ValueError:
        raise UnreadableMail(f"{name} is no domain in the machine-readable part") from None


def _moment(said: Mapping[str, object]) -> float:
    value = said.get("at")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise UnreadableMail("the time is missing or wrong in the machine-readable part")
    return float(value)


def _clean(text: str) -> str:
    """One printable line of somebody else's words."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST_TEXT]
