"""The IncomingMemory of ports/incoming on both engines: for whom content keys were opened, and what came encrypted.

Reads ask the database each time, so that what one worker or node has just opened counts for the next message in all
of them; what happens inside the transaction of a message stands in incoming_writes.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ime_gateway.ports.clock import Clock
from ime_gateway.ports.incoming import KnownKey
from ime_gateway.store.connections import Connections
from ime_gateway.store.group_commit import GroupCommit
from ime_gateway.store.incoming_writes import OPENED_FOR, forget_incoming, known_keys

_PROTECTED = "SELECT digest, keep_until FROM protected_ids WHERE digest IN ({list})"


class StoredIncoming:
    """What is remembered of mail that came encrypted."""

    def __init__(self, connections: Connections, commits: GroupCommit, readers: Executor, clock: Clock) -> None:
        """Built by `open_store`."""
        self._connections = connections
        self._commits = commits
        self._readers = readers
        self._clock = clock

    async def opened_for(self, key_digests: Sequence[str]) -> Mapping[str, KnownKey]:
        """As the port says."""
        keys = sorted(set(key_digests))
        if not keys:
            return {}
        rows = await self._read(self._connections.read_bare_for, OPENED_FOR, keys)
        return known_keys(rows, self._clock.now())

    async def came_protected(self, digests: Sequence[str]) -> frozenset[str]:
        """As the port says."""
        keys = sorted(set(digests))
        if not keys:
            return frozenset()
        moment = self._clock.now()
        rows = await self._read(self._connections.read_bare_for, _PROTECTED, keys)
        return frozenset(digest for digest, keep_until in rows if keep_until > moment)

    def forget_old(self, moment: float) -> None:
        """Remove what has had its time by `moment`, seconds since 1970 UTC. Blocking; raises StoreUnavailable."""
        self._commits.run_blocking(forget_incoming, moment)

    async def _read(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(function, *arguments))
