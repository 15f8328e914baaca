"""Live data for the mail path: always the newest committed, nearly always without asking for more than a number.

Before every MAIL FROM the generation is read; only when it changed is the view loaded anew and the
cache of certificates emptied, so that a denied certificate is dead at once in every worker (issue
part 7), while 100,000 stored certificates cost nothing.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import SiteView
from ime_gateway.store.connections import Connections
from ime_gateway.store.domain_rows import load_view
from ime_gateway.store.key_rows import BY_ADDRESS, BY_THUMBPRINT, OWNERS
from ime_gateway.store.storage_errors import storage_errors

_GENERATION = "SELECT generation FROM site"
_CACHED_ADDRESSES = 20_000


class LiveDirectory:
    """The Directory of ports/directory; one event loop uses it."""

    def __init__(self, connections: Connections, readers: Executor) -> None:
        """Built by `open_store`."""
        self._connections = connections
        self._readers = readers
        self._view: SiteView | None = None
        self._cached: dict[str, tuple[Certificate, ...]] = {}
        self._cached_by_name: dict[str, Certificate | None] = {}
        self._cached_owners: dict[str, tuple[str, ...]] = {}
        self._cached_generation = -1
        self._file: sqlite3.Connection | None = None
        self._file_identity = (0, 0)
        self._turn = asyncio.Lock()
        self._next_check: asyncio.Task[SiteView] | None = None

    async def view(self) -> SiteView:
        """As the port says."""
        known = self._view
        # Blocking is right on SQLite: the number is one page in memory, 5 microseconds, less than a switch
        # of threads, and a reader in WAL mode never waits for a writer.
        if known is not None and self._connections.path and self._generation_in_file() == known.generation:
            return known
        if self._next_check is None:
            self._next_check = asyncio.get_running_loop().create_task(self._check())
        return await asyncio.shield(self._next_check)

    def latest(self) -> SiteView | None:
        """As the port says."""
        return self._view

    async def certificates(self, view: SiteView, addresses: Sequence[str]) -> Mapping[str, tuple[Certificate, ...]]:
        """As the port says; addresses without a certificate map to an empty tuple."""
        self._forget_outdated(view)
        cache = self._cached
        found = {address: cache[address] for address in addresses if address in cache}
        unknown = sorted(set(addresses) - found.keys())
        if unknown:
            found.update(await asyncio.get_running_loop().run_in_executor(self._readers, self._load, unknown))
        for address, certificates in found.items():
            cache.pop(address, None)
            cache[address] = certificates
        while len(cache) > _CACHED_ADDRESSES:
            cache.pop(next(iter(cache)))
        return found

    async def named(self, view: SiteView, thumbprints: Sequence[str]) -> Mapping[str, Certificate]:
        """As the port says."""
        self._forget_outdated(view)
        cache = self._cached_by_name
        unknown = sorted(set(thumbprints) - cache.keys())
        if unknown:
            loaded = await asyncio.get_running_loop().run_in_executor(self._readers, self._load_named, unknown)
            cache |= dict.fromkeys(unknown) | loaded
        found = {one: certificate for one in thumbprints if (certificate := cache.get(one)) is not None}
        while len(cache) > _CACHED_ADDRESSES:
            cache.pop(next(iter(cache)))
        return found

    async def owners(self, view: SiteView, thumbprints: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """As the port says."""
        self._forget_outdated(view)
        cache = self._cached_owners
        found = {one: cache[one] for one in thumbprints if one in cache}
        unknown = sorted(set(thumbprints) - found.keys())
        if unknown:
            found |= await asyncio.get_running_loop().run_in_executor(self._readers, self._load_owners, unknown)
            cache |= found
        while len(cache) > _CACHED_ADDRESSES:
            cache.pop(next(iter(cache)))
        return found

    def close(self) -> None:
        """Close the connection that watches the generation."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _check(self) -> SiteView:
        """Callers who come while a check runs share the next one: theirs must start after they asked."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            self._next_check = None
            rows = await loop.run_in_executor(self._readers, self._connections.read_bare, _GENERATION)
            if not rows:
                raise StoreUnavailable("the database has no schema; run: ime-gateway check", "table site has no row")
            if self._view is None or self._view.generation != rows[0][0]:
                self._view = await loop.run_in_executor(self._readers, self._load_view)
            return self._view

    def _load_view(self) -> SiteView:
        with self._connections.read() as connection:
            return load_view(connection)

    def _forget_outdated(self, view: SiteView) -> None:
        if view.generation > self._cached_generation:
            self._cached, self._cached_by_name, self._cached_owners = {}, {}, {}
            self._cached_generation = view.generation

    def _load_named(self, thumbprints: Sequence[str]) -> dict[str, Certificate]:
        rows = self._connections.read_bare_for(BY_THUMBPRINT, thumbprints)
        return {thumbprint: Certificate.from_der(bytes(der)) for thumbprint, der in rows}

    def _load_owners(self, thumbprints: Sequence[str]) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = dict.fromkeys(thumbprints, ())
        for thumbprint, address in self._connections.read_bare_for(OWNERS, thumbprints):
            found[thumbprint] = (*found[thumbprint], address)
        return found

    def _load(self, addresses: Sequence[str]) -> dict[str, tuple[Certificate, ...]]:
        found: dict[str, list[Certificate]] = {address: [] for address in addresses}
        for address, der in self._connections.read_bare_for(BY_ADDRESS, addresses):
            found[address].append(Certificate.from_der(der))
        return {address: tuple(certificates) for address, certificates in found.items()}

    def _generation_in_file(self) -> int:
        with storage_errors():
            identity = self._connections.identity()
            if self._file is None or self._file_identity != identity:
                self.close()
                self._file = self._connections.open_file()
                self._file_identity = identity
            row = self._file.execute(_GENERATION).fetchone()
        return int(row[0]) if row else -1
