"""Answers about revocations that all workers and nodes share, and what our own CAs revoked (ports/revocation).

An answer is public and signed by its maker, so it rests as it came. A newer one never gives way to an older one, and
an attempt that failed never takes away what an earlier one brought: a CRL server that is down must cost knowledge
only when that knowledge has become too old.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select

from ime_gateway.ports.revocation import AnswerKind, OwnAuthorities, StoredAnswer
from ime_gateway.store.connections import Connections
from ime_gateway.store.dialect import Transaction
from ime_gateway.store.group_commit import GroupCommit
from ime_gateway.store.schema import authorities, crls, issued, ocsp_answers

_READ: Final[dict[AnswerKind, str]] = {
    "crl": "SELECT url, der, fetched_at, next_update, tried_at, fault, wanted_at FROM crls WHERE url IN ({list})",
    "ocsp": "SELECT question, der, fetched_at, next_update, tried_at, fault, wanted_at FROM ocsp_answers"
    " WHERE question IN ({list})",
}
_KEEP: Final[dict[AnswerKind, str]] = {
    "crl": (
        "INSERT INTO crls (url, der, fetched_at, next_update, tried_at, fault, wanted_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (url) DO UPDATE SET"
        " der = excluded.der, fetched_at = excluded.fetched_at, next_update = excluded.next_update,"
        " tried_at = excluded.tried_at, fault = excluded.fault"
        " WHERE crls.fetched_at IS NULL OR crls.fetched_at <= excluded.fetched_at"
    ),
    "ocsp": (
        "INSERT INTO ocsp_answers (question, der, fetched_at, next_update, tried_at, fault, wanted_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (question) DO UPDATE SET"
        " der = excluded.der, fetched_at = excluded.fetched_at, next_update = excluded.next_update,"
        " tried_at = excluded.tried_at, fault = excluded.fault"
        " WHERE ocsp_answers.fetched_at IS NULL OR ocsp_answers.fetched_at <= excluded.fetched_at"
    ),
}
_FAILED: Final[dict[AnswerKind, str]] = {
    "crl": (
        "INSERT INTO crls (url, tried_at, fault, wanted_at) VALUES (?, ?, ?, ?) ON CONFLICT (url) DO UPDATE SET"
        " tried_at = excluded.tried_at, fault = excluded.fault"
    ),
    "ocsp": (
        "INSERT INTO ocsp_answers (question, tried_at, fault, wanted_at) VALUES (?, ?, ?, ?) ON CONFLICT (question)"
        " DO UPDATE SET tried_at = excluded.tried_at, fault = excluded.fault"
    ),
}
_WANT: Final[dict[AnswerKind, str]] = {
    "crl": "UPDATE crls SET wanted_at = ? WHERE url = ? AND wanted_at < ?",
    "ocsp": "UPDATE ocsp_answers SET wanted_at = ? WHERE question = ? AND wanted_at < ?",
}
_RENEW = (
    "SELECT url, der, fetched_at, next_update, tried_at, fault, wanted_at FROM crls"
    " WHERE der IS NOT NULL AND wanted_at >= ? AND tried_at <= ?"
    " AND fetched_at + (next_update - fetched_at) / 2 <= ? ORDER BY next_update, url"
)
_FORGET = ("DELETE FROM crls WHERE wanted_at <= ?", "DELETE FROM ocsp_answers WHERE wanted_at <= ?")
_AUTHORITIES = "SELECT thumbprint FROM authorities"
_REVOKED = "SELECT authority, serial, revoked_at, revocation_reason FROM issued WHERE revoked_at IS NOT NULL"

RETRY_SECONDS: Final = 600.0
"""An attempt to renew that failed is made again after this time."""
FORGET_SECONDS: Final = 30 * 86_400.0
"""What mail did not ask for in this time is forgotten."""


class StoredRevocations:
    """The RevocationStore of ports/revocation."""

    def __init__(self, connections: Connections, commits: GroupCommit, readers: Executor) -> None:
        """Built by `open_store`."""
        self._connections = connections
        self._commits = commits
        self._readers = readers

    async def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        """As the port says."""
        rows = await self._read(self._connections.read_bare_for, _READ[kind], sorted(set(names)))
        return {row[0]: _answer(kind, row) for row in rows}

    async def keep(self, answer: StoredAnswer) -> None:
        """As the port says."""
        await self._commits.run(_keep, answer)

    async def want(self, kind: AnswerKind, names: Sequence[str], moment: float) -> None:
        """As the port says."""
        for name in sorted(set(names)):
            await self._commits.run(_want, (kind, name, moment))

    async def crls_to_renew(self, moment: float, wanted_since: float) -> Sequence[StoredAnswer]:
        """As the port says."""
        values = (wanted_since, moment - RETRY_SECONDS, moment)
        rows = await self._read(self._connections.read_bare, _RENEW, values)
        return [_answer("crl", row) for row in rows]

    async def own_authorities(self) -> OwnAuthorities:
        """As the port says."""
        return await self._read(self._own_authorities)  # type: ignore[no-any-return]

    def forget_old(self, moment: float) -> None:
        """Remove what nobody has asked for in a month before `moment` (seconds since 1970 UTC). Blocking."""
        self._commits.run_blocking(_forget, moment - FORGET_SECONDS)

    def _own_authorities(self) -> OwnAuthorities:
        ours = [row[0] for row in self._connections.read_bare(_AUTHORITIES)]
        return _own_authorities(ours, self._connections.read_bare(_REVOKED)) if ours else OwnAuthorities()

    async def _read(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(function, *arguments))


class RevocationRows:
    """The RevocationAnswers of ports/revocation, within one transaction of the registry."""

    def __init__(self, connection: Connection) -> None:
        """Built by the transaction."""
        self._connection = connection

    def answers(self, kind: AnswerKind, names: Sequence[str]) -> Mapping[str, StoredAnswer]:
        """As the port says."""
        table, name = (crls, crls.c.url) if kind == "crl" else (ocsp_answers, ocsp_answers.c.question)
        found = self._connection.execute(table.select().where(name.in_(names)))
        return {row[0]: _answer(kind, row) for row in found}

    def own_authorities(self) -> OwnAuthorities:
        """As the port says."""
        ours = self._connection.execute(select(authorities.c.thumbprint)).scalars()
        columns = (issued.c.authority, issued.c.serial, issued.c.revoked_at, issued.c.revocation_reason)
        revoked = self._connection.execute(select(*columns).where(issued.c.revoked_at.is_not(None)))
        return _own_authorities(ours, revoked)


def _own_authorities(ours: Iterable[str], revoked: Iterable[Sequence[Any]]) -> OwnAuthorities:
    by_serial = {(authority, int(serial, 16)): (at, reason) for authority, serial, at, reason in revoked}
    return OwnAuthorities(frozenset(ours), by_serial)


def _answer(kind: AnswerKind, row: Sequence[Any]) -> StoredAnswer:
    name, der, fetched_at, next_update, tried_at, fault, wanted_at = row
    return StoredAnswer(
        kind, name, bytes(der) if der is not None else None, fetched_at, next_update, tried_at, fault, wanted_at
    )


def _keep(transaction: Transaction, answers: list[StoredAnswer]) -> list[None]:
    # In the order of their names, so that two nodes never wait for each other.
    for one in sorted(answers, key=lambda answer: (answer.kind, answer.name, answer.tried_at)):
        if one.der is None:
            transaction.run(_FAILED[one.kind], (one.name, one.tried_at, one.fault, one.wanted_at))
        else:
            times = (one.fetched_at, one.next_update, one.tried_at, one.fault, one.wanted_at)
            transaction.run(_KEEP[one.kind], (one.name, one.der, *times))
    return [None] * len(answers)


def _want(transaction: Transaction, wishes: list[tuple[AnswerKind, str, float]]) -> list[None]:
    for kind, name, moment in sorted(wishes):
        transaction.run(_WANT[kind], (moment, name, moment))
    return [None] * len(wishes)


def _forget(transaction: Transaction, moments: list[float]) -> list[None]:
    for moment in moments:
        for statement in _FORGET:
            transaction.run(statement, (moment,))
    return [None] * len(moments)
