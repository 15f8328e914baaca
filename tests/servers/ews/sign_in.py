"""Who is at the door: Basic, bearer tokens, and an NTLM handshake that ends in a refusal (MS-NTHT, RFC 6750)."""

import base64
import binascii
import secrets
import struct
import threading
import time
from dataclasses import dataclass

from tests.servers.ews.quirks import Quirks


@dataclass(frozen=True)
class Denied:
    """Not let in; the header fields of the 401."""

    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Token:
    """A bearer token: of a user, or (`user` empty) of a program that speaks for anybody."""

    text: str
    user: str
    ends: float
    """By `time.monotonic()`."""


class SignIn:
    """Knows passwords and tokens."""

    def __init__(self, quirks: Quirks) -> None:
        self.passwords: dict[str, str] = {}
        self.client_secrets: dict[str, str] = {}
        """Programs (client id -> secret) that may ask for a token of their own."""
        self._quirks = quirks
        self._tokens: dict[str, Token] = {}
        self._lock = threading.Lock()

    def issue(self, user: str, seconds: float = 3600.0) -> Token:
        """A token that ends after so many seconds."""
        token = Token(secrets.token_urlsafe(48), user.lower(), time.monotonic() + seconds)
        with self._lock:
            self._tokens[token.text] = token
        return token

    def expire_tokens(self) -> None:
        """Every token given so far has ended."""
        with self._lock:
            self._tokens.clear()

    def check(self, authorization: str) -> str | Denied:
        """The user (empty: a program), or the refusal."""
        scheme, _, rest = authorization.partition(" ")
        wanted = {one.lower(): one for one in self._quirks.schemes}
        if scheme.lower() not in wanted:
            return self._denied()
        if scheme.lower() == "basic":
            return self._basic(rest)
        if scheme.lower() == "bearer":
            return self._bearer(rest)
        return self._ntlm(wanted[scheme.lower()], rest)

    def _denied(self) -> Denied:
        challenges = {"basic": 'Basic realm="exchange.invalid"', "bearer": "Bearer"}
        return Denied(
            tuple(("WWW-Authenticate", challenges.get(scheme.lower(), scheme)) for scheme in self._quirks.schemes)
        )

    def _basic(self, text: str) -> str | Denied:
        try:
            name, _, password = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return self._denied()
        user = name.rpartition("\\")[2].lower()
        known = {address: address for address in self.passwords} | {
            address.partition("@")[0]: address for address in self.passwords
        }
        if user not in known or not secrets.compare_digest(self.passwords[known[user]].encode(), password.encode()):
            return self._denied()
        return known[user]

    def _bearer(self, text: str) -> str | Denied:
        with self._lock:
            token = self._tokens.get(text.strip())
        if token is None or token.ends <= time.monotonic() or self._quirks.take("refuse_tokens"):
            return Denied((
                ("WWW-Authenticate", 'Bearer error="invalid_token"'),
                ("x-ms-diagnostics", '2000003;reason="The token has expired.";error_category="invalid_lifetime"'),
            ))  # fmt: skip
        return token.user

    def _ntlm(self, scheme: str, text: str) -> Denied:
        """A challenge for the first message, a refusal for the third (MS-NLMP sections 2.2.1.1 to 2.2.1.3)."""
        try:
            message = base64.b64decode(text, validate=True)
        except binascii.Error:
            return self._denied()
        if message[:8] != b"NTLMSSP\0" or struct.unpack_from("<I", message + bytes(12), 8)[0] != 1:
            return self._denied()
        return Denied((("WWW-Authenticate", f"{scheme} {base64.b64encode(_challenge()).decode()}"),))


def _challenge() -> bytes:
    target = "EXCHANGE".encode("utf-16-le")
    info = b"".join(
        struct.pack("<HH", number, len(target)) + target for number in (1, 2)
    ) + struct.pack("<HHQ", 7, 8, int((time.time() + 11644473600) * 10_000_000)) + bytes(4)  # fmt: skip
    flags = 0x00000001 | 0x00000200 | 0x00010000 | 0x00080000 | 0x00800000 | 0x00000004
    head = b"NTLMSSP\0" + struct.pack("<I", 2)
    head += (
        struct.pack("<HHI", len(target), len(target), 48) + struct.pack("<I", flags) + secrets.token_bytes(8) + bytes(8)
    )
    return head + struct.pack("<HHI", len(info), len(info), 48 + len(target)) + target + info
