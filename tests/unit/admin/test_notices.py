"""What is told administrators: claimed by one node, and told again when that node died before it was sent."""

import asyncio
import os
from typing import Any

import pytest

from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.admin.notice_desk import NoticeDesk
from ime_gateway.admin.notices import administrators, claim, confirm
from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.exchange import OwnMail
from ime_gateway.ports.incoming import Candidate
from ime_gateway.ports.registry import Registry
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.pki import DAY, NOW, make_user

HOUR = 3600.0
MOMENT = NOW.timestamp()
AUTHORITY = "domain-confidentiality-authority@acme.example"


class Outbox:
    """Keeps what it was given; `meanwhile` happens before, on another node."""

    def __init__(self) -> None:
        self.mails: list[OwnMail] = []
        self.meanwhile: Any = None
        self.broken = False

    async def send(self, mail: OwnMail, moment: float) -> None:
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            await act()
        if self.broken:
            raise StoreUnavailable("the power went")
        self.mails.append(mail)


@pytest.fixture
def site(registry: Registry) -> Registry:
    """Anna is told; one certificate ends, one waits."""
    key, bob = make_user(AUTHORITY, not_after=NOW + 5 * DAY), make_user("bob@p.example")
    with registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx"), ())
        live.put_policy(Policy(administrators=("anna@acme.example", "no address", "eve@elsewhere.example")))
        live.domain_keys.put("acme.example", key.certificate, key.key_der, "current")
        live.candidates.bring(
            Candidate("bob@p.example", "person", bob.certificate, "harvested", "bob@p.example", "<1@x>", "", MOMENT)
        )
    return registry


def node(kind: str, registry: Registry, outbox: Outbox, clock: Any) -> Any:
    """What a node does every hour, of one kind of notice."""
    if kind == "candidates":
        return NoticeDesk(registry, outbox, clock, os.urandom, "gw").tell_of_candidates
    desk = ExpiryDesk(registry, outbox, clock, os.urandom, "gw")

    async def hour() -> None:
        await desk.tell(desk.due())

    return hour


@pytest.mark.parametrize("kind", ["candidates", "expiry"])
def test_two_nodes_tell_once(kind: str, site: Registry, clock: Any) -> None:
    outbox = Outbox()
    outbox.meanwhile = node(kind, site, outbox, clock)
    asyncio.run(node(kind, site, outbox, clock)())
    assert [str(mail.recipient) for mail in outbox.mails] == ["anna@acme.example"]


@pytest.mark.parametrize("kind", ["candidates", "expiry"])
def test_a_crash_between_claim_and_mail_loses_nothing(kind: str, site: Registry, clock: Any) -> None:
    outbox = Outbox()
    outbox.broken = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(node(kind, site, outbox, clock)())
    outbox.broken = False
    clock.moment += HOUR
    for _ in range(2):
        asyncio.run(node(kind, site, outbox, clock)())
    assert len(outbox.mails) == 1


def test_a_claim_is_one_nodes_until_it_ends(site: Registry) -> None:
    with site.transaction(write=True) as live:
        assert claim(live, ["a", "b", "a"], MOMENT) == {"a", "b"}
        confirm(live, {"b": MOMENT + 9 * HOUR})
    with site.transaction(write=True) as live:
        assert claim(live, ["a", "b", "c"], MOMENT) == {"c"}
        assert claim(live, ["a", "b"], MOMENT + HOUR) == {"a"}


def test_nobody_outside_is_told(site: Registry) -> None:
    with site.transaction(write=False) as live:
        assert [str(one) for one in administrators(live.view())] == ["anna@acme.example"]
