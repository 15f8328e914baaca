"""Tells partners by signed mail which certificate of ours comes next, ahead of its use.

The current key signs, the next certificate goes along: a partner who trusts the one can take the other, by hand or by
itself, before anything is encrypted to a key that is gone (issue: nothing expires by surprise).
"""

import asyncio
from dataclasses import dataclass

from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.managed_names import managed_named
from ime_gateway.admin.partner_mail import Writer, partner_named, settings_of, signing_key
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.exchange_note import Announcement
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.exchange import Outbox, OwnMail
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import PartnerDomain
from ime_gateway.smime.sign import SigningKey

_TRY_AGAIN_SECONDS = DAY_SECONDS


@dataclass(frozen=True, slots=True)
class Announced:
    """What became of the announcement to one partner."""

    partner: str
    recipient: str
    message: str
    """The id under which tracking knows the mail; empty: it was not sent."""
    problem: str
    """Why not."""


@dataclass(frozen=True, slots=True)
class _Ready:
    view: SiteView
    key: SigningKey
    following: Certificate
    partners: tuple[PartnerDomain, ...]


class AnnounceDesk:
    """The desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, outbox: Outbox, writer: Writer) -> None:
        self._registry = registry
        self._outbox = outbox
        self._writer = writer

    async def announce(self, domain: str, actor: str, to: str = "") -> list[Announced]:
        """Write to one partner, or to all that have an exchange address. Raises UserError when there is nothing to
        announce or nobody to tell; what goes wrong with one of several partners stands in its line."""
        ready = await asyncio.to_thread(self._ready, domain, to)
        name = ready.view.managed[managed_named(ready.view, domain)].name
        told = [await self._tell(name, partner, ready) for partner in ready.partners]
        if any(one.message for one in told):
            await asyncio.to_thread(self._note, name, ready, told, actor)
        return told

    async def announce_due(self, actor: str) -> list[Announced]:
        """Announce every next key that nobody was told of yet, trying once a day; what cannot be sent stands in its
        line. Safe on several nodes at once."""
        told: list[Announced] = []
        for domain in await asyncio.to_thread(self._claimed):
            try:
                told += await self.announce(domain, actor)
            except UserError as error:
                told.append(Announced("", "", "", f"{domain}: {error}"))
        return told

    def _claimed(self) -> list[str]:
        """Domains whose next key is to be announced now, and by nobody else today."""
        now = self._writer.clock.now()
        with self._registry.transaction(write=False) as live:
            waiting = [one for one in live.domain_keys.list() if one.state == "next" and one.announced_at is None]
            if not waiting or not _with_exchange_address(live.view()):
                return []
        with self._registry.transaction(write=True) as live:
            live.notices.forget(now)
            names = {key.domain: f"announcement of {key.certificate.thumbprint}" for key in waiting}
            return [domain for domain, name in names.items() if live.notices.tell(name, now + _TRY_AGAIN_SECONDS)]

    def _note(self, domain: str, ready: _Ready, told: list[Announced], actor: str) -> None:
        """That partners were told."""
        with self._registry.transaction(write=True) as live:
            live.domain_keys.set_announced(domain, ready.following.thumbprint, self._writer.clock.now())
            partners = ", ".join(one.partner for one in told if one.message)
            live.audit(actor, "domain-announce", f"{domain} {ready.following.thumbprint} to {partners}")

    def _ready(self, domain: str, to: str) -> _Ready:
        with self._registry.transaction(write=False) as live:
            view = live.view()
            name = managed_named(view, domain)
            key = signing_key(live, name)
            following = next((one for one in live.domain_keys.list(name) if one.state == "next"), None)
            if following is None:
                raise UserError(f"{name} has no next key to announce; first: ime-gateway domain key rollover {name}")
            partners = (partner_named(view, to),) if to else _with_exchange_address(view)
        for partner in partners:
            if not settings_of(view, partner).exchange_address.value:
                which = following.certificate.thumbprint
                raise UserError(
                    f"nobody knows where {partner.name} takes announcements; set its exchange_address, or send the"
                    f" certificate by hand: ime-gateway domain key export {name} --key {which}"
                )
        if not partners:
            raise UserError("no partner has an exchange_address, so nobody can be told by mail")
        return _Ready(view, key, following.certificate, partners)

    async def _tell(self, domain: str, partner: PartnerDomain, ready: _Ready) -> Announced:
        recipient = parse_path(settings_of(ready.view, partner).exchange_address.value)
        try:
            # Written in a thread: it reads the store, signs and encrypts, and mail goes on meanwhile.
            mail = await asyncio.to_thread(self._written, domain, partner, recipient, ready)
        except UserError as error:
            return Announced(partner.name, str(recipient), "", str(error))
        await self._outbox.send(mail, self._writer.clock.now())
        return Announced(partner.name, str(recipient), mail.id, "")

    def _written(self, domain: str, partner: PartnerDomain, recipient: Address, ready: _Ready) -> OwnMail:
        current, following = ready.key.certificate, ready.following
        note = Announcement(domain, current.thumbprint, following.thumbprint, self._writer.clock.now())
        text = _TEXT.format(
            domain=domain,
            current=_lines(current.thumbprint),
            following=_lines(following.thumbprint),
            ends=rfc3339(current.not_after)[:10],
            until=rfc3339(following.not_after)[:10],
        )
        mail, _ = self._writer.write(
            ready.view,
            ready.key,
            domain,
            partner,
            recipient,
            note,
            (following,),
            subject=f"New encryption certificate of {domain}",
            text=text,
            detail=f"announcement of {following.thumbprint}",
        )
        return mail


def announced_json(one: Announced) -> dict[str, object]:
    """One row of `domain announce --json`."""
    return {
        "partner": one.partner,
        "recipient": one.recipient,
        "id": one.message or None,
        "problem": one.problem or None,
    }


def _with_exchange_address(view: SiteView) -> tuple[PartnerDomain, ...]:
    plain = [one for one in view.partners.values() if not one.name.startswith("*.")]
    return tuple(one for one in plain if settings_of(view, one).exchange_address.value)


def _lines(thumbprint: str) -> str:
    """The digits in four lines of four groups, to be compared by eye."""
    digits = thumbprint.removeprefix("sha256:").upper()
    fours = [digits[start : start + 4] for start in range(0, len(digits), 4)]
    return "\n".join("    " + " ".join(fours[start : start + 4]) for start in range(0, len(fours), 4))


_TEXT = """\
Hello,

the domain {domain}
changes its certificate for encrypted mail. The next one is attached
(certificates.p7c); it can be used from now on, and the current one
goes on opening mail for as long as it is under way.

Current certificate, valid to {ends} (SHA-256):
{current}

Next certificate, valid to {until} (SHA-256):
{following}

This mail is signed with the current certificate. If your gateway
understands announcements, it has noted the new certificate by
itself, or waits for you to approve it. If not: import the attached
certificate, compare its thumbprint with us by telephone, and use it
for mail to {domain}.
"""
