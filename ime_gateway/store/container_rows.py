"""The Containers of ports/containers: IME keys, signer pins, challenges and what was seen, on both engines.

This file is the asyncio side; what happens inside the transactions stands in container_writes and challenge_writes.
Reads ask the database each time: an administrator's "revoke" holds for the very next container, in every worker and
node.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import Asking, Challenge, ImeKey, Learnt, Pin, Seen
from ime_gateway.ports.queue import Event, Parcel
from ime_gateway.store.challenge_writes import ChallengeRequest, Confirmation, confirm_challenges, insert_challenges
from ime_gateway.store.connections import Connections
from ime_gateway.store.container_writes import CiphertextRequest, forget_old, take_places
from ime_gateway.store.group_commit import GroupCommit
from ime_gateway.store.rows import event_values, parcel_rows, storable
from ime_gateway.store.sealed_secrets import SecretBox

_KEYS = (
    "SELECT thumbprint, der, sealed_private_key, opens_until FROM ime_keys WHERE domain = ?"
    " AND sealed_private_key IS NOT NULL AND (opens_until IS NULL OR opens_until > ?)"
    " ORDER BY CASE WHEN opens_until IS NULL THEN 0 ELSE 1 END, made_at DESC, thumbprint"
)
_PINS = "SELECT address, der, state, origin, at, note FROM signer_pins WHERE address = ? ORDER BY at DESC, thumbprint"
_SEEN = "SELECT sender, message, at FROM containers_seen WHERE replay_key = ? AND keep_until > ?"
_FIRST_CIPHERTEXT = "SELECT ciphertext_digest FROM first_ciphertexts WHERE key_digest = ? AND keep_until > ?"
_OPEN_CHALLENGE = "SELECT address, der, sent_at, expires_at FROM challenges WHERE token_hash = ? AND expires_at > ?"
_LEARNT = "SELECT address, capabilities, signing_time, preferred FROM learnt WHERE address IN ({list})"


def ime_key_place(domain: str, thumbprint: str) -> str:
    """The row for which a private key is sealed."""
    return f"{domain} {thumbprint}"


class StoredContainers:
    """Keys, pins, challenges and the memory of containers and ciphertexts."""

    def __init__(
        self, connections: Connections, commits: GroupCommit, box: SecretBox, readers: Executor, clock: Clock
    ) -> None:
        """Built by `open_store`."""
        self._connections = connections
        self._commits = commits
        self._box = box
        self._readers = readers
        self._clock = clock

    async def ime_keys(self, domain: str, moment: float) -> tuple[ImeKey, ...]:
        """As the port says."""
        return await self._read(self._open_keys, domain, moment)  # type: ignore[no-any-return]

    async def pins(self, address: str) -> tuple[Pin, ...]:
        """As the port says."""
        rows = await self._read(self._connections.read_bare, _PINS, (storable(address),))
        return tuple(Pin(row[0], Certificate.from_der(bytes(row[1])), *row[2:]) for row in rows)

    async def seen(self, replay_key: str) -> Seen | None:
        """As the port says."""
        rows = await self._read(self._connections.read_bare, _SEEN, (replay_key, self._clock.now()))
        return Seen(*rows[0]) if rows else None

    async def first_ciphertext(self, key_digest: str, ciphertext_digest: str, keep_until: float) -> bool:
        """As the port says."""
        request = CiphertextRequest(key_digest, ciphertext_digest, keep_until, self._clock.now())
        first: bool = await self._commits.run(take_places, request)
        return first

    async def ciphertext_under(self, key_digest: str) -> str | None:
        """As the port says."""
        rows = await self._read(self._connections.read_bare, _FIRST_CIPHERTEXT, (key_digest, self._clock.now()))
        return str(rows[0][0]) if rows else None

    async def challenge(
        self,
        challenge: Challenge,
        mail: Parcel,
        events: Sequence[Event],
        most_open: int,
        renew_before: float = float("-inf"),
    ) -> Asking:
        """As the port says."""
        rows = parcel_rows(mail, events, self._box, None)
        request = ChallengeRequest(challenge, rows, mail.id, most_open, renew_before)
        asking: Asking = await self._commits.run(insert_challenges, request)
        return asking

    async def open_challenge(self, token_hash: str, moment: float) -> Challenge | None:
        """As the port says."""
        rows = await self._read(self._connections.read_bare, _OPEN_CHALLENGE, (token_hash, moment))
        if not rows:
            return None
        address, der, sent_at, expires_at = rows[0]
        return Challenge(token_hash, address, Certificate.from_der(bytes(der)), sent_at, expires_at)

    async def confirm(self, token_hash: str, pin: Pin, events: Sequence[Event]) -> bool:
        """As the port says. `pin.at` is the moment of the answer; the challenge must have asked for this person and
        certificate, and still be open then."""
        request = Confirmation(token_hash, pin, [event_values(event) for event in events])
        stored: bool = await self._commits.run(confirm_challenges, request)
        return stored

    async def learnt(self, addresses: Sequence[str]) -> dict[str, Learnt]:
        """As the port says."""
        keys = sorted({storable(address) for address in addresses})
        rows = await self._read(self._connections.read_bare_for, _LEARNT, keys)
        return {row[0]: Learnt(row[0], bytes(row[1]), row[2], row[3]) for row in rows}

    def forget_old(self, moment: float) -> list[str]:
        """Remove what has had its time by `moment`; the domains whose older private keys were erased, because
        their overlap is over. Blocking; raises StoreUnavailable."""
        erased: list[str] = self._commits.run_blocking(forget_old, moment)
        return erased

    def _open_keys(self, domain: str, moment: float) -> tuple[ImeKey, ...]:
        return tuple(
            ImeKey(
                domain,
                Certificate.from_der(bytes(der)),
                self._box.open("ime_keys", ime_key_place(domain, thumbprint), bytes(sealed)),
                float("inf") if opens_until is None else opens_until,
            )
            for thumbprint, der, sealed, opens_until in self._connections.read_bare(_KEYS, (domain, moment))
        )

    async def _read(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(function, *arguments))
