"""The next mail server: what can be handed to it, and what it answers."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Content = Callable[[], AsyncGenerator[bytes, None]]
"""Gives the canonical message (CRLF line ends, not dot-stuffed) from its first byte, each time it is
called: a mail exchanger may fail half-way and the next one needs the whole again."""


@dataclass(frozen=True, slots=True)
class RelayReply:
    """A reply of the next hop (RFC 5321 section 4.2), or our own words when there was none."""

    code: int
    """Three digits. Of our own words only the class means something: 400 or 500."""
    text: str
    """Printable ASCII, one line, enhanced status code included when there was one."""
    ours: bool = False
    """Our own words: connection, TLS or DNS trouble, or a mail that this next hop can never take."""

    @classmethod
    def own(cls, status: str, words: str) -> "RelayReply":
        """Our own words under an enhanced status code (RFC 3463), whose class becomes that of the reply."""
        return cls(int(status[0]) * 100, f"{status} {words}", ours=True)

    @property
    def positive(self) -> bool:
        """2yz: taken."""
        return self.code // 100 == 2

    @property
    def permanent(self) -> bool:
        """5yz: will never be taken as it is."""
        return self.code // 100 == 5

    @property
    def line(self) -> str:
        """The reply as people know it, for the queue listing and the tracking page."""
        return self.text if self.ours else f"{self.code} {self.text}"


@dataclass(frozen=True, slots=True)
class OutboundRecipient:
    """A recipient with its DSN wishes."""

    address: str
    notify: str = ""
    orcpt: str = ""


@dataclass(frozen=True, slots=True)
class OutboundMail:
    """One SMTP transaction: one envelope to recipients on one next hop."""

    sender: str
    """Empty for `<>`."""
    recipients: Sequence[OutboundRecipient]
    size: int
    """Bytes on the wire before dot stuffing (RFC 1870 section 5)."""
    eight_bit: bool
    smtputf8: bool
    """The envelope or the header block holds non-ASCII: the next hop must offer SMTPUTF8 (RFC 6531)."""
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class RelayResult:
    """What became of each recipient, in the order of the transaction."""

    replies: Sequence[RelayReply]
    peer: str
    """Host and address of the next hop, for the log and the DSN; empty when none was reached."""
    tls: str = ""
    """TLS version and cipher, empty when in clear."""
    dsn_supported: bool = False


class Relay(Protocol):
    """Sends to next hops over pooled connections; never raises for what a peer does."""

    async def send(
        self, route: str, domain: str, mail: OutboundMail, content: Content, *, use_tls: bool
    ) -> RelayResult:
        """Deliver by `route` (`mx` or `smtp://HOST[:PORT]`); `domain` is the recipients' for MX.
        What `content` raises passes through; the peer has then not got the message."""
        ...

    def size_limit(self, route: str, domain: str) -> int | None:
        """The SIZE the next hop announced last (RFC 1870), bytes; None when unknown."""
        ...

    def recall_sizes(self, sizes: Mapping[str, int]) -> None:
        """Know again, by route, what next hops announced before this process began."""
        ...
