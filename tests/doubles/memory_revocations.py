"""Revocation answers in memory, and a network that behaves as told: doubles of ports/revocation."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.revocation import AnswerKind, OwnAuthorities, StoredAnswer, Unfetched


@dataclass
class MemoryRevocations:
    """Keeps the contract of a RevocationStore in a dictionary."""

    rows: dict[tuple[AnswerKind, str], StoredAnswer] = field(default_factory=dict)
    own: OwnAuthorities = field(default_factory=OwnAuthorities)
    reads: int = 0
    broken: bool = False

    async def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        self.reads += 1
        return {name: self.rows[kind, name] for name in names if (kind, name) in self.rows}

    async def keep(self, answer: StoredAnswer) -> None:
        if self.broken:
            raise StoreUnavailable("the store is away")
        key = (answer.kind, answer.name)
        before = self.rows.get(key)
        if before is None:
            self.rows[key] = answer
        elif answer.der is None:
            self.rows[key] = replace(before, tried_at=answer.tried_at, fault=answer.fault)
        elif before.fetched_at is None or before.fetched_at <= (answer.fetched_at or 0.0):
            self.rows[key] = replace(answer, wanted_at=max(answer.wanted_at, before.wanted_at))

    async def want(self, kind: AnswerKind, names: Sequence[str], moment: float) -> None:
        for name in names:
            if (row := self.rows.get((kind, name))) is not None and row.wanted_at < moment:
                self.rows[kind, name] = replace(row, wanted_at=moment)

    async def crls_to_renew(self, moment: float, wanted_since: float) -> Sequence[StoredAnswer]:
        return [
            row
            for row in self.rows.values()
            if row.kind == "crl" and row.der is not None and row.wanted_at >= wanted_since
            and row.fetched_at is not None and row.next_update is not None
            and row.tried_at <= moment - 600 and moment >= (row.fetched_at + row.next_update) / 2
        ]  # fmt: skip

    async def own_authorities(self) -> OwnAuthorities:
        return self.own


@dataclass
class MemoryAnswers:
    """RevocationAnswers of one transaction; `closed` says that it is over, as a database would."""

    rows: Mapping[tuple[AnswerKind, str], StoredAnswer]
    own: Callable[[], OwnAuthorities]
    closed: bool = False

    def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        assert not self.closed, "asked after the transaction"
        return {name: self.rows[kind, name] for name in names if (kind, name) in self.rows}

    def own_authorities(self) -> OwnAuthorities:
        assert not self.closed, "asked after the transaction"
        return self.own()


@dataclass
class Network:
    """A RevocationSource: what each URL gives; those in `held` answer once they are let go."""

    gives: dict[str, bytes] = field(default_factory=dict)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    arrivals: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)

    async def crl(self, url: str) -> bytes | Unfetched:
        self.asked.append(url)
        self.arrivals.put_nowait(url)
        if url in self.held:
            await self.held[url].wait()
        return self.gives.get(url, Unfetched("nothing answers"))

    async def ocsp(self, url: str, question: bytes) -> bytes | Unfetched:
        return await self.crl(url)
