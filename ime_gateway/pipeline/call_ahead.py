"""Call-ahead: unknown recipients of mail from outside are refused at RCPT, before we have accepted anything.

A gateway that accepts first and asks later reports undeliverable mail to forged senders (backscatter). So `deliver_to`
is asked, and its answers are remembered: a "yes" long, a "no" shortly, because mailboxes are made every day. Only a
plain "no such mailbox" refuses; silence, trouble and every other answer leave things as they would be without asking,
which the log says once for each outage and worker.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.recipient_probe import Knowledge, RecipientProbe
from ime_gateway.settings.site import ManagedDomain

_TROUBLE_SECONDS = 60.0
_TROUBLE: dict[Knowledge, float] = {"unsure": _TROUBLE_SECONDS, "unasked": _TROUBLE_SECONDS}
_KEPT_SECONDS: dict[Knowledge, float] = {"known": 4 * 3600.0, "unknown": 600.0, **_TROUBLE}
_SERVER_SECONDS: dict[Knowledge, float] = {"known": 4 * 3600.0, "unknown": 4 * 3600.0, **_TROUBLE}
"""How long the answer about an address that nobody has stands for its server."""
_REMEMBERED = 20_000
"""Answers; outsiders choose the addresses, so they must not choose our memory."""

log = structlog.get_logger("call-ahead")


@dataclass(slots=True)
class CallAhead:
    """What one worker knows of the recipients behind it; one event loop uses it."""

    probe: RecipientProbe
    clock: Clock
    randomness: Callable[[int], bytes]
    _answers: dict[tuple[str, str], tuple[Knowledge, float]] = field(default_factory=dict)
    """By route and address (of servers: `@domain`), with the moment until which it holds."""
    _outages: dict[tuple[str, str], float] = field(default_factory=dict)
    """Servers that cannot be asked about a domain, by route and domain, with the moment of the last vain attempt."""

    async def refusal(self, view: SiteView, recipient: Address) -> Refused | None:
        """Why a recipient in a managed domain is refused at RCPT; None to take mail for it."""
        managed = view.managed.get(recipient.domain)
        if managed is None or not managed.deliver_to.startswith("smtp://") or _ours(managed, recipient):
            return None
        route, use_tls = managed.deliver_to, view.policy.opportunistic_tls
        if not await self._tells_apart(route, recipient.domain, use_tls):
            return None
        if await self._ask(route, recipient.key, recipient, _KEPT_SECONDS, use_tls) != "unknown":
            return None
        return Refused(
            Reason.RECIPIENT_UNKNOWN,
            "the mail server of the domain says that it does not exist",
            address=str(recipient),
        )

    async def _tells_apart(self, route: str, domain: str, use_tls: bool) -> bool:
        """A server that takes an address which nobody can have takes everything; asking it would only cost."""
        nobody = Address(f"call-ahead-{self.randomness(12).hex()}", domain)
        return await self._ask(route, f"@{domain}", nobody, _SERVER_SECONDS, use_tls) == "unknown"

    async def _ask(
        self, route: str, name: str, recipient: Address, kept: dict[Knowledge, float], use_tls: bool
    ) -> Knowledge:
        remembered = self._answers.get((route, name))
        if remembered is not None and self.clock.now() < remembered[1]:
            return remembered[0]
        answer = await self.probe.ask(route, recipient, use_tls=use_tls)
        self._watch(route, name, recipient.domain, answer)
        self._answers.pop((route, name), None)  # so that it becomes the newest
        self._answers[route, name] = (answer, self.clock.now() + kept[answer])
        if len(self._answers) > _REMEMBERED:
            self._answers.pop(next(iter(self._answers)))
        return answer

    def _watch(self, route: str, name: str, domain: str, answer: Knowledge) -> None:
        """Tell the administrators once when an outage begins, and once when a minute passed without trouble.

        An odd answer about a person is about that person; about an address that nobody has it says that the server
        does not tell people apart at the moment.
        """
        server, moment = (route, domain), self.clock.now()
        if answer == "unasked" or (answer == "unsure" and name.startswith("@")):
            if server not in self._outages:
                why = "it does not answer our questions" if answer == "unasked" else "its answer tells nothing"
                meanwhile = "unknown recipients are accepted"
                log.warning(
                    "recipients cannot be asked about", server=route, domain=domain, why=why, meanwhile=meanwhile
                )
            self._outages[server] = moment
        elif server in self._outages and abs(moment - self._outages[server]) >= _TROUBLE_SECONDS:
            del self._outages[server]
            log.info("recipients can be asked about again", server=route, domain=domain)


def _ours(managed: ManagedDomain, recipient: Address) -> bool:
    """Known without asking: who answers for mail (RFC 5321 section 4.5.1), and the address that we read ourselves."""
    return recipient.local.lower() == "postmaster" or recipient.key == managed.exchange_address.lower()
