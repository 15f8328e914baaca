"""Leases: which worker may deliver which row, decided by the store's clock and taken back when it dies.

No transaction is open while a row is sent; a lease is a date in the row. A worker that stops
renewing loses it, and another delivers (P3: at least once, never never).
"""

from dataclasses import dataclass
from typing import Any

from ime_gateway.ports.queue import LeasedRow, Row
from ime_gateway.store.dialect import Transaction

LEASE_SECONDS = 120.0

# The order makes PostgreSQL walk the index on `due`, not the table, however much mail is deferred.
ANY_DUE = "SELECT 1 FROM queue_rows WHERE due <= {now} AND wish <> 'hold' ORDER BY due LIMIT 1"
TAKE = (
    "WITH ready AS MATERIALIZED (SELECT id FROM queue_rows WHERE due <= {now} AND wish <> 'hold'"
    " ORDER BY due LIMIT ? {skip_locked})"
    " UPDATE queue_rows SET state = 'sending', due = {now} + ?, lease = ?, lease_owner = ?"
    " WHERE id IN (SELECT id FROM ready) RETURNING id"
)
_TAKEN = (
    "SELECT r.id, r.envelope_id, r.recipient, r.copy, r.protection, r.reason, r.detail, r.notify, r.orcpt,"
    " p.id, p.sender, p.message_id, p.origin, p.ret, p.envid, p.smtputf8, p.received_at, r.attempts, r.lease, r.wish"
    " FROM queue_rows r JOIN parcels p ON p.id = r.parcel_id WHERE r.id IN ({list})"
)
_RENEW = (
    "UPDATE queue_rows SET due = {now} + ? WHERE id IN (SELECT id FROM queue_rows"
    " WHERE lease_owner = ? AND state = 'sending' AND due <= {now} + ? {skip_locked})"
)
_GIVE_BACK = (
    "UPDATE queue_rows SET state = 'queued', due = {now}, lease = NULL, lease_owner = NULL WHERE id = ? AND lease = ?"
)
_RECLAIM = (
    "UPDATE queue_rows SET state = 'queued', due = {now}, lease = NULL, lease_owner = NULL"
    " WHERE substr(lease_owner, 1, ?) = ? AND lease_owner <> ? AND state = 'sending' RETURNING id"
)


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Who wants how many rows, under which token."""

    owner: str
    limit: int
    token: str
    seconds: float


def take_leases(transaction: Transaction, requests: list[LeaseRequest]) -> list[list[LeasedRow]]:
    """Lease due rows to each request, those due longest first."""
    return [_take(transaction, request) for request in requests]


def _take(transaction: Transaction, request: LeaseRequest) -> list[LeasedRow]:
    taken = transaction.run(TAKE, (request.limit, request.seconds, request.token, request.owner))
    found = [_leased(row) for row in transaction.run_for(_TAKEN, [row[0] for row in taken])]
    return sorted(found, key=lambda leased: (leased.received_at, leased.row.id))


def renew_leases(transaction: Transaction, owners: list[tuple[str, float]]) -> list[None]:
    """Prolong every lease of each owner by so many seconds from now."""
    for owner, seconds in set(owners):
        transaction.run(_RENEW, (seconds, owner, seconds))
    return [None] * len(owners)


def reclaim_leases(transaction: Transaction, places: list[tuple[str, str]]) -> list[int]:
    """Take every lease back from the dead predecessors in each place; how many rows they had."""
    return [len(transaction.run(_RECLAIM, (len(place), place, owner))) for place, owner in places]


def give_back(transaction: Transaction, leases: list[list[LeasedRow]]) -> list[None]:
    """Make rows due again whose worker went away before it heard of its lease."""
    for rows in leases:
        for leased in rows:
            transaction.run(_GIVE_BACK, (leased.row.id, leased.lease))
    return [None] * len(leases)


def _leased(values: tuple[Any, ...]) -> LeasedRow:
    row = Row(*values[:9])
    message, sender, message_id, origin, ret, envid, smtputf8, received_at, attempts, lease, wish = values[9:]
    return LeasedRow(
        row=row,
        message=message,
        sender=sender,
        message_id=message_id,
        origin=origin,
        ret=ret,
        envid=envid,
        smtputf8=bool(smtputf8),
        received_at=received_at,
        attempts=attempts,
        lease=lease,
        drop=wish,
    )
