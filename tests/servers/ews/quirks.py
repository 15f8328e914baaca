"""The moods of a real Exchange, each a switch that a test turns.

A switch that counts (`busy`, `cut_connections`, `cut_in_the_middle`, `refuse_tokens`) goes down by itself until it is
zero.
"""

import threading
from dataclasses import dataclass, field


@dataclass
class Quirks:
    """What the server does beside its duty; the defaults are those of a calm server."""

    headers_promoted: bool = True
    """False: an X- header of a delivered mail becomes a property only in a mailbox where a client has written
    that property before; header and MIME show it always ("Provision x-headers by using EWS")."""
    header_promotion_seconds: float = 0.0
    """How long after delivery the properties of X- headers can be seen (a filter misses the mail until then)."""
    busy: int = 0
    """So many requests are answered ErrorServerBusy."""
    back_off_milliseconds: int = 200
    """The BackOffMilliseconds that go with it."""
    expired_sync_states: bool = False
    """Every SyncState but the empty one is answered ErrorInvalidSyncStateData."""
    stream_seconds: float | None = None
    """How long a stream lasts; None: as the client asks (whole minutes)."""
    stream_heartbeat_seconds: float = 30.0
    """How often a silent stream says that it lives."""
    stream_cut: bool = False
    """Streams end without the answer `Closed`: the connection breaks."""
    cut_connections: int = 0
    """So many requests are carried out, but the connection is cut before the answer."""
    cut_in_the_middle: int = 0
    """So many answers are cut after half of their bytes."""
    refuse_tokens: int = 0
    """So many valid bearer tokens are treated as expired."""
    schemes: tuple[str, ...] = ("Basic", "Bearer")
    """What a 401 offers and the server takes; `NTLM` is offered and then refused in the third step."""
    fail_operations: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Operation -> (code, sentence): every such request is answered with this fault, until it is taken out."""
    members_at_once: int = 10_000
    """ExpandDL shows no more members than these and says that some are missing (IncludesLastItemInRange)."""
    largest_request: int = 36 * 1024 * 1024
    """Bytes; more is answered 413 (`maxAllowedContentLength`)."""

    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, name: str) -> bool:
        """Whether this counting switch is on; counts it down."""
        with self._lock:
            left = int(getattr(self, name))
            if left > 0:
                setattr(self, name, left - 1)
            return left > 0
