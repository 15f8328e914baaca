"""The Keyring of ports/keyring: private keys of people and of managed domains, unsealed for as long as nothing changes.

Opening a sealed key and reading its certificate cost more than a decryption with it, so they are kept in memory for
one generation of live data; they are read by address and by domain only, and from no other table than these two (P8).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import Directory
from ime_gateway.ports.keyring import KeptKey
from ime_gateway.store.connections import Connections
from ime_gateway.store.domain_key_rows import domain_key_place
from ime_gateway.store.rows import storable
from ime_gateway.store.sealed_secrets import SecretBox

_PEOPLE: Final = (
    "SELECT a.address, c.thumbprint, c.der, c.sealed_private_key FROM certificate_addresses a"
    " JOIN certificates c ON c.thumbprint = a.thumbprint"
    " WHERE a.address IN ({list}) AND c.sealed_private_key IS NOT NULL"
    " ORDER BY a.address, c.imported_at DESC, c.thumbprint"
)
_DOMAINS: Final = (
    "SELECT domain, thumbprint, der, sealed_private_key, state FROM domain_keys WHERE domain IN ({list})"
    " ORDER BY domain, CASE state WHEN 'current' THEN 0 WHEN 'next' THEN 1 ELSE 2 END, since DESC, made_at DESC,"
    " thumbprint"
)
_CACHED_OWNERS: Final = 5_000

_Load = Callable[[Sequence[str]], dict[str, tuple[KeptKey, ...]]]


class StoredKeyring:
    """Keys by owner; one event loop uses it."""

    def __init__(self, connections: Connections, box: SecretBox, readers: Executor, directory: Directory) -> None:
        """Built by `open_store`. `directory`: tells which generation of live data holds."""
        self._connections = connections
        self._box = box
        self._readers = readers
        self._directory = directory
        self._people: dict[str, tuple[KeptKey, ...]] = {}
        self._domains: dict[str, tuple[KeptKey, ...]] = {}
        self._generation = -1

    async def of_people(self, addresses: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        """As the port says."""
        self._forget_outdated()
        return await self._found(addresses, self._people, self._load_people)

    async def of_domains(self, domains: Sequence[str]) -> Mapping[str, tuple[KeptKey, ...]]:
        """As the port says; domains without a key are missing."""
        self._forget_outdated()
        return await self._found(domains, self._domains, self._load_domains)

    def _forget_outdated(self) -> None:
        """After an administrator's change nothing of before is used: a removed key opens no further mail."""
        view = self._directory.latest()
        generation = -1 if view is None else view.generation
        if view is None or generation != self._generation:
            self._people, self._domains = {}, {}
            self._generation = generation

    async def _found(
        self, owners: Sequence[str], cache: dict[str, tuple[KeptKey, ...]], load: _Load
    ) -> dict[str, tuple[KeptKey, ...]]:
        found = {owner: cache[owner] for owner in owners if owner in cache}
        unknown = sorted(set(owners) - found.keys())
        if unknown:
            loaded = await asyncio.get_running_loop().run_in_executor(self._readers, load, unknown)
            found |= loaded
            cache |= loaded  # the dictionary of the generation before when it changed meanwhile: nobody sees that one
        while len(cache) > _CACHED_OWNERS:
            cache.pop(next(iter(cache)))
        return {owner: keys for owner, keys in found.items() if keys}

    def _load_people(self, addresses: Sequence[str]) -> dict[str, tuple[KeptKey, ...]]:
        found: dict[str, list[KeptKey]] = {address: [] for address in addresses}
        asked = [address for address in addresses if storable(address) == address]
        for address, thumbprint, der, sealed in self._connections.read_bare_for(_PEOPLE, asked):
            key = self._box.open("certificates", thumbprint, bytes(sealed))
            found[address].append(KeptKey(address, Certificate.from_der(bytes(der)), key))
        return {owner: tuple(keys) for owner, keys in found.items()}

    def _load_domains(self, domains: Sequence[str]) -> dict[str, tuple[KeptKey, ...]]:
        found: dict[str, list[KeptKey]] = {domain: [] for domain in domains}
        for domain, thumbprint, der, sealed, state in self._connections.read_bare_for(_DOMAINS, domains):
            key = self._box.open("domain_keys", domain_key_place(domain, thumbprint), bytes(sealed))
            found[domain].append(KeptKey(domain, Certificate.from_der(bytes(der)), key, state))
        return {domain: tuple(keys) for domain, keys in found.items()}
