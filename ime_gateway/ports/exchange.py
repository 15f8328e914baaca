"""What mail to an exchange address leaves behind: candidates that wait for a person, and self-tests with partners.

Facets of one registry transaction (`ports/registry`), so that a certificate is put in force together with the audit
line, and a test is answered once.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.ports.incoming import Candidate, CandidateState

CANDIDATE_SECONDS: Final = 180 * 86_400.0
"""A candidate that nobody decided about is forgotten after so long; its sender may bring it again."""
MOST_PENDING: Final = 5_000
"""Pending candidates of the whole installation: beyond, a new one takes the place of the oldest that no partner
announced, and is dropped when there is none."""
MOST_ANNOUNCED: Final = 10
"""Announcements of one partner that wait: whoever stole a key of theirs that is still trusted fills no store."""
TEST_KEPT_SECONDS: Final = 400 * 86_400.0
"""How long its result is kept."""
ANSWERS_A_DAY: Final = 50
"""Self-tests of one partner that are answered in 24 hours."""

TestState = Literal["waiting", "passed", "failed", "answered"]
"""Ours without an answer; ours with a good or a bad one; a partner's, which we answered."""


@dataclass(frozen=True, slots=True)
class PartnerTest:
    """A self-test with a partner, ours or theirs."""

    token_hash: str
    """Hexadecimal SHA-256 of the token; the token itself is only in the mail."""
    partner: str
    """As in `SiteView.partners`."""
    domain: str
    """Ours."""
    state: TestState
    result: str
    """JSON."""
    at: float
    """When it began; seconds since 1970 UTC, as all times here."""
    expires_at: float
    """When its row may go."""


class CandidateBook(Protocol):
    """Certificates that mail or directories brought."""

    def rows(
        self, *, state: str = "", owner: str = "", thumbprint: str = "", limit: int = 1000, offset: int = 0
    ) -> list[Candidate]:
        """Those that match all (`thumbprint`: whole, or its beginning with `sha256:`), the newest first."""
        ...

    def pending(self) -> int:
        """How many wait for somebody's word."""
        ...

    def bring(self, candidate: Candidate) -> bool:
        """Keep a candidate, unless it is known in any state, its certificate is in use for its owner, or too many wait:
        of its sender or of everybody together, or, when it is vouched for, announced ones of its owner; whether it was
        kept."""
        ...

    def set_state(self, owner: str, thumbprint: str, state: CandidateState) -> bool:
        """Decide about one; False when there is none."""
        ...


class PartnerTests(Protocol):
    """Self-tests, both ways."""

    def begin(self, test: PartnerTest) -> None:
        """One of ours, before its mail goes."""
        ...

    def answering(self, test: PartnerTest) -> bool:
        """Note that we answer a partner's; False when we did before, or did so for this partner `ANSWERS_A_DAY` times
        in the 24 hours before `test.at`."""
        ...

    def found(self, token_hash: str) -> PartnerTest | None:
        """One of them."""
        ...

    def finish(self, token_hash: str, state: TestState, result: str) -> bool:
        """Write the result of one that waits; False when none does."""
        ...

    def rows(self, partner: str = "", limit: int = 100) -> list[PartnerTest]:
        """With one partner or with all, the newest first."""
        ...


@dataclass(frozen=True, slots=True)
class OwnMail:
    """A mail of the gateway itself, ready to be sealed and queued."""

    id: str
    """Under which tracking knows it."""
    sender: str
    """Envelope sender; empty for answers (RFC 3834 section 3.3)."""
    recipient: Address
    head: bytes = field(repr=False)
    """Header block with its empty line."""
    body: bytes = field(repr=False)
    message_id: str
    protection: Literal["none", "smime-domain"]
    detail: str
    """For tracking: what it is."""
    reason: Reason = Reason.KEY_EXCHANGE
    """For tracking: why it goes as it does."""


class Outbox(Protocol):
    """Where desks and the receiving side put mail of the gateway itself."""

    async def send(self, mail: OwnMail, moment: float) -> None:
        """Queue it durably. Raises StoreUnavailable, and nothing is sent."""
        ...
