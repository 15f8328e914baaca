"""Learning about revocations: from memory, store and network, within a budget, and to the safe side."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.ocsp import OCSPCertStatus

from ime_gateway.base.reasons import Reason
from ime_gateway.certs.known_revocations import RECHECK_SECONDS, RETRY_SECONDS
from ime_gateway.certs.ocsp import question_name
from ime_gateway.certs.revocation import Link
from ime_gateway.keys.usable import Verdict, judge
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.verdicts import Verdicts
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.revocation import OwnAuthorities
from ime_gateway.settings.site import Policy
from tests.doubles.memory_revocations import MemoryRevocations, Network
from tests.pki import DAY, NOW, Entity, make_ca, make_user
from tests.revocation import make_answer, make_crl, points, responder, scope

MOMENT = NOW.timestamp()
CRL, OTHER, OCSP = "http://crl.example/a.crl", "http://crl.example/b.crl", "http://ocsp.example/"
HOUR = timedelta(hours=1)


@dataclass
class World:
    """One worker, its clock, its store and its network."""

    ca: Entity
    mode: str = "hard-fail"
    stale_hours: float = 0.0
    seconds: float = 0.0
    patience: float = 30.0
    store: MemoryRevocations = field(default_factory=MemoryRevocations)
    net: Network = field(default_factory=Network)
    moment: float = MOMENT
    others: tuple[Entity, ...] = ()
    """More roots."""
    issuing: tuple[Entity, ...] = ()

    def __post_init__(self) -> None:
        self.worker = self.another_worker()

    def now(self) -> float:
        return self.moment

    def another_worker(self) -> Revocations:
        return Revocations(self.store, self.net, self, self.seconds, self.patience)

    @property
    def view(self) -> SiteView:
        policy = Policy(revocation=self.mode, revocation_stale_hours=self.stale_hours)  # type: ignore[arg-type]
        roots = tuple(one.certificate for one in (self.ca, *self.others))
        below = tuple(one.certificate for one in self.issuing)
        return SiteView(1, policy, {}, {}, roots=roots, intermediates=below)

    async def verdict(self, leaf: Entity, worker: Revocations | None = None) -> Verdict:
        return await (worker or self.worker).judged(
            self.view, self.moment, lambda anchors: judge(leaf.certificate, anchors, self.moment, "personal")
        )


def run(work: Awaitable[Any]) -> Any:
    async def go() -> Any:
        return await work

    return asyncio.run(go())


@pytest.fixture(scope="module")
def ca() -> Entity:
    return make_ca("Issuing CA")


@pytest.fixture(scope="module")
def alice(ca: Entity) -> Entity:
    return make_user("alice@acme.example", ca, extra=[points(CRL)])


def test_fetched_once_then_memory_then_the_store_of_all_workers(ca: Entity, alice: Entity) -> None:
    world = World(ca)
    world.net.gives[CRL] = make_crl(ca)

    async def go() -> None:
        for _ in range(3):
            assert (await world.verdict(alice)).usable
        assert (await world.verdict(alice, world.another_worker())).usable
        assert world.net.asked == [CRL] and world.store.reads == 2

    run(go())


def test_a_revoked_one_is_refused_also_where_failing_is_soft(ca: Entity, alice: Entity) -> None:
    world = World(ca, mode="soft-fail", seconds=30.0)
    world.net.gives[CRL] = make_crl(ca, [alice])
    found = run(world.verdict(alice))
    assert found.reason is Reason.CERTIFICATE_REVOKED and any("revoked: listed" in line for line in found.evidence)


def test_soft_fail_goes_on_and_the_fetch_does_too(ca: Entity, alice: Entity) -> None:
    world = World(ca, mode="soft-fail", seconds=0.0)

    async def go() -> None:
        world.net.held[CRL] = asyncio.Event()
        world.net.gives[CRL] = make_crl(ca, [alice])
        async with asyncio.timeout(10):  # far below the patience of hard-fail
            assert (await world.verdict(alice)).usable, "nobody waits longer than the budget"
            assert (await world.verdict(alice)).usable
        world.net.held[CRL].set()
        await settled(world.worker)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
        assert world.net.asked == [CRL]

    run(go())


async def settled(worker: Revocations) -> None:
    await asyncio.gather(*(flight.task for flight in list(worker._flights.values())))


def test_hard_fail_defers_and_the_retry_finds_the_answer(ca: Entity, alice: Entity) -> None:
    world = World(ca, patience=0.0)

    async def go() -> None:
        world.net.held[CRL] = asyncio.Event()
        world.net.gives[CRL] = make_crl(ca)
        with pytest.raises(TimeoutError):
            await world.verdict(alice)
        world.net.held[CRL].set()
        await settled(world.worker)
        assert (await world.verdict(alice)).usable and world.net.asked == [CRL]

    run(go())


def test_who_waits_no_more_leaves_the_fetch_to_others(ca: Entity, alice: Entity) -> None:
    world = World(ca)

    async def go() -> None:
        world.net.held[CRL] = asyncio.Event()
        world.net.gives[CRL] = make_crl(ca)
        first, second = (asyncio.create_task(world.verdict(alice)) for _ in range(2))
        await world.net.arrivals.get()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        world.net.held[CRL].set()
        assert (await second).usable and world.net.asked == [CRL]

    run(go())


def test_a_server_that_is_down_is_left_alone_for_a_while(ca: Entity, alice: Entity) -> None:
    world = World(ca)

    async def go() -> None:
        found = await world.verdict(alice)
        assert found.reason is Reason.REVOCATION_UNKNOWN and f"{CRL}: nothing answers" in found.detail
        await world.verdict(alice)
        assert (await world.verdict(alice, world.another_worker())).reason is Reason.REVOCATION_UNKNOWN
        assert world.net.asked == [CRL], "other workers know that it was tried"
        world.moment += RETRY_SECONDS
        world.net.gives[CRL] = make_crl(ca)
        assert (await world.verdict(alice)).usable and world.net.asked == [CRL, CRL]

    run(go())


def test_a_person_asks_anew_at_once(ca: Entity, alice: Entity) -> None:
    """By `cert check --fetch`, after mending what was broken; of one question nobody is asked twice."""
    world = World(ca)
    bob = make_user("bob@acme.example", ca, extra=[points(CRL)])

    async def ask(worker: Revocations, *leaves: Entity) -> None:
        anchors = await worker.anchors(world.view)
        world.moment += 1
        moment, world.moment = world.moment, world.moment + 1
        for one in leaves:
            await worker.learn([Link(one.certificate, ca.certificate)], anchors, moment, anew=True)

    async def go() -> None:
        await world.verdict(alice)
        await ask(world.another_worker(), alice, bob)
        assert world.net.asked == [CRL, CRL]
        await ask(world.worker, alice)
        assert world.net.asked == [CRL, CRL, CRL]
        assert (await world.verdict(alice)).reason is Reason.REVOCATION_UNKNOWN and len(world.net.asked) == 3
        world.net.gives[CRL] = make_crl(ca)
        await ask(world.worker, alice)
        assert (await world.verdict(alice)).usable

    run(go())


def test_what_was_known_survives_a_server_that_lies(ca: Entity, alice: Entity) -> None:
    """Garbage, the list of another, an older one, one that says nothing: none replaces a good one or lifts anything."""
    world = World(ca, stale_hours=48)
    good = make_crl(ca, [alice], this_update=NOW - HOUR, next_update=NOW + HOUR)
    older = make_crl(ca, this_update=NOW - 2 * HOUR, next_update=NOW + DAY)

    async def go() -> None:
        world.net.gives[CRL] = good
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
        useless = make_crl(ca, this_update=NOW, extensions=[scope(indirect_crl=True)])
        for lie in (b"<html>", make_crl(make_ca("Issuing CA")), older, make_crl(ca)[:-9], useless):
            world.moment += 2 * RECHECK_SECONDS
            world.net.gives[CRL] = lie
            await world.verdict(alice)
            await settled(world.worker)
            assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
            assert world.store.rows["crl", CRL].der == good
        assert len(world.net.asked) == 5, "the first two lies were asked for after half of its life"

    run(go())


def other_lists() -> dict[str, Any]:
    """Extensions of lists that the same CA signs and publishes elsewhere, each newer than the one that is asked for."""
    elsewhere = [x509.UniformResourceIdentifier(OTHER)]
    return {
        "of CAs": [scope(only_contains_ca_certs=True)],
        "of another part": [scope(full_name=elsewhere)],
        "for some reasons": [scope(only_some_reasons=frozenset({x509.ReasonFlags.affiliation_changed}))],
        "of changes": [(x509.DeltaCRLIndicator(1), True)],
    }


@pytest.mark.parametrize("hours", [1, 200], ids=["in its time", "when it is stale"])
@pytest.mark.parametrize("kind", ["of CAs", "of another part", "for some reasons", "of changes"])
@pytest.mark.parametrize("by", ["mail", "renewal"])
def test_another_list_of_the_same_ca_lifts_no_revocation(
    ca: Entity, alice: Entity, kind: str, hours: float, by: str
) -> None:
    """They are signed, newer and public: whoever sits on the wire of plain HTTP can give them instead."""
    world = World(ca, mode="soft-fail", seconds=5.0)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=NOW - DAY, next_update=NOW + HOUR)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
        known = world.store.rows["crl", CRL].der
        world.moment = (NOW + hours * HOUR).timestamp() - 60
        start = NOW + (hours - 0.5) * HOUR
        world.net.gives[CRL] = make_crl(
            ca, this_update=start, next_update=start + DAY, number=2, extensions=other_lists()[kind]
        )
        if by == "renewal":
            await world.store.want("crl", [CRL], world.moment)
            await world.worker.renew(world.view, world.moment)
        for _ in range(2):
            assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
            await settled(world.worker)
            world.moment += 2 * RETRY_SECONDS
        assert len(world.net.asked) > 1 and world.store.rows["crl", CRL].der == known
        assert "other certificates" in world.store.rows["crl", CRL].fault

    run(go())


def test_a_ca_that_changes_what_its_list_is_about(ca: Entity, alice: Entity) -> None:
    """While the old one is in time it stays; then one takes its place that tells as much of who is asked about."""
    world = World(ca, mode="hard-fail")

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, this_update=NOW - DAY, next_update=NOW + HOUR)
        assert (await world.verdict(alice)).usable
        users = [scope(only_contains_user_certs=True)]
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=NOW, next_update=NOW + 9 * DAY, extensions=users)
        world.moment = (NOW + 2 * HOUR).timestamp()
        await world.verdict(alice)
        await settled(world.worker)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED

    run(go())


@pytest.mark.parametrize("known", [False, True], ids=["never asked", "to be renewed"])
def test_a_ca_that_names_the_list_of_another_hides_nothing(ca: Entity, alice: Entity, known: bool) -> None:
    """A partner whose root is believed for its own domain writes another's address into its certificates, and mail of
    theirs comes all the time."""
    partner = make_ca("Partner CA")
    eve = make_user("eve@partner.example", partner, extra=[points(CRL)])
    world = World(ca, mode="soft-fail", seconds=5.0, others=(partner,))

    async def go() -> None:
        if known:
            world.net.gives[CRL] = make_crl(ca, this_update=NOW - DAY, next_update=NOW + HOUR)
            assert (await world.verdict(alice)).usable
            world.moment = (NOW + 2 * HOUR).timestamp()
        start = NOW + (HOUR if known else -DAY)
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=start, next_update=NOW + 2 * DAY, number=2)
        for _ in range(3):
            await world.verdict(eve)
        assert len(world.net.asked) == 1 + known, "it is left alone for a while"
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED

    run(go())


@pytest.mark.parametrize("kind", ["of CAs", "of another part", "of changes"])
def test_another_list_that_came_first_gives_way(ca: Entity, alice: Entity, kind: str) -> None:
    world = World(ca, mode="soft-fail", seconds=5.0)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, this_update=NOW, number=2, extensions=other_lists()[kind])
        assert (await world.verdict(alice)).usable, "nothing is known"
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=NOW - DAY)
        world.moment += 2 * RECHECK_SECONDS
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED

    run(go())


@pytest.mark.parametrize("mode", ["soft-fail", "hard-fail"])
def test_silencing_the_server_brings_no_revoked_certificate_back(ca: Entity, alice: Entity, mode: str) -> None:
    world = World(ca, mode=mode)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=NOW - DAY, next_update=NOW + HOUR)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED or mode == "soft-fail"
        await settled(world.worker)
        world.net.gives.clear()
        for hours in (2, 200, 2000):
            world.moment = (NOW + hours * HOUR).timestamp()
            for worker in (world.worker, world.another_worker()):
                assert (await world.verdict(alice, worker)).reason is Reason.CERTIFICATE_REVOKED
                await settled(worker)
        assert len(world.net.asked) > 1, "a newer list is asked for all the same"
        start, end = NOW + 2000 * HOUR, NOW + 2100 * HOUR
        world.net.gives[CRL] = make_crl(ca, this_update=start, next_update=end)
        for _ in range(3):
            world.moment += 2 * RECHECK_SECONDS
            await world.verdict(alice)
            await settled(world.worker)
        assert (await world.verdict(alice)).usable, "a newer list says otherwise"

    run(go())


def test_an_older_ocsp_answer_lifts_no_revocation(ca: Entity) -> None:
    """Answers carry no nonce: whoever sits on the wire can give the one of yesterday again."""
    bob = make_user("bob@acme.example", ca, extra=[responder(OCSP)])
    about = Link(bob.certificate, ca.certificate)
    world = World(ca)

    async def go() -> None:
        revoked = make_answer(about, signer=ca, status=OCSPCertStatus.REVOKED, this_update=NOW - HOUR)
        world.net.gives[OCSP] = revoked
        assert (await world.verdict(bob)).reason is Reason.CERTIFICATE_REVOKED
        world.net.gives[OCSP] = make_answer(about, signer=ca, this_update=NOW - 2 * HOUR, next_update=NOW + 9 * DAY)
        world.moment = (NOW + 20 * HOUR).timestamp()
        await world.verdict(bob)
        await settled(world.worker)
        assert len(world.net.asked) == 2
        assert (await world.verdict(bob)).reason is Reason.CERTIFICATE_REVOKED
        assert world.store.rows["ocsp", question_name(about)].der == revoked

    run(go())


def test_stale_lists_count_as_long_as_policy_says(ca: Entity, alice: Entity) -> None:
    world = World(ca, stale_hours=2)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, this_update=NOW - DAY, next_update=NOW + HOUR)
        assert (await world.verdict(alice)).usable
        world.net.gives.clear()
        world.moment = (NOW + 2.9 * HOUR).timestamp()
        assert (await world.verdict(alice)).usable
        world.moment = (NOW + 3.1 * HOUR).timestamp()
        await settled(world.worker)
        assert (await world.verdict(alice)).reason is Reason.REVOCATION_UNKNOWN

    run(go())


def test_a_newer_list_that_another_worker_brought_is_seen(ca: Entity, alice: Entity) -> None:
    world = World(ca)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, next_update=NOW + DAY)
        assert (await world.verdict(alice)).usable
        world.net.gives[CRL] = make_crl(ca, [alice], this_update=NOW, number=2)
        world.moment = (NOW + 13 * HOUR).timestamp()
        await world.another_worker().renew(world.view, world.moment)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED
        assert len(world.net.asked) == 2

    run(go())


def test_a_clock_that_was_set_back_begins_anew(ca: Entity, alice: Entity) -> None:
    """What was asked for "tomorrow" is neither fresh for a day, nor is a server that failed then left alone so long."""
    world = World(ca, mode="soft-fail", seconds=30.0)

    async def go() -> None:
        world.moment += DAY.total_seconds()
        assert (await world.verdict(alice)).usable and world.net.asked == [CRL], "nothing answers"
        world.moment -= DAY.total_seconds()
        world.net.gives[CRL] = make_crl(ca)
        assert (await world.verdict(alice)).usable and world.net.asked == [CRL, CRL]
        world.moment += DAY.total_seconds()
        assert (await world.verdict(alice)).usable
        world.moment -= DAY.total_seconds()
        await world.another_worker().renew(world.view, world.moment)
        row = world.store.rows["crl", CRL]
        revoking = make_crl(ca, [alice], this_update=NOW, number=2)
        world.store.rows["crl", CRL] = replace(row, der=revoking, fetched_at=(row.fetched_at or 0.0) + 1)
        assert (await world.verdict(alice)).reason is Reason.CERTIFICATE_REVOKED, "the store is looked at again"

    run(go())


def test_lists_of_issuing_cas_are_renewed_ahead_of_time_as_well(ca: Entity) -> None:
    issuing = make_ca("Below", ca)
    bob = make_user("bob@acme.example", issuing, extra=[points(OTHER)])
    world = World(ca, mode="soft-fail", seconds=30.0, issuing=(issuing,))

    async def go() -> None:
        world.net.gives[OTHER] = make_crl(issuing, next_update=NOW + DAY)
        assert (await world.verdict(bob)).usable
        world.net.gives[OTHER] = make_crl(issuing, [bob], this_update=NOW, number=2)
        world.moment = (NOW + 13 * HOUR).timestamp()
        await world.worker.renew(world.view, world.moment)
        assert world.net.asked == [OTHER, OTHER]
        assert (await world.verdict(bob)).reason is Reason.CERTIFICATE_REVOKED

    run(go())


def test_a_list_that_mail_goes_on_asking_for_is_renewed(ca: Entity, alice: Entity) -> None:
    """Also where every mail finds it in memory: the day of the first fetch is not the last that it was wanted."""
    world = World(ca, mode="soft-fail", seconds=30.0)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, next_update=NOW + 40 * DAY)
        await world.verdict(alice)
        world.moment = (NOW + 18 * DAY).timestamp()
        await world.verdict(alice)
        world.moment = (NOW + 21 * DAY).timestamp()
        await world.worker.renew(world.view, world.moment)
        assert world.net.asked == [CRL, CRL]

    run(go())


def test_renewal_leaves_alone_what_nobody_wants_and_believes_no_stranger(ca: Entity, alice: Entity) -> None:
    world = World(ca)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca, next_update=NOW + 30 * DAY)
        await world.verdict(alice)
        await world.worker.renew(world.view, world.moment)
        world.moment = (NOW + 20 * DAY).timestamp()
        await world.worker.renew(world.view, world.moment)
        assert len(world.net.asked) == 1
        await world.store.want("crl", [CRL], world.moment)
        await world.worker.renew(World(ca, mode="off").view, world.moment)
        assert len(world.net.asked) == 1
        world.net.gives[CRL] = make_crl(make_ca("Issuing CA"))
        before = world.store.rows["crl", CRL].der
        await world.worker.renew(world.view, world.moment)
        assert len(world.net.asked) == 2 and world.store.rows["crl", CRL].der == before

    run(go())


def test_ocsp_where_there_is_no_list_and_where_the_list_fails(ca: Entity) -> None:
    only = make_user("only@acme.example", ca, extra=[responder(OCSP)])
    both = make_user("both@acme.example", ca, extra=[points(CRL), responder(OCSP)])
    for leaf in (only, both):
        link = Link(leaf.certificate, ca.certificate)
        for status, reason in (
            (OCSPCertStatus.GOOD, Reason.PERSONAL_CERTIFICATE),
            (OCSPCertStatus.REVOKED, Reason.CERTIFICATE_REVOKED),
        ):
            world = World(ca)
            world.net.gives[OCSP] = make_answer(link, signer=ca, status=status)
            assert run(world.verdict(leaf)).reason is reason
            assert world.store.rows["ocsp", question_name(link)].der == world.net.gives[OCSP]
    world = World(ca)
    world.net.gives[OCSP] = make_answer(Link(only.certificate, ca.certificate), signer=make_ca("Other"))
    assert run(world.verdict(only)).reason is Reason.REVOCATION_UNKNOWN
    assert world.store.rows["ocsp", question_name(Link(only.certificate, ca.certificate))].der is None


def test_one_of_several_places_is_enough(ca: Entity) -> None:
    leaf = make_user("two@acme.example", ca, extra=[points(OTHER, CRL)])
    world = World(ca)
    world.net.gives[CRL] = make_crl(ca)
    assert run(world.verdict(leaf)).usable


def test_who_names_no_place_cannot_be_known(ca: Entity) -> None:
    leaf = make_user("none@acme.example", ca)
    assert run(World(ca).verdict(leaf)).reason is Reason.REVOCATION_UNKNOWN
    assert run(World(ca, mode="soft-fail").verdict(leaf)).usable
    assert run(World(ca, mode="off").verdict(leaf)).usable


def test_our_own_ca_is_asked_without_network(ca: Entity, alice: Entity) -> None:
    for leaf in (alice, make_user("none@acme.example", ca)):
        ours, place = frozenset({ca.certificate.thumbprint}), (ca.certificate.thumbprint, leaf.certificate.serial)
        world = World(ca)
        world.store.own = OwnAuthorities(ours)
        assert run(world.verdict(leaf)).usable
        world = World(ca, mode="soft-fail")
        world.store.own = OwnAuthorities(ours, {place: (MOMENT, "keyCompromise")})
        found = run(world.verdict(leaf))
        assert found.reason is Reason.CERTIFICATE_REVOKED and "keyCompromise" in found.detail
        assert world.net.asked == []


def test_a_store_that_does_not_write_costs_nothing_but_memory(ca: Entity, alice: Entity) -> None:
    world = World(ca)
    world.store.broken = True
    world.net.gives[CRL] = make_crl(ca)
    assert run(world.verdict(alice)).usable


def test_a_stored_answer_that_is_damaged_is_fetched_again(ca: Entity, alice: Entity) -> None:
    world = World(ca)

    async def go() -> None:
        world.net.gives[CRL] = make_crl(ca)
        await world.verdict(alice)
        row = world.store.rows["crl", CRL]
        world.store.rows["crl", CRL] = type(row)("crl", CRL, b"rubbish", row.fetched_at, row.next_update, 0.0, "", 0.0)
        assert (await world.verdict(alice, world.another_worker())).usable and len(world.net.asked) == 2

    run(go())


def test_verdicts_of_one_message_are_asked_for_together_and_kept(ca: Entity, alice: Entity) -> None:
    bob = make_user("bob@acme.example", ca, extra=[points(OTHER)])
    world = World(ca)
    verdicts = Verdicts(world.worker)

    async def go() -> None:
        world.net.held = {CRL: asyncio.Event(), OTHER: asyncio.Event()}
        world.net.gives = {CRL: make_crl(ca), OTHER: make_crl(ca, [bob])}
        asked = [(alice.certificate, "personal"), (bob.certificate, "personal"), (bob.certificate, "domain")]
        task = asyncio.create_task(verdicts.prepare(asked, world.view, MOMENT))  # type: ignore[arg-type]
        assert {await world.net.arrivals.get(), await world.net.arrivals.get()} == {CRL, OTHER}
        for held in world.net.held.values():
            held.set()
        judging = await task
        assert judging.verdict(alice.certificate, "personal", MOMENT).usable
        assert judging.verdict(bob.certificate, "domain", MOMENT).reason is Reason.CERTIFICATE_REVOKED
        late = (NOW + 366 * DAY).timestamp()
        assert judging.verdict(alice.certificate, "personal", late).reason is Reason.CERTIFICATE_EXPIRED
        reads = world.store.reads
        judging = await verdicts.prepare(asked, world.view, MOMENT + RECHECK_SECONDS - 1)  # type: ignore[arg-type]
        assert world.store.reads == reads and sorted(world.net.asked) == [CRL, OTHER]
        judging = await verdicts.prepare(asked, world.view, MOMENT + RECHECK_SECONDS + 1)  # type: ignore[arg-type]
        assert world.store.reads > reads and sorted(world.net.asked) == [CRL, OTHER]

    run(go())
