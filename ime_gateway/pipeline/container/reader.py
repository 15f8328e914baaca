"""IME 2.0 mail on its way in: opened, believed or not, and turned into the message that its sender wrote.

The steps have one order (threats, A, E, F): the envelope names nobody but the IME address; unlock with the keys of the
addressed domain only (P8); ask the ledger whether this ciphertext may be talked about; verify the signature over all
of it; was it here before, from somebody else? Bind carrier, envelope and inner author to one person; restore the
recipients (`container.original`); was it here before? Is it of these days? May the signer sign for the person, and name
a further one (`container.signers`)? What comes out goes on as any original (`outgoing.prepare_original`). Nothing is
written here but the ledger, and `explain`, which walks the same way, has one that only reads; what a verdict costs in
the store is carried out by `container.replies`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar, assert_never

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime.challenge import token_hash, tokens_in
from ime_gateway.ime.ciphertext import REMEMBERED_SECONDS, Ciphertext
from ime_gateway.ime.container import ContainerFault, OpenedContainer, closed, open_unlocked, unlock
from ime_gateway.ime.inner import InnerMessage, inner_message
from ime_gateway.ime.replay import dated, replay_key, too_early, too_old, written_for
from ime_gateway.ime.restore import ORIGINAL_HEADERS
from ime_gateway.ime.signers import Allowed, Denied, Unconfirmed, may_sign
from ime_gateway.mail.address import Address
from ime_gateway.mail.author import Author
from ime_gateway.mail.message import Message
from ime_gateway.pipeline.container.ledger import Ledger
from ime_gateway.pipeline.container.original import ForTheGateway, Original, read_original, same_people, to_prepared
from ime_gateway.pipeline.container.outcomes import (
    Answer,
    AnsweredBefore,
    ContainerVerdict,
    Duplicate,
    Question,
    RefusedContainer,
)
from ime_gateway.pipeline.container.signers import SignerBook
from ime_gateway.pipeline.ime_addresses import container_recipients, ime_domains, misaddressed
from ime_gateway.pipeline.owned_keys import owned_key
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.ports.containers import Containers, Pin, Seen
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import Submission, SubmittedRecipient
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.structures import CmsLimits

T = TypeVar("T")

_THREAD_BYTES = 131_072
"""Larger containers are opened and read in a thread, so that other sessions go on."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A carrier and what is known before it is opened."""

    submission: Submission
    view: SiteView
    carrier: Message
    author: Author
    sender: Address
    ime: SubmittedRecipient
    person: Address
    """Whose signature is expected: Sender if present, else From (design 6.5, fact 1)."""


@dataclass(slots=True)
class ContainerReader:
    """Reads containers; keeps the IME keys of this moment in the form that decrypts."""

    containers: Containers
    ledger: Ledger
    signers: SignerBook
    pseudo_recipient: Address
    """The IME 1.0 address: as a recipient inside a container it would nest."""
    randomness: Callable[[int], bytes]
    limits: CmsLimits = field(default_factory=CmsLimits)
    _keys: dict[str, dict[str, OwnedKey]] = field(default_factory=dict, repr=False)

    async def read(
        self, submission: Submission, carrier: Message, author: Author | None, view: SiteView
    ) -> Prepared | Refused | ContainerVerdict:
        """The message inside, ready to be decided about; or what else its mail amounts to.

        Raises StoreUnavailable.
        """
        arrived = _arrive(submission, carrier, author, view, self.pseudo_recipient)
        if isinstance(arrived, Refused):
            return arrived
        keys = await self._owned_keys(arrived)
        if not keys:
            detail = "no key is there for this IME address; the administrator issues one with `ime issue`"
            return Refused(Reason.METHOD_NOT_AVAILABLE, detail, address=str(arrived.ime.address))
        pins = await self.containers.pins(arrived.person.key)
        approved = [pin.certificate for pin in pins if pin.state == "approved"]
        known = [*approved, *await self.signers.listed(arrived.person, view)]
        unlocked = await self._heavy(arrived, lambda: unlock(carrier, keys, self.limits, self.randomness))
        if unlocked.sealed is not None and not await self._is_first(unlocked.sealed, arrived):
            return _refused(closed("another ciphertext came before under this encrypted content key"))
        if unlocked.tagged is not None:
            await self._is_first(unlocked.tagged, arrived)
        opened = await self._heavy(arrived, lambda: open_unlocked(unlocked, known, self.limits))
        if isinstance(opened, ContainerFault):
            return _refused(opened)
        return await self._judge(arrived, opened, pins)

    async def _is_first(self, sealed: Ciphertext, arrived: _Arrived) -> bool:
        """One ciphertext for each content key (`ime/ciphertext`): nobody learns anything about a second one."""
        keep_until = _moment(arrived) + REMEMBERED_SECONDS
        return await self.ledger.first_ciphertext(sealed.key_digest, sealed.ciphertext_digest, keep_until)

    async def _judge(
        self, arrived: _Arrived, opened: OpenedContainer, pins: tuple[Pin, ...]
    ) -> Prepared | Refused | ContainerVerdict:
        """From an intact signature to a verdict."""
        seen = await self.containers.seen(replay_key(opened.signature))
        if seen is not None and seen.sender != arrived.sender.key:
            return replayed()
        if arrived.sender.key not in arrived.author.keys:
            detail = "the envelope sender is neither in From nor in Sender"
            return Refused(Reason.FROM_MISMATCH, detail, address=str(arrived.sender))
        if arrived.person.domain not in arrived.view.managed:
            return Refused(Reason.SENDER_NOT_MANAGED, "the signer is not of ours", address=str(arrived.person))
        inner = await self._heavy(arrived, lambda: inner_message(opened.entity))
        if isinstance(inner, ContainerFault):
            return _refused(inner)
        if inner is not None and not same_people(inner.author, arrived.author):
            detail = "From or Sender inside the container differ from those of its carrier"
            return Refused(Reason.FROM_MISMATCH, detail, address=str(arrived.sender))
        unsealed = "the message is signed but not encrypted"
        if inner is None:
            missing = "it holds no message" if opened.encrypted else unsealed
            otherwise = Refused(Reason.IME_MALFORMED, missing, address=str(arrived.ime.address))
            return await self._answer(arrived, opened, pins, otherwise)
        original = self._original(arrived, inner)
        if isinstance(original, ForTheGateway):
            return await self._answer(arrived, opened, pins, original.otherwise)
        if isinstance(original, Refused):
            return original
        if not opened.encrypted:
            return Refused(Reason.IME_MALFORMED, unsealed, address=str(arrived.ime.address))
        return await self._container(arrived, opened, pins, original, seen)

    def _original(self, arrived: _Arrived, inner: InnerMessage) -> Original | ForTheGateway | Refused:
        domains = ime_domains(arrived.view)
        pseudo = self.pseudo_recipient.key
        return read_original(
            arrived.submission,
            inner,
            arrived.ime.address,
            lambda address: address.domain in domains or address.key == pseudo,
        )

    async def _container(
        self, arrived: _Arrived, opened: OpenedContainer, pins: tuple[Pin, ...], original: Original, seen: Seen | None
    ) -> Prepared | Refused | ContainerVerdict:
        if seen is not None:
            return Duplicate(seen.message)
        late = _out_of_time(opened, arrived) or _not_of_then(opened, original)
        if late is not None:
            return late
        verdict = await self._may_sign(arrived, opened, pins)
        match verdict:
            case Denied():
                return Refused(verdict.reason, verdict.detail, address=str(arrived.person))
            case Unconfirmed():
                return Question(arrived.person, opened.signature.certificate, arrived.ime.address)
            case Allowed():
                pass
            case _:
                assert_never(verdict)
        person, moment = arrived.person, _moment(arrived)
        endorsed = await self.signers.endorsed(person, original.signed_headers, verdict, pins, arrived.view, moment)
        if isinstance(endorsed, Refused):
            return endorsed
        record = self.signers.record(person, arrived.sender, opened.signature, verdict, endorsed, moment)
        return await self._heavy(
            arrived,
            lambda: to_prepared(
                arrived.submission, original, arrived.carrier.headers, record, arrived.sender, arrived.view
            ),
        )

    async def _answer(
        self, arrived: _Arrived, opened: OpenedContainer, pins: tuple[Pin, ...], otherwise: Refused
    ) -> Refused | ContainerVerdict:
        """A mail that is for nobody but the gateway: it must answer a question, else it is refused `otherwise`."""
        tokens = tokens_in(opened.entity)
        if not tokens:
            return otherwise
        late = _out_of_time(opened, arrived)
        if late is not None:
            return late
        if arrived.sender.key != arrived.person.key:
            return Refused(Reason.FROM_MISMATCH, "a question is answered by its mailbox", address=str(arrived.sender))
        verdict = await self._may_sign(arrived, opened, pins)
        if isinstance(verdict, Denied):
            return Refused(verdict.reason, verdict.detail, address=str(arrived.person))
        elsewhere = False  # a question to another mailbox, still open
        for token in tokens:
            challenge = await self.containers.open_challenge(token_hash(token), _moment(arrived))
            if challenge is None:
                continue
            if challenge.address != arrived.person.key:
                elsewhere = True
                continue
            if challenge.certificate != opened.signature.certificate:
                detail = "the answer is signed with another certificate than the one that was asked about"
                return Refused(Reason.IME_SIGNER_MISMATCH, detail, address=str(arrived.person))
            pin = Pin(challenge.address, challenge.certificate, "approved", "confirmed", _moment(arrived))
            return Answer(challenge.token_hash, pin)
        if isinstance(verdict, Allowed) and not elsewhere:
            return AnsweredBefore()
        detail = "the question has run out or a newer one was mailed: answer the newest, or send the message again"
        return Refused(Reason.IME_SIGNER_UNKNOWN, detail, address=str(arrived.person))

    async def _may_sign(
        self, arrived: _Arrived, opened: OpenedContainer, pins: tuple[Pin, ...]
    ) -> Allowed | Unconfirmed | Denied:
        signature = opened.signature
        await self.signers.learn(signature.certificate, signature.carried, arrived.view, _moment(arrived))
        facts = await self.signers.facts(
            signature.certificate, signature.carried, arrived.person, arrived.view, _moment(arrived)
        )
        return may_sign(facts, pins, arrived.view.managed[arrived.person.domain].ime_signers)

    async def _owned_keys(self, arrived: _Arrived) -> list[OwnedKey]:
        """The keys of the addressed IME domain, unsealed; what is no key of now is forgotten."""
        domain = ime_domains(arrived.view)[arrived.ime.address.domain]
        before = self._keys.get(domain, {})
        now: dict[str, OwnedKey] = {}
        for entry in await self.containers.ime_keys(domain, _moment(arrived)):
            name = entry.certificate.thumbprint
            now[name] = before.get(name) or owned_key(entry.certificate, entry.private_key)
        self._keys[domain] = now
        return list(now.values())

    async def _heavy(self, arrived: _Arrived, work: Callable[[], T]) -> T:
        if len(arrived.submission.data) < _THREAD_BYTES:
            return work()
        return await asyncio.to_thread(work)


def replayed() -> Refused:
    """The container was accepted before, from somebody else."""
    return Refused(Reason.IME_REPLAY, "its signed content was accepted before")


def _arrive(
    submission: Submission, carrier: Message, author: Author | None, view: SiteView, pseudo_recipient: Address
) -> _Arrived | Refused:
    """What the envelope and the carrier's header must fulfil."""
    addressed = container_recipients(submission, view)
    if submission.sender is None or author is None or submission.sender.domain not in view.managed:
        return Refused(Reason.SENDER_NOT_MANAGED, "internal encryption needs an envelope sender of ours")
    missed = misaddressed(submission, view, pseudo_recipient)
    if missed is not None:
        return missed
    beside = [entry for entry in submission.recipients if entry is not addressed[0]]
    if beside:
        # Before opening: whether the reply depends on who is named inside must never be seen (blind recipients).
        detail = "a container goes to the IME address alone; its recipients stand inside"
        return Refused(Reason.IME_MALFORMED, detail, address=str(beside[0].address))
    if any(carrier.headers.first(name) is not None for name in ORIGINAL_HEADERS):
        detail = "X-SM-ORIG headers belong to IME 1.0; a container names its recipients inside"
        return Refused(Reason.IME_MALFORMED, detail, address=str(addressed[0].address))
    return _Arrived(submission, view, carrier, author, submission.sender, addressed[0], author.responsible)


def _out_of_time(opened: OpenedContainer, arrived: _Arrived) -> Refused | None:
    """Both times are told, so that whoever has the wrong clock sees it; from the future is tried again, as our own
    clock may be the wrong one."""
    signed, moment = opened.signature.signing_time, _moment(arrived)
    said = f"signed {_minute(signed)}, the gateway's clock says {_minute(moment)}"
    if too_old(signed, moment):
        return Refused(Reason.IME_TOO_OLD, f"{said}; at most 7 days may lie between: send the message again")
    if too_early(signed, moment):
        return Refused(Reason.IME_TOO_OLD, f"{said}; one of the two is wrong", temporary=True)
    return None


def _not_of_then(opened: OpenedContainer, original: Original) -> Refused | None:
    """A signed mail with an old mail of its author attached looks like a container, and must not send that anew."""
    try:
        date = dated(original.signed_headers)
    except UnreadableMail as error:
        return Refused(Reason.IME_MALFORMED, f"the message inside: {error}")
    if written_for(date, opened.signature.signing_time):
        return None
    detail = "the message inside is dated more than 7 days from its signature; send it as a new message"
    return Refused(Reason.IME_TOO_OLD, detail)


def _minute(moment: float) -> str:
    """As ISO 8601 in UTC; in seconds where a clock is beyond all calendars."""
    try:
        return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%MZ}"
    except (OverflowError, ValueError, OSError):
        return f"at {moment:.0f} s"


def _moment(arrived: _Arrived) -> float:
    return arrived.submission.received_at


def _refused(fault: ContainerFault) -> RefusedContainer:
    return RefusedContainer(Refused(fault.reason, fault.detail), fault.evidence or fault.detail)
