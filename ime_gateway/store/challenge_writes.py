"""Inside the transactions of IME 2.0: a question is asked once, answered once, and not missed when it was lost.

A challenge is written with the mail that asks it. When that mail cannot be delivered, the challenge goes in the
transaction that settles the mail, so that nobody waits for an answer to what was never read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ime_gateway.ports.containers import MOST_PENDING, Asking, Challenge, Pin
from ime_gateway.store.container_writes import bring_pins, lock_person, pin_states, pin_values
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.parcel_writes import insert_events, insert_parcels
from ime_gateway.store.rows import ParcelRows, Values, storable

_CONFIRM_PIN = (
    "INSERT INTO signer_pins (address, thumbprint, der, state, origin, at, note) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (address, thumbprint) DO UPDATE SET state = excluded.state, origin = excluded.origin,"
    " at = excluded.at, note = excluded.note WHERE signer_pins.state <> 'revoked' RETURNING state"
)
_OPEN_CHALLENGES = "SELECT thumbprint, sent_at FROM challenges WHERE address = ? AND expires_at > ?"
_FORGET_ONE = "DELETE FROM challenges WHERE address = ? AND thumbprint = ?"
_ASK = (
    "INSERT INTO challenges (token_hash, address, thumbprint, der, sent_at, expires_at, message)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_USE_UP = (
    "DELETE FROM challenges WHERE token_hash = ? AND address = ? AND thumbprint = ? AND expires_at > ?"
    " RETURNING token_hash"
)
_FORGET_LOST = "DELETE FROM challenges WHERE message IN ({list}) RETURNING address, thumbprint, message"
_NOTE = "UPDATE signer_pins SET note = ? WHERE address = ? AND thumbprint = ? AND state = 'pending'"
_LONGEST_NOTE = 300


@dataclass(frozen=True, slots=True)
class ChallengeRequest:
    """A challenge with the mail that asks it."""

    challenge: Challenge
    mail: ParcelRows
    message: str
    """Id of the mail."""
    most_open: int
    renew_before: float
    """An open one that was sent then or earlier is asked again; seconds since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An answered challenge."""

    token_hash: str
    pin: Pin
    events: list[Values] = field(default_factory=list)


def insert_challenges(transaction: Transaction, requests: list[ChallengeRequest]) -> list[Asking]:
    """Ask each challenge unless it is asked already, the person has too many, or the signer is decided about."""
    answers: dict[int, Asking] = {}
    for number, request in sorted(enumerate(requests), key=lambda one: one[1].challenge.address):
        answers[number] = _ask(transaction, request)
    asked = [request.mail for number, request in enumerate(requests) if answers[number].why == "asked"]
    insert_parcels(transaction, asked)
    return [answers[number] for number in range(len(requests))]


def _ask(transaction: Transaction, request: ChallengeRequest) -> Asking:
    challenge = request.challenge
    address, thumbprint = storable(challenge.address), challenge.certificate.thumbprint
    lock_person(transaction, address)  # two nodes must not both find room for the last one
    states = pin_states(transaction, address)
    if states.get(thumbprint) == "revoked":
        return Asking("revoked")
    if states.get(thumbprint) == "approved":  # by the answer to an earlier question, a moment ago
        return Asking("approved")
    waiting: dict[str, float] = dict(transaction.run(_OPEN_CHALLENGES, (address, challenge.sent_at)))
    if thumbprint in waiting and waiting[thumbprint] > request.renew_before:
        return Asking("open", sent_at=waiting[thumbprint], pinned=thumbprint in states)
    if thumbprint not in waiting and len(waiting) >= request.most_open:
        return Asking("full", unanswered=len(waiting), pinned=_wait(transaction, challenge, states))
    transaction.run(_FORGET_ONE, (address, thumbprint))
    times = challenge.sent_at, challenge.expires_at
    transaction.run(
        _ASK, (challenge.token_hash, address, thumbprint, challenge.certificate.der, *times, request.message)
    )
    pinned = _wait(transaction, challenge, states)
    transaction.run(_NOTE, ("", address, thumbprint))  # whatever became of an earlier question
    return Asking("asked", pinned=pinned)


def _wait(transaction: Transaction, challenge: Challenge, states: Mapping[str, str]) -> bool:
    """Keep the signer for an administrator to decide about; False when too many wait already."""
    if challenge.certificate.thumbprint in states:
        return True
    if sum(state == "pending" for state in states.values()) >= MOST_PENDING:
        return False
    bring_pins(transaction, [Pin(challenge.address, challenge.certificate, "pending", "challenged", challenge.sent_at)])
    return True


def forget_lost(transaction: Transaction, notes: Mapping[str, str]) -> None:
    """Questions whose mail was lost are asked anew when the container comes again. notes: why, by id of the mail."""
    for address, thumbprint, message in sorted(map(tuple, transaction.run_for(_FORGET_LOST, sorted(notes)))):
        transaction.run(_NOTE, (storable(notes[message])[:_LONGEST_NOTE], address, thumbprint))


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
