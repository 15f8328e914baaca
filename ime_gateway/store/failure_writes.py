"""Memory of trouble: messages that made us fail, evidence of them, and what next hops can take."""

import json

from ime_gateway.ports.queue import HeldEvidence
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.rows import storable
from ime_gateway.store.sealed_secrets import SecretBox

_DAY_SECONDS = 86_400.0

_COUNT = (
    "INSERT INTO failures (digest, times, first_at) VALUES (?, 1, ?) ON CONFLICT (digest) DO UPDATE SET"
    " times = CASE WHEN failures.first_at < ? THEN 1 ELSE failures.times + 1 END,"
    " first_at = CASE WHEN failures.first_at < ? THEN excluded.first_at ELSE failures.first_at END RETURNING times"
)
_FORGET = "DELETE FROM failures WHERE first_at < ?"
_HOLD = (
    "INSERT INTO held_evidence (id, digest, sender, recipients, sealed_headers, cause, at, parcel_rows)"
    " VALUES [(?, ?, ?, ?, ?, ?, ?, ?)]"
)
_REMEMBER = (
    "INSERT INTO next_hop_sizes (route, size) VALUES (?, ?) ON CONFLICT (route) DO UPDATE SET size = excluded.size"
)
NEXT_HOP_SIZES = "SELECT route, size FROM next_hop_sizes"


def count_failures(transaction: Transaction, arguments: list[tuple[str, float]]) -> list[int]:
    """For each digest and moment: how often it failed within a day, this time included."""
    counts = []
    for digest, moment in arguments:
        oldest = moment - _DAY_SECONDS
        counts.append(int(transaction.run(_COUNT, (digest, moment, oldest, oldest))[0][0]))
        transaction.run(_FORGET, (oldest,))
    return counts


def evidence_values(evidence: HeldEvidence, box: SecretBox) -> tuple[object, ...]:
    """The row of one piece of evidence; the header block is sealed."""
    return (
        evidence.id,
        evidence.digest,
        storable(evidence.sender),
        json.dumps(list(evidence.recipients)),
        box.seal("held_evidence", evidence.id, evidence.headers),
        storable(evidence.cause),
        evidence.at,
        json.dumps(list(evidence.parcel_rows)),
    )


def hold_evidence(transaction: Transaction, rows: list[tuple[object, ...]]) -> list[None]:
    """Insert evidence."""
    transaction.insert(_HOLD, rows)
    return [None] * len(rows)


def remember_sizes(transaction: Transaction, sizes: list[tuple[str, int]]) -> list[None]:
    """Keep what next hops announced."""
    for route, size in sizes:
        transaction.run(_REMEMBER, (route, size))
    return [None] * len(sizes)
