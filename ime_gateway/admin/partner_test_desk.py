"""The self-test with a partner: one mail there, one answer back, both directions proved or the fault named.

A gateway of our kind answers by itself. Any other partner's answer is written by a person, and their gateway
encrypts and signs it as it would any mail: then the way back is proved, and for the way there the person's word stands.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ime_gateway.admin.managed_names import managed_named
from ime_gateway.admin.partner_mail import Writer, partner_named, settings_of, signing_key
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.admin.waiting_certificates import waiting_notes
from ime_gateway.base.errors import UnreadableMail, UserError
from ime_gateway.ime.challenge import new_token, token_hash
from ime_gateway.keys.exchange_note import SelfTestRequest
from ime_gateway.keys.partner_test import sent_report
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import TEST_KEPT_SECONDS, Outbox, PartnerTest
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import PartnerDomain

Result = dict[str, object]
_UNDELIVERED: Final = {
    "deferred": "our mail could not be delivered yet and waits for another attempt",
    "failed": "our mail could not be delivered",
}
"""Words for what tracking says of a mail that did not get there."""


@dataclass(frozen=True, slots=True)
class BegunTest:
    """A self-test whose mail is queued."""

    token_hash: str
    partner: str
    domain: str
    recipient: str
    by_hand: bool
    """It went to a person, not to the partner's exchange address."""


class PartnerTestDesk:
    """The desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, outbox: Outbox, writer: Writer) -> None:
        self._registry = registry
        self._outbox = outbox
        self._writer = writer

    async def begin(self, partner: str, actor: str, *, domain: str = "", to: str = "") -> BegunTest:
        """Send the test mail, signed and encrypted. Raises UserError, saying what is missing and which certificates
        of the partner wait for approval; nothing is sent then.

        domain: which of ours asks; empty: the only one with an exchange_address. to: a person at a partner without a
        gateway of our kind; empty: the partner's exchange address.
        """
        try:
            return await self._begun(partner, actor, domain, to)
        except UserError as error:
            with self._registry.transaction(write=False) as live:
                waiting = waiting_notes(live, partner.strip().lower())
            raise UserError("\n".join([str(error), *waiting]), error.evidence) from None

    async def _begun(self, partner: str, actor: str, domain: str, to: str) -> BegunTest:
        moment = self._writer.clock.now()
        with self._registry.transaction(write=False) as live:
            view = live.view()
            theirs = partner_named(view, partner)
            ours = _asking_domain(view, domain)
            key = signing_key(live, ours)
            recipient = _recipient(view, theirs, to)
        token = new_token(self._writer.randomness)
        note = SelfTestRequest(ours, theirs.name, token, moment)
        mail, reader = self._writer.write(
            view,
            key,
            ours,
            theirs,
            recipient,
            note,
            (),
            subject=f"Encryption self-test of {ours} and {theirs.name}",
            text=_TEXT.format(domain=ours, partner=theirs.name, token=token),
            detail=f"self-test with {theirs.name}",
            must_encrypt=True,
        )
        begun = BegunTest(token_hash(token), theirs.name, ours, str(recipient), bool(to))
        encrypted_to = reader.thumbprint if reader is not None else ""
        # It is there before its mail goes, so that no answer can come too early.
        self._put(begun, sent_report(mail.id, str(recipient), encrypted_to, key.certificate.thumbprint), moment, actor)
        await self._outbox.send(mail, moment)
        return begun

    def result(self, hashed: str) -> Result:
        """What is known of a test now, for programs and people."""
        with self._registry.transaction(write=False) as live:
            test = live.partner_tests.found(hashed)
            if test is None:
                raise UserError("there is no such self-test")
            waiting = waiting_notes(live, test.partner) if test.state != "passed" else []
        return self._result(test, waiting)

    def last(self, partner: str) -> Result:
        """The newest of our tests with a partner; raises UserError when there is none."""
        for one in self.results(partner):
            if one["state"] != "answered":
                return one
        raise UserError(f"there was no self-test with {partner} yet; begin one: ime-gateway domain test {partner}")

    def results(self, partner: str, limit: int = 100) -> list[Result]:
        """Tests with one partner, the newest first; theirs that we answered, too."""
        with self._registry.transaction(write=False) as live:
            name = partner_named(live.view(), partner).name
            tests = live.partner_tests.rows(name, limit)
            waiting = waiting_notes(live, name)
        return [self._result(test, waiting) for test in tests]

    def _result(self, test: PartnerTest, waiting: Sequence[str]) -> Result:
        """`waiting`: what is to be said of certificates that wait, unless it passed."""
        told = json.loads(test.result)
        found: Result = {"partner": test.partner, "domain": test.domain, "state": test.state, "at": rfc3339(test.at)}
        if test.state == "answered":
            return {**found, **told}
        there = dict(told["there"])
        there["delivery"], there["delivery_detail"] = self._delivery(str(there["id"]))
        here = told["here"]
        if isinstance(here, dict):
            here = here | {"at": rfc3339(here["at"])}
        problems = list(told["problems"])
        if test.state == "waiting" and there["delivery"] in _UNDELIVERED:
            detail = f": {there['delivery_detail']}" if there["delivery_detail"] else ""
            problems.append(f"{_UNDELIVERED[there['delivery']]}{detail}")
        if test.state != "passed":
            problems += waiting
        return found | {"there": there, "here": here, "problems": problems}

    def _delivery(self, message: str) -> tuple[str, str]:
        """How far the mail came: `queued`, or the last thing that tracking tells."""
        events = [event for event in self._registry.events(id=message) if event.event != "accepted"]
        return (events[-1].event, events[-1].detail) if events else ("queued", "")

    def _put(self, begun: BegunTest, report: Mapping[str, object], moment: float, actor: str) -> None:
        test = PartnerTest(
            *(begun.token_hash, begun.partner, begun.domain, "waiting", json.dumps(report)),
            moment,
            moment + TEST_KEPT_SECONDS,
        )
        with self._registry.transaction(write=True) as live:
            live.partner_tests.begin(test)
            live.audit(actor, "partner-test", f"{begun.domain} with {begun.partner}")


def _asking_domain(view: SiteView, domain: str) -> str:
    able = sorted(name for name, managed in view.managed.items() if managed.exchange_address)
    name = managed_named(view, domain) if domain else able[0] if len(able) == 1 else ""
    if not name:
        if not able:
            raise UserError(
                "no managed domain has an exchange_address to take the answer; set one in SITE.toml, as in"
                ' exchange_address = "key-exchange@acme.example"'
            )
        raise UserError(f"several domains could ask; say which: --from {' or --from '.join(able)}")
    if name not in able:
        raise UserError(f"{name} has no exchange_address to take the answer; set one in SITE.toml")
    return name


def _recipient(view: SiteView, partner: PartnerDomain, to: str) -> Address:
    if not to:
        known = settings_of(view, partner).exchange_address.value
        if not known:
            raise UserError(
                f"{partner.name} has no exchange_address; set it if the partner has this product, else send the test"
                f" to a person there: --to SOMEBODY@{partner.name}"
            )
        return parse_path(known)
    try:
        address = parse_path(to.strip())
    except UnreadableMail as error:
        raise UserError(f"{to!r} is no mail address: {error}") from None
    if address.domain != partner.name:
        raise UserError(f"{address} is not at {partner.name}")
    return address


_TEXT = """\
Hello,

this is a self-test of mail encryption between {domain}
and {partner}. It was sent signed and encrypted.

If your gateway knows such tests it has answered by itself, and
nobody needs to do anything.

If you, a person, can read this, the way to you works. Please reply
to this mail and leave this line in your reply:

    {token}

Your gateway should encrypt and sign the reply as it does all mail
to {domain}; then the way back is proved, too. If this
mail was shown to you without a word that it came encrypted and
signed, please tell us.
"""
