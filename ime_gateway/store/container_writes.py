"""Inside the transactions of IME 2.0: a container is acted upon once, and the first signer of a person is one.

What a container leaves behind (its replay key, pins, what was learnt) is written with the queue rows that it
becomes, so that a lost reply, a dead worker or a second node never lets it through twice nor loses it. Two
workers that bring the same container meet at the primary key of `containers_seen`; rows of several messages are
written in the order of their keys, so that two nodes never wait for each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ime_gateway.ports.containers import ContainerRecord, Learnt, Pin
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.parcel_writes import insert_parcels
from ime_gateway.store.rows import ParcelRows, Values, storable

# A key whose time is over counts as new: it may be that nobody has swept it yet.
_SEE = (
    "INSERT INTO containers_seen (replay_key, sender, message, at, keep_until) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (replay_key) DO UPDATE SET sender = excluded.sender, message = excluded.message, at = excluded.at,"
    " keep_until = excluded.keep_until WHERE containers_seen.keep_until <= ? RETURNING message"
)
_SEEN_BY = "SELECT message FROM containers_seen WHERE replay_key = ?"
# The first ciphertext keeps its place; coming again it keeps it for longer.
_TAKE_PLACE = (
    "INSERT INTO first_ciphertexts (key_digest, ciphertext_digest, keep_until) VALUES (?, ?, ?)"
    " ON CONFLICT (key_digest) DO UPDATE SET ciphertext_digest = excluded.ciphertext_digest,"
    " keep_until = excluded.keep_until WHERE first_ciphertexts.keep_until <= ?"
    " OR first_ciphertexts.ciphertext_digest = excluded.ciphertext_digest RETURNING key_digest"
)
# A pin that a container brings never overrules an administrator, neither his yes nor his no.
_BRING_PIN = (
    "INSERT INTO signer_pins (address, thumbprint, der, state, origin, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (address, thumbprint) DO UPDATE SET state = excluded.state, origin = excluded.origin,"
    " at = excluded.at, note = excluded.note WHERE signer_pins.state = 'pending' AND excluded.state = 'approved'"
)
_LOCK_PERSON = "SELECT pg_advisory_xact_lock(hashtextextended(?, 4724802))"
_PIN_STATES = "SELECT thumbprint, state FROM signer_pins WHERE address = ?"
_LEARN = (
    "INSERT INTO learnt (address, capabilities, signing_time, preferred) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (address) DO UPDATE SET capabilities = excluded.capabilities,"
    " signing_time = excluded.signing_time, preferred = excluded.preferred"
    " WHERE learnt.signing_time < excluded.signing_time"
)
_FORGET_SEEN = "DELETE FROM containers_seen WHERE keep_until <= ?"
_FORGET_CIPHERTEXTS = "DELETE FROM first_ciphertexts WHERE keep_until <= ?"
_FORGET_CHALLENGES = "DELETE FROM challenges WHERE expires_at <= ?"
_FORGET_WAITING = (
    "DELETE FROM signer_pins WHERE state = 'pending' AND origin = 'challenged' AND at <= ?"
    " AND NOT EXISTS (SELECT 1 FROM challenges WHERE challenges.address = signer_pins.address"
    " AND challenges.thumbprint = signer_pins.thumbprint)"
)
_WAITING_SECONDS = 14 * 86_400
"""A signer that nobody answered or decided about: its place is wanted by others (`MOST_PENDING`)."""
_ERASE_KEYS = (
    "UPDATE ime_keys SET sealed_private_key = NULL"
    " WHERE opens_until <= ? AND sealed_private_key IS NOT NULL RETURNING domain"
)

Taken = Literal["new", "own", "seen", "rival"]
"""Enqueued now; enqueued before by this very call, whose answer was lost; seen in another message; of a first signer
who is not the first any more."""


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """One container with the message that it becomes."""

    parcels: ParcelRows
    message: str
    """Id of the parcel."""
    at: float
    moment: float
    """Now, seconds since 1970 UTC."""
    record: ContainerRecord


@dataclass(frozen=True, slots=True)
class CiphertextRequest:
    """A ciphertext that wants to be the first under its key."""

    key_digest: str
    ciphertext_digest: str
    keep_until: float
    moment: float
    """Now, seconds since 1970 UTC."""


def insert_containers(transaction: Transaction, requests: list[ContainerRequest]) -> list[Taken]:
    """Insert what is new with all that belongs to it; nothing of what was seen before or has a rival."""
    people = {pin.address for request in requests for pin in _first_uses(request.record)}
    for address in sorted(people):
        lock_person(transaction, address)
    answers: dict[int, Taken] = {}
    for number, request in sorted(enumerate(requests), key=lambda one: one[1].record.replay_key):
        answers[number] = _take(transaction, request)
    fresh = [request for number, request in enumerate(requests) if answers[number] == "new"]
    insert_parcels(transaction, [request.parcels for request in fresh])
    bring_pins(transaction, [pin for request in fresh for pin in _endorsed(transaction, request.record)])
    _learn(transaction, (request.record.learnt for request in fresh if request.record.learnt is not None))
    return [answers[number] for number in range(len(requests))]


def _take(transaction: Transaction, request: ContainerRequest) -> Taken:
    """A first signer is pinned at once, so that the next one of this very transaction finds him."""
    first = _first_uses(request.record)
    if not all(_is_first(transaction, pin) for pin in first):
        return "rival"
    taken = _see(transaction, request)
    if taken == "new":
        bring_pins(transaction, first)
    return taken


def _first_uses(record: ContainerRecord) -> list[Pin]:
    return [pin for pin in record.pins if pin.origin == "first-use"]


def _is_first(transaction: Transaction, pin: Pin) -> bool:
    """Nobody else is known for the person, or this signer was taken a moment ago. The person is locked."""
    states = pin_states(transaction, pin.address)
    return not states or states.get(pin.certificate.thumbprint) == "approved"


def _endorsed(transaction: Transaction, record: ContainerRecord) -> list[Pin]:
    """What an endorser brings who is still approved: he may have been revoked since his container was read."""
    brought = [pin for pin in record.pins if pin.origin != "first-use"]
    return [pin for pin in brought if pin_states(transaction, pin.address).get(record.signer) == "approved"]


def lock_person(transaction: Transaction, address: str) -> None:
    """Until the end of the transaction no other node decides about signers of this person. SQLite has one writer."""
    if transaction.dialect.name == "postgresql":
        transaction.run(_LOCK_PERSON, (storable(address),))


def pin_states(transaction: Transaction, address: str) -> dict[str, str]:
    """The state of each pin of a person, by thumbprint."""
    return {row[0]: row[1] for row in transaction.run(_PIN_STATES, (storable(address),))}


def _see(transaction: Transaction, request: ContainerRequest) -> Taken:
    record = request.record
    values = (record.replay_key, storable(record.sender), request.message, request.at, record.keep_until)
    if transaction.run(_SEE, (*values, request.moment)):
        return "new"
    known = transaction.run(_SEEN_BY, (record.replay_key,))
    return "own" if known and known[0][0] == request.message else "seen"


def take_places(transaction: Transaction, requests: list[CiphertextRequest]) -> list[bool]:
    """For each: whether its ciphertext has the place under its key, now or from before."""
    answers: dict[int, bool] = {}
    for number, one in sorted(enumerate(requests), key=lambda item: item[1].key_digest):
        values = (one.key_digest, one.ciphertext_digest, one.keep_until, one.moment)
        answers[number] = bool(transaction.run(_TAKE_PLACE, values))
    return [answers[number] for number in range(len(requests))]


def bring_pins(transaction: Transaction, pins: Iterable[Pin]) -> None:
    """Add pins that nobody has decided about; a pending one may become approved."""
    for pin in sorted(pins, key=lambda one: (one.address, one.certificate.thumbprint)):
        transaction.run(_BRING_PIN, pin_values(pin))


def pin_values(pin: Pin) -> Values:
    """The row of one pin."""
    thumbprint, der = pin.certificate.thumbprint, pin.certificate.der
    return storable(pin.address), thumbprint, der, pin.state, pin.origin, pin.at, storable(pin.note)


def _learn(transaction: Transaction, told: Iterable[Learnt]) -> None:
    for one in sorted(told, key=lambda learnt: learnt.address):
        transaction.run(_LEARN, (storable(one.address), one.capabilities, one.signing_time, one.preferred))


def forget_old(transaction: Transaction, moments: list[float]) -> list[list[str]]:
    """Remove what has had its time by each moment, and erase private keys whose overlap is over: a copy of the
    store that somebody takes later opens no container of earlier days. For each moment, the domains concerned."""
    erased = []
    for moment in moments:
        transaction.run(_FORGET_SEEN, (moment,))
        transaction.run(_FORGET_CIPHERTEXTS, (moment,))
        transaction.run(_FORGET_CHALLENGES, (moment,))
        transaction.run(_FORGET_WAITING, (moment - _WAITING_SECONDS,))
        erased.append([row[0] for row in transaction.run(_ERASE_KEYS, (moment,))])
    return erased
