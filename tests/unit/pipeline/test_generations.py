"""Messages of two generations of live data at once: what an administrator denied stays denied for the newer one.

A message holds the view with which it began, and waits for the store and the network while others come and go. Whatever
is kept between messages belongs to one generation, so an older message must not put its own in the place of the newer
one's, nor the other way round.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.address import parse_path
from ime_gateway.mail.message import parse_message
from ime_gateway.pipeline.open_up import Opener
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.signing_keys import SigningKeys
from ime_gateway.pipeline.verdicts import Verdicts
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.keyring import KeptKey
from ime_gateway.settings.site import ManagedDomain, Policy
from tests.core import close, person
from tests.doubles.memory_revocations import MemoryRevocations, Network
from tests.incoming_world import BOB, CANARY, KIM, incoming
from tests.pki import NOW, Entity, make_ca, make_user
from tests.revocation import make_crl, points
from tests.smime_mail import mail, signed, text_entity

MOMENT = NOW.timestamp()
CRL = "http://crl.example/a.crl"


@dataclass
class World:
    """Two views: in the older one alice is as good as bob, in the newer one she is denied."""

    ca: Entity = field(default_factory=lambda: make_ca("Issuing CA"))
    net: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.alice = make_user("alice@acme.example", self.ca)
        self.bob = make_user("bob@acme.example", self.ca, extra=[points(CRL)])
        managed = {
            "acme.example": ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:25", sign_outgoing="always")
        }
        self.older = SiteView(1, Policy(), managed, {}, roots=(self.ca.certificate,))
        denied = self.alice.certificate.thumbprint
        self.newer = replace(self.older, generation=2, trust={denied: TrustEntry(denied, "deny")})
        self.worker = Revocations(MemoryRevocations(), self.net, self, 30.0, 30.0)

    def now(self) -> float:
        return MOMENT


def run(work: Awaitable[Any]) -> Any:
    async def go() -> Any:
        return await work

    return asyncio.run(go())


@pytest.fixture
def world() -> World:
    return World()


def test_an_older_message_brings_no_verdict_back(world: World) -> None:
    verdicts = Verdicts(world.worker)
    alice, bob = world.alice.certificate, world.bob.certificate

    async def go() -> None:
        world.net.held[CRL] = asyncio.Event()
        world.net.gives[CRL] = make_crl(world.ca)
        newer = asyncio.create_task(verdicts.prepare([(alice, "personal"), (bob, "personal")], world.newer, MOMENT))
        await world.net.arrivals.get()
        older = await verdicts.prepare([(alice, "personal")], world.older, MOMENT)
        assert older.verdict(alice, "personal", MOMENT).usable, "it began before the denial"
        world.net.held[CRL].set()
        judging = await newer
        assert judging.verdict(alice, "personal", MOMENT).reason is Reason.CERTIFICATE_DENIED
        assert judging.verdict(bob, "personal", MOMENT).usable
        assert older.verdict(alice, "personal", MOMENT).usable

    run(go())


@dataclass
class Keys:
    """A keyring whose answers wait."""

    kept: tuple[KeptKey, ...]
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    holds: bool = True

    async def of_people(self, names: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        if self.holds:
            self.holds = False
            self.asked.set()
            await self.waits.wait()
        return dict.fromkeys(names, self.kept)

    async def of_domains(self, names: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        return {}


def test_an_older_message_brings_no_signing_key_back(world: World) -> None:
    data = b"From: alice@acme.example\r\nTo: zoe@elsewhere.example\r\n\r\nhello\r\n"
    alice = parse_path("alice@acme.example")
    prepared = Prepared(parse_message(data), alice, (), "outgoing", "inside")
    der = world.alice.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    async def go() -> None:
        keys = Keys((KeptKey(alice.key, world.alice.certificate, der),))
        signing = SigningKeys(cast(Any, keys), world.worker)
        newer = asyncio.create_task(signing.gather(prepared, (), world.newer, MOMENT))
        await keys.asked.wait()
        older, _ = await signing.gather(prepared, (), world.older, MOMENT)
        assert [one.usable for one in older.personal] == [True]
        keys.waits.set()
        facts, _ = await newer
        assert [one.reason for one in facts.personal] == [Reason.CERTIFICATE_DENIED]

    run(go())


@dataclass
class Meanwhile:
    """A directory that another message overtakes: it renews what the opener keeps, for an older view."""

    directory: Any
    opener: Opener
    older: SiteView

    async def certificates(self, view: SiteView, addresses: Sequence[str]) -> Mapping[str, tuple[Certificate, ...]]:
        await self.opener._renew(self.older)
        return cast(Mapping[str, tuple[Certificate, ...]], await self.directory.certificates(view, addresses))


def test_an_older_message_brings_no_signer_back(tmp_path: Path) -> None:
    incoming_world = incoming(tmp_path)
    core = incoming_world.core
    data = mail(signed(text_entity(CANARY), person(KIM)), KIM, BOB)
    _, copies = incoming_world.arrive(data, BOB)
    assert "X-IMEGW-Signature" in copies[BOB].head and "denied" not in copies[BOB].head

    async def view() -> SiteView:
        return cast(SiteView, await core.store.directory.view())

    older = asyncio.run(view())
    incoming_world.configure(lambda live: live.put_trust(TrustEntry(person(KIM).certificate.thumbprint, "deny")))
    opener = core.receiver.planner.opener
    overtaken = replace(opener)
    overtaken.directory = cast(Any, Meanwhile(opener.directory, overtaken, older))
    core.receiver = replace(core.receiver, planner=replace(core.receiver.planner, opener=overtaken))
    _, copies = incoming_world.arrive(data, BOB)
    close(core)
    assert "denied" in copies[BOB].head
