"""`explain` from the roof: the relay table, then the same planning as for real mail, then nothing.

It answers what a peer would hear and what each recipient would get, without sending or storing.
"""

from collections.abc import Sequence
from typing import assert_never

from ime_gateway.app.assemble import build_directories, build_planner
from ime_gateway.app.installation import Installation
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.pipeline.container.ledger import ReadingLedger
from ime_gateway.pipeline.container.outcomes import (
    Answer,
    AnsweredBefore,
    ContainerVerdict,
    Duplicate,
    Question,
    RefusedContainer,
)
from ime_gateway.pipeline.exchange.reader import ExchangeMail
from ime_gateway.pipeline.ime_addresses import ime_version, relay_facts
from ime_gateway.pipeline.planning import Planned, refusal_of
from ime_gateway.policy.explain import Explanation, explain, explain_refusal
from ime_gateway.policy.facts import Direction
from ime_gateway.policy.plan import Plan
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import SessionInfo, Submission, SubmittedRecipient
from ime_gateway.settings.model import Listener
from ime_gateway.smtp.relay_permission import may_connect, may_relay
from ime_gateway.smtp.replies import reply_for


class Explainer:
    """Explains messages against the live data of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._planner = build_planner(
            installation,
            ReadingLedger(installation.store.containers),
            directories=build_directories(installation.settings),
        )

    async def __call__(
        self, data: bytearray, listener: Listener, sender: str, recipients: Sequence[str], peer: str, moment: float
    ) -> Explanation:
        """What would happen now. Raises UserError for an address that is none, StoreUnavailable."""
        submission = _submission(data, listener, sender, recipients, peer, moment)
        view = await self._installation.store.directory.view()
        ime = ime_version(submission, view, self._planner.pseudo_recipient)
        direction = _direction(listener, submission, view)
        refused = self._at_the_door(submission, listener, view)
        if refused is None:
            planned = await self._planner.plan(submission, view)
            if isinstance(planned, Planned):
                refusal = refusal_of(planned)
                reply = reply_for(refusal) if refusal is not None else None
                prepared = planned.prepared
                hidden = prepared.hide_subject
                later = refusal is not None and refusal.temporary
                return explain(
                    prepared.direction, prepared.ime, planned.plan, reply, hide_subject=hidden, temporary=later
                )
            if isinstance(planned, ExchangeMail):
                told: Refused | str = _told_of_exchange(planned)
            else:
                told = planned if isinstance(planned, Refused) else _told_of(planned)
            if isinstance(told, str):
                taken = explain(direction, ime, Plan("deliver", ()), None, hide_subject=False)
                return {**taken, "note": told}
            refused = told
        return explain_refusal(direction, ime, reply_for(refused), temporary=refused.temporary)

    def _at_the_door(self, submission: Submission, listener: Listener, view: SiteView) -> Refused | None:
        """Connection and relay table, as the session asks them."""
        peer = submission.session.peer_ip
        if not may_connect(listener.role, listener.allow, peer):
            return Refused(Reason.RELAY_DENIED, f"{peer} is not in allow of listener {listener.name}")
        smtp = self._installation.settings.smtp
        if len(submission.data) > smtp.max_message_bytes:
            return Refused(
                Reason.TOO_LARGE, f"{len(submission.data)} bytes, at most {smtp.max_message_bytes} are taken"
            )
        facts = relay_facts(view, self._planner.pseudo_recipient)
        for entry in submission.recipients:
            refused = may_relay(listener.role, submission.sender, entry.address, facts, listener.relay_senders)
            if refused is not None:
                return refused
        return None


def _told_of(verdict: ContainerVerdict) -> Refused | str:
    """What the peer would hear of a container that is no message to deliver; or why it hears 250, and nothing is
    sent."""
    match verdict:
        case RefusedContainer():
            return verdict.refusal
        case Question():
            detail = "the mailbox would be asked whether this signer is its own"
            return Refused(Reason.IME_SIGNER_UNKNOWN, detail, temporary=True, address=str(verdict.person))
        case Answer():
            return "it answers a question about a signer, who would be confirmed; nothing would be sent"
        case AnsweredBefore():
            return "it answers a question that is answered; nothing would be sent"
        case Duplicate():
            return f"this container was accepted before as {verdict.message}; nothing would be sent again"
        case _:
            assert_never(verdict)


def _told_of_exchange(mail: ExchangeMail) -> str:
    """What the gateway itself would read out of mail to an exchange address."""
    signer = mail.signer.thumbprint if mail.signer is not None else f"nobody: {mail.fault}"
    sealed = "encrypted" if mail.encrypted else "in clear"
    return f"it is for the gateway itself ({Reason.KEY_EXCHANGE}): {sealed}, signed by {signer}; nobody would get it"


def _submission(
    data: bytearray, listener: Listener, sender: str, recipients: Sequence[str], peer: str, moment: float
) -> Submission:
    unique = {address.key: address for address in map(_address, recipients)}
    return Submission(
        session=SessionInfo(listener.name, listener.role, peer, helo="explain"),
        sender=_address(sender) if sender else None,
        recipients=tuple(SubmittedRecipient(address) for address in unique.values()),
        data=data,
        received_at=moment,
    )


def _address(text: str) -> Address:
    try:
        return parse_path(text)
    except UnreadableMail as error:
        raise UserError(f"{text!r} is not an address: {error}") from error


def _direction(listener: Listener, submission: Submission, view: SiteView) -> Direction:
    if listener.role == "internet":
        return "incoming"
    inside = all(entry.address.domain in view.managed for entry in submission.recipients)
    return "internal" if inside else "outgoing"
