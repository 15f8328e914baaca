"""Inside the transaction behind 250 of mail from outside: what was opened for whom, came encrypted, or was brought.

Written with the queue rows of the message, so that a lost reply, a dead worker or a second node never opens one
encrypted content key for two people who were not addressed together, nor forgets that a mail came encrypted. Two
workers that open the same key meet at a lock of its own; locks are taken in the order of their names.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ime_gateway.ports.incoming import OPENED_SECONDS, PROTECTED_SECONDS, IncomingRecord, KnownKey
from ime_gateway.store.candidate_writes import bring_candidates
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.parcel_writes import insert_parcels
from ime_gateway.store.rows import ParcelRows, storable

OPENED_FOR = "SELECT key_digest, address, content_digest, keep_until FROM opened_keys WHERE key_digest IN ({list})"
_OPEN = (
    "INSERT INTO opened_keys (key_digest, address, content_digest, message, at, keep_until)"
    " VALUES [(?, ?, ?, ?, ?, ?)]"
    " ON CONFLICT (key_digest, address) DO UPDATE SET keep_until = excluded.keep_until"
    " WHERE opened_keys.keep_until < excluded.keep_until"
)
_PROTECT = (
    "INSERT INTO protected_ids (digest, keep_until) VALUES (?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET keep_until = excluded.keep_until"
    " WHERE protected_ids.keep_until < excluded.keep_until"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(?, 4724803))"
_FORGET_OPENED = "DELETE FROM opened_keys WHERE keep_until <= ?"
_FORGET_PROTECTED = "DELETE FROM protected_ids WHERE keep_until <= ?"


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """One message from outside with what is to be remembered of it."""

    parcels: ParcelRows
    message: str
    """Id of the parcel."""
    moment: float
    """Now, seconds since 1970 UTC."""
    record: IncomingRecord


def insert_incoming(transaction: Transaction, requests: list[IncomingRequest]) -> list[bool]:
    """Insert each message with all that belongs to it; False, and nothing of it, when one of its content keys was
    opened for others or with other content before."""
    _lock(transaction, requests)
    answers = [_take(transaction, request) for request in requests]
    taken = [request for request, answer in zip(requests, answers, strict=True) if answer]
    insert_parcels(transaction, [request.parcels for request in taken])
    protected = {digest: request.moment for request in taken for digest in request.record.protected_ids}
    for digest, moment in sorted(protected.items()):
        transaction.run(_PROTECT, (digest, moment + PROTECTED_SECONDS))
    for request in taken:
        bring_candidates(transaction, request.record.candidates)
    return answers


def _lock(transaction: Transaction, requests: Iterable[IncomingRequest]) -> None:
    """Until the end of the transaction no other node decides about these content keys, counts what these senders
    brought, or finds these owners without a certificate. SQLite has one writer."""
    if transaction.dialect.name != "postgresql":
        return
    records = [request.record for request in requests]
    names = {opened.key_digest for record in records for opened in record.opened}
    brought = [candidate for record in records for candidate in record.candidates]
    names |= {storable(name) for candidate in brought for name in (candidate.sender, candidate.owner)}
    for name in sorted(names):
        transaction.run(_LOCK, (name,))


def _take(transaction: Transaction, request: IncomingRequest) -> bool:
    """Written at once, so that the next one of this very transaction finds it."""
    record = request.record
    people: dict[str, set[str]] = {}
    for one in record.opened:
        people.setdefault(one.key_digest, set()).update(() if one.bound else map(storable, one.addresses))
    contents = {one.key_digest: one.content_digest for one in record.opened}
    for digest, known in known_keys(transaction.run_for(OPENED_FOR, sorted(people)), request.moment).items():
        if not people[digest] <= known.addresses or known.contents != {contents[digest]}:
            return False
    pairs = {(one.key_digest, storable(who)) for one in record.opened for who in one.addresses}
    after = (request.message, request.moment, request.moment + OPENED_SECONDS)
    transaction.insert(_OPEN, [(digest, who, contents[digest], *after) for digest, who in sorted(pairs)])
    return True


def known_keys(rows: Iterable[tuple[str, str, str, float]], moment: float) -> Mapping[str, KnownKey]:
    """For whom and with what each key was opened, from rows of `OPENED_FOR`; those whose time is over by `moment`
    count for nothing, even if nobody has swept them yet."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for digest, address, content, keep_until in rows:
        if keep_until > moment:
            addresses, contents = found.setdefault(digest, (set(), set()))
            addresses.add(address)
            contents.add(content)
    return {digest: KnownKey(frozenset(who), frozenset(what)) for digest, (who, what) in found.items()}


def forget_incoming(transaction: Transaction, moments: list[float]) -> list[None]:
    """Remove what has had its time by each moment."""
    for moment in moments:
        transaction.run(_FORGET_OPENED, (moment,))
        transaction.run(_FORGET_PROTECTED, (moment,))
    return [None] * len(moments)
