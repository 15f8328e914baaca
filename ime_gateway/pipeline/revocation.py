"""Learns whether certificates were revoked: from memory, then from the store, then from the network within a budget.

The mail path asks for a verdict; what is missing for it is fetched once for all messages that wait for it, and goes on
when one of them waits no longer, so that its retry finds the answer. With `soft-fail` nobody waits more than
`[lookup] seconds`; with `hard-fail` the limit is the message's own (`decide_seconds`, beyond it 451 4.4.3). URLs are
taken only from certificates that lead to a trusted root, so that no stranger chooses what is fetched.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from ime_gateway.base.errors import StoreUnavailable, UnreadableCertificate
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.crl import Crl, replacement_fault
from ime_gateway.certs.known_revocations import (
    RETRY_SECONDS,
    Held,
    KnownRevocations,
    RevocationMemory,
    answer_keys,
    held_answer,
)
from ime_gateway.certs.ocsp import OcspAnswer, ocsp_question
from ime_gateway.certs.revocation import Link, sources
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import Verdict
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.revocation import (
    AnswerKind,
    OwnAuthorities,
    RevocationSource,
    RevocationStore,
    StoredAnswer,
    Unfetched,
)

log = structlog.get_logger("revocation")

_AT_ONCE = 8
"""Fetches of one worker at a time."""
_MOST_STRANGERS = 10_000
_DAY = 86_400.0
WANTED_SECONDS: Final = 7 * _DAY
"""A CRL is renewed ahead of its time while mail has asked for it within this time."""
_Key = tuple[AnswerKind, str]


class AnswersLate(TimeoutError):
    """With `hard-fail`: what is needed about these links is still on its way."""

    def __init__(self, links: Sequence[Link]) -> None:
        super().__init__("answers about revocations are late")
        self.links = links


@dataclass(frozen=True, slots=True)
class _Flight:
    """A fetch on its way."""

    urls: tuple[str, ...]
    """Whom it asks, one after the other."""
    task: "asyncio.Task[None]"
    since: float
    """By the clock of the event loop."""


@dataclass(slots=True)
class Revocations:
    """What one worker knows and asks. One event loop uses it."""

    store: RevocationStore
    source: RevocationSource
    clock: Clock
    seconds: float
    """The longest wait with `soft-fail`, after which the mail goes on without the answer."""
    patience: float
    """The longest wait with `hard-fail`, after which it is deferred."""
    memory: RevocationMemory = field(default_factory=RevocationMemory)
    _generation: int = -1
    _anchors: Anchors = field(default_factory=lambda: Anchors(()))
    _flights: dict[_Key, _Flight] = field(default_factory=dict)
    _strangers: dict[tuple[str, str], float] = field(default_factory=dict)
    """URLs whose list another CA signs than the one with this thumbprint, whose certificates name them, and when they
    were asked (seconds since 1970 UTC): no reason to leave them alone for the certificates of that other CA."""
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def anchors(self, view: SiteView) -> Anchors:
        """What trust rests on in this generation, with what is known about revocations. Raises StoreUnavailable."""
        if view.generation != self._generation:
            off = view.policy.revocation == "off"
            own = OwnAuthorities() if off else await self.store.own_authorities()
            self._anchors = Anchors(view.roots, view.intermediates, view.trust, self._book(view, own))
            self._generation = view.generation
        return self._anchors

    def known(self, view: SiteView) -> Anchors:
        """The same without asking anybody: for threads and transactions. Of a generation for which `anchors` was not
        asked yet, it knows what our own CAs had revoked in the one before."""
        if view.generation == self._generation:
            return self._anchors
        book = self._anchors.revocation
        own = book.own if isinstance(book, KnownRevocations) else OwnAuthorities()
        return Anchors(view.roots, view.intermediates, view.trust, self._book(view, own))

    def _book(self, view: SiteView, own: OwnAuthorities) -> KnownRevocations:
        policy = view.policy
        return KnownRevocations(policy.revocation, policy.revocation_stale_hours * 3600, self.memory, own)

    async def judged(self, view: SiteView, moment: float, judge: Callable[[Anchors], Verdict]) -> Verdict:
        """A verdict for which whatever can be learnt about revocations was learnt. `judge` is asked once or twice.

        moment: seconds since 1970 UTC. Raises StoreUnavailable, and AnswersLate as `learn` does.
        """
        anchors = await self.anchors(view)
        verdict = judge(anchors)
        if verdict.unasked:
            await self.learn(verdict.unasked, anchors, moment)
            verdict = judge(anchors)
        return verdict

    async def learn(self, links: Iterable[Link], anchors: Anchors, moment: float, *, anew: bool = False) -> None:
        """Find out about links of paths that hold: first from the store, then, for as long as policy lets one wait,
        from the network. `moment`: seconds since 1970 UTC. anew: a person asks, and may just have mended what was
        broken, so attempts before `moment` keep nobody from the next. Raises StoreUnavailable; with `hard-fail`
        AnswersLate when answers are still on their way: the mail is to be deferred, and its retry will find them."""
        book = anchors.revocation
        asked = list(dict.fromkeys(links))
        if not isinstance(book, KnownRevocations) or not asked:
            return
        await self._look_up(asked, moment)
        if anew:
            self._forget_attempts(asked, moment)
        flights = {link: self._start(link, book, moment) for link in asked}
        await self._wait(flights, book, moment)

    def open_fetches(self, link: Link | None = None) -> tuple[str, ...]:
        """The URLs of fetches that are on their way right now and could tell about this link; None: of all of them."""
        keys = list(self._flights) if link is None else answer_keys(link)
        flights = [self._flights[key] for key in keys if key in self._flights]
        return tuple(dict.fromkeys(url for flight in flights for url in flight.urls))

    async def recall(self, links: Iterable[Link], moment: float) -> None:
        """Bring into memory what the store has about links; the network is not asked. Raises StoreUnavailable."""
        await self._look_up(list(dict.fromkeys(links)), moment)

    async def renew(self, view: SiteView, moment: float) -> None:
        """Fetch CRLs whose half life is over, ahead of the mail that will need them; one worker of a node does it.

        Raises StoreUnavailable.
        """
        if view.policy.revocation == "off":
            return
        for row in await self.store.crls_to_renew(moment, moment - WANTED_SECONDS):
            held = await asyncio.to_thread(held_answer, row, moment)
            known = (*view.roots, *view.intermediates)
            issuer = next((one for one in known if held.crl is not None and held.crl.signed_by(one)), None)
            if issuer is not None and not self._is_stranger(row.name, issuer, moment):
                self.memory.put(held)
                fetch = partial(self._fetch_crl, row.name, issuer, None)
                await self._fly(("crl", row.name), (row.name,), fetch).task

    def close(self) -> None:
        """Break off what is still on its way."""
        for flight in self._flights.values():
            flight.task.cancel()

    async def _look_up(self, links: Sequence[Link], moment: float) -> None:
        """Bring what the store has into memory."""
        wanted: dict[AnswerKind, list[str]] = {"crl": [], "ocsp": []}
        for kind, name in dict.fromkeys(key for link in links for key in answer_keys(link)):
            held = self.memory.get(kind, name)
            if held is None or not held.is_fresh(moment):
                wanted[kind].append(name)
        for kind, names in wanted.items():
            if not names:
                continue
            rows = await self.store.answers(kind, names)
            for name in names:
                await self._hold(rows.get(name) or StoredAnswer(kind, name), moment)
            idle = [row.name for row in rows.values() if row.wanted_at < moment - _DAY]
            if idle:
                await self.store.want(kind, idle, moment)

    def _forget_attempts(self, links: Sequence[Link], moment: float) -> None:
        """End the pause after attempts before `moment`; those since then were made for the same question."""
        for held in (self.memory.get(*key) for link in links for key in answer_keys(link)):
            if held is not None and held.row.tried_at < moment:
                self.memory.put(replace(held, row=replace(held.row, tried_at=0.0)))

    async def _hold(self, row: StoredAnswer, moment: float) -> None:
        before = self.memory.get(row.kind, row.name)
        if before is not None and before.row.fetched_at == row.fetched_at and row.der is not None:
            self.memory.put(replace(before, row=row, checked_at=moment))
        else:
            self.memory.put(await asyncio.to_thread(held_answer, row, moment) if row.der else Held(row, moment))

    def _start(self, link: Link, book: KnownRevocations, moment: float) -> list[_Flight]:
        """Set off whatever could tell about a link, or should be renewed."""
        unasked = book.finding(link, moment).state == "unasked"
        flights = []
        for key in answer_keys(link):
            held = self.memory.get(*key)
            if held is None:
                continue
            flying = self._flights.get(key)
            due = (
                held.may_be_tried(moment)
                and not self._is_stranger(key[1], link.issuer, moment)
                and (unasked or held.should_be_renewed(moment))
            )
            if flying is None and due:
                urls = (key[1],) if key[0] == "crl" else sources(link.certificate).responders
                flying = self._fly(key, urls, partial(self._fetch, key, link))
            if flying is not None:
                flights.append(flying)
        return flights

    def _fly(self, key: _Key, urls: tuple[str, ...], fetch: Callable[[], Awaitable[None]]) -> _Flight:
        async def go() -> None:
            try:
                async with self._places:
                    await fetch()
            finally:
                self._flights.pop(key, None)

        loop = asyncio.get_running_loop()
        flight = self._flights.get(key) or _Flight(urls, loop.create_task(go()), loop.time())
        self._flights[key] = flight
        return flight

    async def _wait(self, flights: Mapping[Link, Sequence[_Flight]], book: KnownRevocations, moment: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            unasked = [link for link in flights if book.finding(link, moment).state == "unasked"]
            late = [link for link in unasked if any(not flight.task.done() for flight in flights[link])]
            open_flights = {
                flight.task: flight.since for link in late for flight in flights[link] if not flight.task.done()
            }
            if not open_flights:
                return
            hard = book.mode == "hard-fail"
            left = max(open_flights.values()) + (self.patience if hard else self.seconds) - loop.time()
            if left <= 0 and hard:
                raise AnswersLate(late)
            if left <= 0:
                return
            await asyncio.wait(open_flights, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _fetch(self, key: _Key, link: Link) -> None:
        kind, name = key
        if kind == "crl":
            await self._fetch_crl(name, link.issuer, link.certificate)
        else:
            await self._fetch_answer(name, link)

    async def _fetch_crl(self, url: str, issuer: Certificate, certificate: Certificate | None) -> None:
        got = await self.source.crl(url)
        now = self.clock.now()
        if isinstance(got, Unfetched):
            await self._failed("crl", url, got.why, now)
            return
        held = self.memory.get("crl", url)
        known = held.crl if held is not None else None
        try:
            crl = await asyncio.to_thread(Crl.read, got)
            if not await asyncio.to_thread(crl.signed_by, issuer):
                await self._signed_by_another(url, issuer, now)
                return
            fault = crl.fault or await asyncio.to_thread(_crl_fault, crl, issuer, known, certificate, now)
        except UnreadableCertificate as error:
            await self._failed("crl", url, str(error), now)
            return
        if fault:
            await self._failed("crl", url, fault, now)
            return
        row = StoredAnswer("crl", url, got, now, crl.next_update, now, "", now)
        await self._keep(Held(row, now, crl=crl))

    def _is_stranger(self, url: str, issuer: Certificate, moment: float) -> bool:
        asked = self._strangers.get((url, issuer.thumbprint))
        return asked is not None and abs(moment - asked) < RETRY_SECONDS

    async def _signed_by_another(self, url: str, issuer: Certificate, now: float) -> None:
        if len(self._strangers) >= _MOST_STRANGERS:
            self._strangers.clear()
        self._strangers[url, issuer.thumbprint] = now
        await self._failed("crl", url, f"the CRL is not signed by {issuer.subject}", now, for_all=False)

    async def _fetch_answer(self, name: str, link: Link) -> None:
        why = []
        question = ocsp_question(link)
        for url in sources(link.certificate).responders:
            got = await self.source.ocsp(url, question)
            now = self.clock.now()
            if isinstance(got, Unfetched):
                why.append(f"{url}: {got.why}")
                continue
            try:
                answer = OcspAnswer.read(got)
            except UnreadableCertificate as error:
                why.append(str(error))
                continue
            told = answer.finding(link, now, 0.0)
            if told.state == "unknown":
                why.append(told.detail)
                continue
            before = self.memory.get("ocsp", name)
            if before and before.answer and answer.this_update(link) < before.answer.this_update(link):
                why.append("the OCSP answer is older than the one that is known")
                continue
            row = StoredAnswer("ocsp", name, got, now, answer.next_update(link), now, "", now)
            await self._keep(Held(row, now, answer=answer))
            return
        await self._failed("ocsp", name, "; ".join(dict.fromkeys(why)), self.clock.now())

    async def _failed(self, kind: AnswerKind, name: str, why: str, now: float, *, for_all: bool = True) -> None:
        """What was known stays; only the attempt is noted, so that it is not made again at once. for_all: it is worth
        nothing to anybody who asks this source."""
        log.warning("revocation not learnt", source=kind, name=name, why=why)
        before = self.memory.get(kind, name) or Held(StoredAnswer(kind, name, wanted_at=now), now)
        failed = replace(before.row, tried_at=now if for_all else before.row.tried_at, fault=why)
        self.memory.put(replace(before, row=failed, checked_at=now))
        await self._store(replace(failed, der=None, fetched_at=None, next_update=None))

    async def _keep(self, held: Held) -> None:
        self.memory.put(held)
        await self._store(held.row)

    async def _store(self, row: StoredAnswer) -> None:
        try:
            await self.store.keep(row)
        except StoreUnavailable as error:  # this worker knows it all the same
            log.warning("revocation not stored", name=row.name, cause=error.evidence or str(error))


def _crl_fault(crl: Crl, issuer: Certificate, known: Crl | None, certificate: Certificate | None, now: float) -> str:
    """Why a list that its CA signed must not take the place of the one that is there."""
    return replacement_fault(crl, known, certificate, now) if known is not None and known.signed_by(issuer) else ""
