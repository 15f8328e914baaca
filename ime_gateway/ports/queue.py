"""The durable queue: what is promised to a peer with 250 lives here until it is settled (P2, P3).

One accepted message is a `Parcel`: bodies (sealed, stored once each), envelopes (the head and
CMS frame in which one group of recipients gets a body) and rows (one per copy and recipient).
`enqueue` commits all of it in one transaction; when it returns, the peer may hear 250
(RFC 5321 section 6.1). Rows are leased, so that no two workers deliver one row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # ports/containers speaks of parcels and events in turn
    from ime_gateway.ports.containers import ContainerRecord
    from ime_gateway.ports.incoming import IncomingRecord

Origin = Literal["internal", "internet"]
RowState = Literal["queued", "sending", "deferred", "held"]
EventName = Literal[
    "refused", "accepted", "delivered", "deferred", "failed", "reported", "dropped", "duplicate", "held"
]


@dataclass(frozen=True, slots=True)
class SealedBody:
    """A body that the spool has taken; durable once the parcel that names it is enqueued."""

    id: str
    size: int
    """Bytes before sealing."""
    handle: object
    """The spool's own business: sealed chunks still in memory, or the file they were synced to."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """How one group of recipients gets a body.

    On the wire: `head`, then `prefix + body + suffix`, base64-encoded in lines of 76 characters
    when `base64` (a CMS object), or as it is (a message that passes).
    """

    id: str
    body_id: str
    head: bytes
    """Header block with its final empty line, CRLF line ends."""
    prefix: bytes = b""
    suffix: bytes = b""
    base64: bool = False
    eight_bit: bool = False
    """The body holds 8-bit bytes: the next hop must offer 8BITMIME (RFC 6152)."""
    wire_size: int = 0
    """Bytes on the wire, for SIZE= (RFC 1870) and the queue listing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient of one copy."""

    id: str
    envelope_id: str
    recipient: str
    copy: Literal["recipient", "sent"]
    protection: str
    reason: str
    detail: str
    notify: str = ""
    """NOTIFY= as it came (RFC 3461 section 4.1), upper case; empty: none given."""
    orcpt: str = ""
    """ORCPT= as it came, xtext kept (RFC 3461 section 4.2)."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One accepted message with everything that is promised by its 250."""

    id: str
    sender: str
    """Envelope sender; empty for `<>`."""
    message_id: str
    """The Message-ID header as delivered, for people who search; may be empty."""
    origin: Origin
    received_at: float
    """Seconds since 1970 UTC."""
    bodies: Sequence[SealedBody]
    envelopes: Sequence[Envelope]
    rows: Sequence[Row]
    ret: str = ""
    """RET= (RFC 3461 section 4.3): FULL, HDRS or empty."""
    envid: str = ""
    """ENVID= (RFC 3461 section 4.4), xtext kept."""
    smtputf8: bool = False
    return_headers: bytes = b""
    """Header block for a DSN about this message: never body, never Bcc (RFC 3464)."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the tracking page."""

    id: str
    message_id: str
    sender: str
    recipient: str
    copy: str
    event: EventName
    reason: str
    detail: str
    at: float
    row: str = ""


@dataclass(frozen=True, slots=True)
class LeasedRow:
    """A row that this worker alone may deliver until `lease_until`."""

    row: Row
    message: str
    """The parcel's id."""
    sender: str
    message_id: str
    origin: Origin
    ret: str
    envid: str
    smtputf8: bool
    received_at: float
    attempts: int
    """Attempts made before this one."""
    lease: str
    """Token of this lease; only its holder can settle the row."""
    drop: Literal["", "report", "silent"] = ""
    """An administrator wants the row dropped, with or without a DSN; it must not be sent."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one attempt for one row ended."""

    row_id: str
    lease: str
    outcome: Literal["delivered", "deferred", "failed", "dropped"]
    event: Event
    next_attempt: float = 0.0
    """For `deferred`: when to try again, seconds since 1970 UTC."""
    last_reply: str = ""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One row of `queue list` (contract of the design's 6.1)."""

    row: str
    id: str
    message_id: str
    sender: str
    recipient: str
    copy: str
    state: RowState
    attempts: int
    next_attempt: float
    last_reply: str
    size: int = 0
    protection: str = ""
    reason: str = ""
    detail: str = ""
    received_at: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldEvidence:
    """What is kept of a message that made us fail again and again: never a clear body."""

    id: str
    digest: str
    sender: str
    recipients: Sequence[str]
    headers: bytes
    cause: str
    at: float
    parcel_rows: Sequence[str] = field(default_factory=tuple)


class Spool(Protocol):
    """Where bodies rest, sealed with a data key of their own."""

    def write(self, chunks: Iterable[bytes | memoryview], expected_size: int) -> SealedBody:
        """Seal and store a body; large ones are synced to disk here. Blocking: call in a thread
        when `expected_size` is large. Raises StoreUnavailable and leaves nothing behind."""
        ...

    def discard(self, body: SealedBody) -> None:
        """Forget a body that no parcel will name."""
        ...

    def read(self, body_id: str) -> Iterator[bytes]:
        """The body's bytes in chunks, each verified before it is given out. Blocking.
        Raises StoreUnavailable when it is missing, torn or was changed."""
        ...


class Queue(Protocol):
    """The queue's durable rows. Every method may raise StoreUnavailable."""

    async def enqueue(
        self,
        parcel: Parcel,
        events: Sequence[Event],
        lease_owner: str | None,
        reports: Sequence[Parcel] = (),
        container: "ContainerRecord | None" = None,
        incoming: "IncomingRecord | None" = None,
    ) -> list[LeasedRow]:
        """Commit the parcel, its events and the DSNs about it in one transaction. With `lease_owner`
        the parcel's rows are leased to that worker at once and returned, so that it delivers without
        asking again; the reports wait for whoever asks first. `container`: the IME 2.0 container that the
        parcel was; committed with it. Raises AlreadySeen, and nothing is written, when its replay key is
        remembered: the caller discards the bodies as after StoreUnavailable, and asks `Containers.seen`
        who sent it then. Raises OtherSignerFirst, and nothing is written, when it brings a pin of first use
        and its person has got another pin meanwhile, but not this one approved. `incoming`: what is remembered of mail
        that came encrypted or signed; committed with it. Raises OpenedForOthers, and nothing is written, when one of
        its content keys was opened for other addresses meanwhile."""
        ...

    async def lease(self, owner: str, limit: int) -> list[LeasedRow]:
        """Due rows, by the store's clock, leased to `owner`; rows of dead owners come back here."""
        ...

    async def reclaim(self, place: str, owner: str) -> int:
        """Make due now what is leased to owners whose names begin with `place`, except `owner`; how many
        rows. A worker calls it when it takes the place of a dead one, so that nobody waits for the
        old leases to run out."""
        ...

    async def renew(self, owner: str) -> None:
        """Heartbeat: prolong every lease of `owner`."""
        ...

    async def envelope(self, envelope_id: str) -> Envelope:
        """An envelope, unsealed."""
        ...

    async def return_headers(self, message: str) -> bytes:
        """The header block kept for a DSN about a message."""
        ...

    async def settle(self, settlements: Sequence[Settlement], parcels: Sequence[Parcel] = ()) -> list[str]:
        """Record how attempts ended, and enqueue `parcels` (the DSNs about them) in the same
        transaction. Returns the row ids that were settled; a row whose lease was lost is not.
        With `parcels`, the `failed` and `dropped` rows and the parcels stand or fall together: if
        one of those leases was lost, its new holder will report, and nobody is told twice.
        Bodies that no row needs any more are removed."""
        ...

    async def record(self, events: Sequence[Event]) -> None:
        """Write tracking events that belong to no parcel (refusals)."""
        ...

    async def count_failure(self, digest: str) -> int:
        """How often the message with this digest has made us fail unexpectedly within a day, this
        time included (design 6.5, fact 10)."""
        ...

    async def hold_evidence(self, evidence: HeldEvidence) -> None:
        """Keep what may be kept of a message that made us fail again and again, sealed."""
        ...

    async def next_hop_sizes(self) -> dict[str, int]:
        """SIZE by route, bytes, as each next hop announced it last (RFC 1870)."""
        ...

    async def remember_size(self, route: str, size: int) -> None:
        """Keep the SIZE that a next hop announced."""
        ...
