"""Inside the transaction behind 250: certificates that a mail brought wait for an administrator, a few of each sender.

A certificate that is known already, waiting, approved or rejected, stays as it is: who sends a rejected one again
does not bring it back. Whoever makes up certificates fills no list: of one sender no more than
`CANDIDATES_OF_ONE_SENDER` a day are taken, the others are dropped without a word; of all together no more than
`MOST_PENDING` wait, and the oldest gives way. Nothing here replaces or joins a certificate that its owner has.
"""

from collections.abc import Iterable
from typing import Final

from ime_gateway.ports.exchange import CANDIDATE_SECONDS, MOST_PENDING
from ime_gateway.ports.incoming import CANDIDATES_OF_ONE_SENDER, Candidate
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.rows import Values, storable

_DAY_SECONDS = 86_400.0
_LONGEST_TEXT = 998
_KNOWN = "SELECT 1 FROM certificate_candidates WHERE owner = ? AND thumbprint = ?"
_IN_USE = "SELECT 1 FROM certificate_addresses WHERE address = ? AND thumbprint = ?"
_HAS_ANY = "SELECT 1 FROM certificate_addresses WHERE address = ? LIMIT 1"
_BROUGHT = "SELECT COUNT(*) FROM certificate_candidates WHERE sender = ? AND at > ?"
_WAITING = "SELECT COUNT(*) FROM certificate_candidates WHERE state = 'pending'"
GIVE_WAY: Final = (
    "DELETE FROM certificate_candidates WHERE (owner, thumbprint) IN (SELECT owner, thumbprint"
    " FROM certificate_candidates WHERE state = 'pending' AND origin <> 'announcement'"
    " ORDER BY at, owner, thumbprint LIMIT 1) RETURNING owner"
)
"""When too many wait, the oldest goes: anybody can send such, an announcement only a partner."""
_BRING = (
    "INSERT INTO certificate_candidates"
    " (owner, thumbprint, kind, der, state, origin, sender, message_id, evidence, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, thumbprint) DO NOTHING RETURNING owner"
)
_IMPORT = (
    "INSERT INTO certificates (thumbprint, subject, is_ca, der, imported_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (thumbprint) DO NOTHING"
)
_ASSIGN = "INSERT INTO certificate_addresses (address, thumbprint) VALUES (?, ?) ON CONFLICT DO NOTHING"
_GENERATION = "SELECT generation FROM site {for_update}"
_RAISE_GENERATION = "UPDATE site SET generation = generation + 1"
_FORGET_CANDIDATES = "DELETE FROM certificate_candidates WHERE state = 'pending' AND at <= ?"
_FORGET_TESTS = "DELETE FROM partner_tests WHERE expires_at <= ?"


def candidate_values(candidate: Candidate, state: str) -> Values:
    """The row of one candidate, in the order of the columns that `_BRING` names."""
    return (
        storable(candidate.owner),
        candidate.certificate.thumbprint,
        candidate.kind,
        candidate.certificate.der,
        state,
        candidate.origin,
        storable(candidate.sender),
        storable(candidate.message_id)[:_LONGEST_TEXT],
        storable(candidate.evidence)[:_LONGEST_TEXT],
        candidate.at,
    )


def bring_candidates(transaction: Transaction, candidates: Iterable[Candidate]) -> None:
    """Add those that nobody knows yet, while their sender has room for more today.

    One that comes `approved` (policy takes what leads to a root) is put in force if its owner has no certificate at
    all, else it waits like the others. The caller holds the locks of senders and owners.
    """
    candidates = list(candidates)
    if any(candidate.state == "approved" for candidate in candidates):
        transaction.run(_GENERATION)  # as administrators do, live data before candidates: else two wait for each other
    in_force = False
    for candidate in sorted(candidates, key=lambda one: (one.owner, one.certificate.thumbprint)):
        in_force |= _bring(transaction, candidate)
    if in_force:
        transaction.run(_RAISE_GENERATION)


def _bring(transaction: Transaction, candidate: Candidate) -> bool:
    """Whether live data changed."""
    owner, thumbprint = storable(candidate.owner), candidate.certificate.thumbprint
    if transaction.run(_KNOWN, (owner, thumbprint)) or transaction.run(_IN_USE, (owner, thumbprint)):
        return False
    if not _has_room(transaction, candidate):
        return False
    first = candidate.state == "approved" and candidate.kind == "person"
    first = first and not transaction.run(_HAS_ANY, (owner,))
    if not transaction.run(_BRING, candidate_values(candidate, "approved" if first else "pending")) or not first:
        return False
    one = candidate.certificate
    transaction.run(_IMPORT, (thumbprint, storable(one.subject), one.is_ca, one.der, candidate.at))
    transaction.run(_ASSIGN, (owner, thumbprint))
    return True


def _has_room(transaction: Transaction, candidate: Candidate) -> bool:
    since = candidate.at - _DAY_SECONDS
    if transaction.run(_BROUGHT, (storable(candidate.sender), since))[0][0] >= CANDIDATES_OF_ONE_SENDER:
        return False
    return bool(transaction.run(_WAITING)[0][0] < MOST_PENDING or transaction.run(GIVE_WAY))


def forget_exchanged(transaction: Transaction, moments: list[float]) -> list[None]:
    """Remove candidates that nobody decided about and self-tests that are old by then (seconds since 1970 UTC)."""
    for moment in moments:
        transaction.run(_FORGET_CANDIDATES, (moment - CANDIDATE_SECONDS,))
        transaction.run(_FORGET_TESTS, (moment,))
    return [None] * len(moments)
