"""Inside the transactions of IME 2.0: a container is acted upon once, a challenge is asked and answered once.

What a container leaves behind (its replay key, pins, what was learnt) is written with the queue rows that it
becomes, so that a lost reply, a dead worker or a second node never lets it through twice nor loses it. Two
workers that bring the same container meet at the primary key of `containers_seen`; rows of several messages are
written in the order of their keys, so that two nodes never wait for each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ime_gateway.ports.containers import Challenge, ContainerRecord, Learnt, Pin
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.parcel_writes import insert_events, insert_parcels
from ime_gateway.store.rows import ParcelRows, Values, storable

# A key whose time is over counts as new: it may be that nobody has swept it yet.
_SEE = (
    "INSERT INTO containers_seen (replay_key, sender, message, at, keep_until) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (replay_key) DO UPDATE SET sender = excluded.sender, message = excluded.message, at = excluded.at,"
    " keep_until = excluded.keep_until WHERE containers_seen.keep_until <= ? RETURNING message"
)
_SEEN_BY = "SELECT message FROM containers_seen WHERE replay_key = ?"
# A pin that a container brings never overrules an administrator, neither his yes nor his no.
_BRING_PIN = (
    "INSERT INTO signer_pins (address, thumbprint, der, state, origin, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (address, thumbprint) DO UPDATE SET state = excluded.state, origin = excluded.origin,"
    " at = excluded.at, note = excluded.note WHERE signer_pins.state = 'pending' AND excluded.state = 'approved'"
)
_CONFIRM_PIN = (
    "INSERT INTO signer_pins (address, thumbprint, der, state, origin, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (address, thumbprint) DO UPDATE SET state = excluded.state, origin = excluded.origin,"
    " at = excluded.at, note = excluded.note WHERE signer_pins.state <> 'revoked' RETURNING state"
)
_PIN_STATE = "SELECT state FROM signer_pins WHERE address = ? AND thumbprint = ?"
_LEARN = (
    "INSERT INTO learnt (address, capabilities, signing_time, preferred) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (address) DO UPDATE SET capabilities = excluded.capabilities,"
    " signing_time = excluded.signing_time, preferred = excluded.preferred"
    " WHERE learnt.signing_time < excluded.signing_time"
)
_LOCK_PERSON = "SELECT pg_advisory_xact_lock(hashtextextended(?, 4724802))"
_OPEN_CHALLENGES = "SELECT thumbprint FROM challenges WHERE address = ? AND expires_at > ?"
_ASK = "INSERT INTO challenges (token_hash, address, thumbprint, der, sent_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
_USE_UP = (
    "DELETE FROM challenges WHERE token_hash = ? AND address = ? AND thumbprint = ? AND expires_at > ?"
    " RETURNING token_hash"
)
_FORGET_SEEN = "DELETE FROM containers_seen WHERE keep_until <= ?"
_FORGET_CHALLENGES = "DELETE FROM challenges WHERE expires_at <= ?"
_ERASE_KEYS = (
    "UPDATE ime_keys SET sealed_private_key = NULL"
    " WHERE opens_until <= ? AND sealed_private_key IS NOT NULL RETURNING domain"
)

Taken = Literal["new", "own", "seen"]
"""Enqueued now; enqueued before by this very call, whose answer was lost; seen in another message."""


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
class ChallengeRequest:
    """A challenge with the mail that asks it."""

    challenge: Challenge
    mail: ParcelRows
    most_open: int


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An answered challenge."""

    token_hash: str
    pin: Pin
    events: list[Values] = field(default_factory=list)


def insert_containers(transaction: Transaction, requests: list[ContainerRequest]) -> list[Taken]:
    """Insert what is new with all that belongs to it; nothing of what was seen before."""
    answers: dict[int, Taken] = {}
    for number, request in sorted(enumerate(requests), key=lambda one: one[1].record.replay_key):
        answers[number] = _see(transaction, request)
    fresh = [request for number, request in enumerate(requests) if answers[number] == "new"]
    insert_parcels(transaction, [request.parcels for request in fresh])
    bring_pins(transaction, (pin for request in fresh for pin in request.record.pins))
    _learn(transaction, (request.record.learnt for request in fresh if request.record.learnt is not None))
    return [answers[number] for number in range(len(requests))]


def _see(transaction: Transaction, request: ContainerRequest) -> Taken:
    record = request.record
    values = (record.replay_key, storable(record.sender), request.message, request.at, record.keep_until)
    if transaction.run(_SEE, (*values, request.moment)):
        return "new"
    known = transaction.run(_SEEN_BY, (record.replay_key,))
    return "own" if known and known[0][0] == request.message else "seen"


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


def insert_challenges(transaction: Transaction, requests: list[ChallengeRequest]) -> list[bool]:
    """Ask each challenge unless it is asked already, the person has too many, or the signer was revoked."""
    answers: dict[int, bool] = {}
    for number, request in sorted(enumerate(requests), key=lambda one: one[1].challenge.address):
        answers[number] = _ask(transaction, request)
    asked = [request for number, request in enumerate(requests) if answers[number]]
    insert_parcels(transaction, [request.mail for request in asked])
    pins = (_pending(request.challenge) for request in asked)
    bring_pins(transaction, pins)
    return [answers[number] for number in range(len(requests))]


def _ask(transaction: Transaction, request: ChallengeRequest) -> bool:
    challenge = request.challenge
    address, thumbprint = storable(challenge.address), challenge.certificate.thumbprint
    if transaction.dialect.name == "postgresql":  # two nodes must not both find room for the last one
        transaction.run(_LOCK_PERSON, (address,))
    waiting = [row[0] for row in transaction.run(_OPEN_CHALLENGES, (address, challenge.sent_at))]
    if thumbprint in waiting or len(waiting) >= request.most_open:
        return False
    if any(row[0] == "revoked" for row in transaction.run(_PIN_STATE, (address, thumbprint))):
        return False
    transaction.run(
        _ASK,
        (
            challenge.token_hash,
            address,
            thumbprint,
            challenge.certificate.der,
            challenge.sent_at,
            challenge.expires_at,
        ),
    )
    return True


def _pending(challenge: Challenge) -> Pin:
    return Pin(challenge.address, challenge.certificate, "pending", "challenged", challenge.sent_at)


def confirm_challenges(transaction: Transaction, confirmations: list[Confirmation]) -> list[bool]:
    """Use up each challenge and store its pin, unless it was used up or the signer was revoked meanwhile."""
    return [_confirm(transaction, confirmation) for confirmation in confirmations]


def _confirm(transaction: Transaction, confirmation: Confirmation) -> bool:
    pin = confirmation.pin
    asked = (confirmation.token_hash, storable(pin.address), pin.certificate.thumbprint, pin.at)
    if not transaction.run(_USE_UP, asked):
        return False
    if not transaction.run(_CONFIRM_PIN, pin_values(pin)):
        return False
    insert_events(transaction, [confirmation.events])
    return True


def forget_old(transaction: Transaction, moments: list[float]) -> list[list[str]]:
    """Remove what has had its time by each moment, and erase private keys whose overlap is over: a copy of the
    store that somebody takes later opens no container of earlier days. For each moment, the domains concerned."""
    erased = []
    for moment in moments:
        transaction.run(_FORGET_SEEN, (moment,))
        transaction.run(_FORGET_CHALLENGES, (moment,))
        erased.append([row[0] for row in transaction.run(_ERASE_KEYS, (moment,))])
    return erased
