"""What the gateway says of a message at its door: taken, or refused and why.

Outcomes are returned, never raised, and matched exhaustively, so that no path falls through to
"accepted". They carry no SMTP numbers: `smtp/replies.py` alone knows those (RFC 5321 section 4.2).
"""

from dataclasses import dataclass
from typing import assert_never

from ime_gateway.base.reasons import Reason


@dataclass(frozen=True, slots=True)
class Accepted:
    """Protected as policy demands and durable on disk; only now may the peer hear success."""

    message_id: str
    """Our queue id, the one in the reply, the queue and the tracking page."""
    duplicate: bool = False
    """It was accepted under this id before (or, an answer, had done what it should): nothing is sent again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not taken; the submitting server keeps the message and tells its user."""

    reason: Reason
    detail: str
    """Evidence in one line of plain ASCII words, without secrets; shown to the sender."""
    temporary: bool = False
    """True: the peer tries again (4yz). False: the sender must change something (5yz)."""
    address: str = ""
    """The recipient (or sender) it is about; stands first in the reply (Exchange shows that)."""
    message_id: str = ""
    """Our tracking id of the attempt, empty before one was given."""


Outcome = Accepted | Refused

__all__ = ["Accepted", "Outcome", "Refused", "assert_never"]
