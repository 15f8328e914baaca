"""What an SMTP session asks of the gateway behind it: may this sender, may this recipient, take this message.

The session speaks RFC 5321 and owns the connection; whoever implements `Reception` owns the decision.
A reply of success is written only after `receive` returned `Accepted` (RFC 5321 section 6.1).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from ime_gateway.base.outcome import Outcome, Refused
from ime_gateway.mail.address import Address

Role = Literal["internal", "internet"]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Who is connected, as far as it is known when a command runs."""

    listener: str
    """Name of the listener in `gateway.toml`."""
    role: Role
    peer_ip: str
    """Address of the client; behind a load balancer the one that the PROXY header names."""
    helo: str = ""
    """What the peer called itself in EHLO or HELO; unverified, printable ASCII or UTF-8."""
    esmtp: bool = True
    """EHLO rather than HELO: decides `with ESMTP` or `with SMTP` in Received (RFC 3848)."""
    tls: str = ""
    """TLS version and cipher, for example `TLSv1.3 TLS_AES_256_GCM_SHA384`; empty in clear."""
    client_certificate_names: tuple[str, ...] = ()
    """DNS names, mail addresses and common name of the client's verified certificate."""


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """The live data by which relay permission is decided for one transaction."""

    is_managed: Callable[[str], bool]
    """Is this domain (lower case, A-labels) ours?"""
    ime_addresses: frozenset[str] = frozenset()
    """Keys (`Address.key`) of the addresses at which internal mail encryption listens (IME 1.0)."""
    ime_domains: frozenset[str] = frozenset()
    """Domains whose every address takes containers (IME 2.0); lower case, A-labels."""
    unknown: Callable[[Address], Awaitable[Refused | None]] | None = None
    """Why a recipient that may be written to does not exist; None, or an answer of None: it is taken."""


@dataclass(frozen=True, slots=True)
class SubmittedRecipient:
    """One RCPT command; a recipient named twice stands here once."""

    address: Address
    notify: str = ""
    """NOTIFY= upper case (RFC 3461 section 4.1): `NEVER`, or a list such as `SUCCESS,FAILURE`; empty: none given."""
    orcpt: str = ""
    """ORCPT= as it came, xtext kept and checked (RFC 3461 section 4.2)."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One complete message with its envelope, as a session hands it over."""

    session: SessionInfo
    sender: Address | None
    """Envelope sender; None for `<>`."""
    recipients: tuple[SubmittedRecipient, ...]
    """At least one, in the order of RCPT."""
    data: bytearray
    """The message: CRLF line ends only, dot-stuffing undone, no NUL, ends with CRLF. Counted against the worker's
    memory until `receive` returns."""
    received_at: float
    """When the last byte came; seconds since 1970 UTC."""
    ret: Literal["", "FULL", "HDRS"] = ""
    """RET= (RFC 3461 section 4.3)."""
    envid: str = ""
    """ENVID= as it came, xtext kept and checked (RFC 3461 section 4.4)."""
    smtputf8: bool = False
    """The peer gave SMTPUTF8 (RFC 6531): addresses and headers may hold UTF-8."""
    body: Literal["", "7BIT", "8BITMIME"] = ""
    """BODY= (RFC 6152)."""


class Reception(Protocol):
    """The gateway behind the SMTP door. An exception of any method is answered with 451: nothing is taken."""

    async def may_mail(self, session: SessionInfo, sender: Address | None) -> RelayFacts | Refused:
        """Called at MAIL, after live data was brought up to date. The facts hold for this transaction."""
        ...

    async def turned_away(
        self, session: SessionInfo, sender: Address | None, recipient: Address | None, refused: Refused
    ) -> None:
        """MAIL (no recipient) or RCPT was refused by the relay table: a trace for whoever asks why."""
        ...

    async def receive(self, submission: Submission) -> Outcome:
        """Decide, protect and store; `Accepted` only when everything promised by 250 is durable."""
        ...

    async def failed(self, submission: Submission, cause: str) -> Refused:
        """`receive` raised something unforeseen; `cause` is evidence without content. Says what the peer hears:
        try again, or after repeated failures of the same message that it is held (design 6.5, fact 10)."""
        ...
