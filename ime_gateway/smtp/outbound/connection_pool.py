"""Sessions kept for the next message: a handshake costs more than a small mail (RFC 5321 section 4.5.4.1).

One pool per worker. To each host go at most so many connections, fewer where the host wants fewer
(Exchange takes 20 from one source). A host that cannot be reached is left in peace for a moment, so
that a thousand waiting messages do not each wait for the same time-out.
"""

import asyncio
import socket
import ssl
from dataclasses import dataclass, field

import structlog

from ime_gateway.smtp.outbound.client import ConnectionBroken
from ime_gateway.smtp.outbound.route_lookup import NextHop
from ime_gateway.smtp.outbound.session import Manners, Session, TlsFailed, open_session

_MOST_ADDRESSES = 4
"""Addresses of one host that are tried."""
_SHORTEST_PEACE_SECONDS = 0.5
_LONGEST_PEACE_SECONDS = 30.0

log = structlog.get_logger("delivery")


@dataclass(slots=True)
class _Host:
    """What is known of one next hop."""

    allowed: int
    """Connections it may have now."""
    used: int = 0
    """Sessions in use or being opened."""
    users: int = 0
    """Messages that hold a session or wait for one."""
    idle: list[Session] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    peace_until: float = 0.0
    """Until then (by the loop's clock) no new connection is tried."""
    trouble: str = ""


class ConnectionPool:
    """Sessions by next hop."""

    def __init__(
        self, manners: Manners, context: ssl.SSLContext, *, connections_per_hop: int, idle_seconds: float
    ) -> None:
        self._manners = manners
        self._context = context
        self._limit = connections_per_hop
        self._idle_seconds = idle_seconds
        self._hosts: dict[NextHop, _Host] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def acquire(self, hop: NextHop, *, fresh: bool = False) -> Session:
        """A session for one message, an idle one unless `fresh`. Raises ConnectionBroken.

        Waits while the hop has all the connections it may have. Give it back by `release`.
        """
        host = self._hosts.get(hop)
        if host is None:
            host = self._hosts[hop] = _Host(self._limit)
        host.users += 1
        try:
            while True:
                if host.used < host.allowed:
                    session = None if fresh else self._reuse(host)
                    session = session or await self._open(hop, host)
                    if session is not None:
                        return session
                    fresh = False
                else:
                    await host.changed.wait()
        except BaseException:
            self._leave(hop, host)
            raise

    def release(self, hop: NextHop, session: Session) -> None:
        """The message is done; the session is kept if it is fit for another."""
        host = self._hosts[hop]
        if session.reusable:
            session.idle_since = asyncio.get_running_loop().time()
            host.idle.append(session)
            self._sweep_later()
        else:
            session.close()
        self._free(host)
        self._leave(hop, host)

    def close(self) -> None:
        """Close what is idle; sessions in use are closed by whoever uses them."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for host in self._hosts.values():
            for session in host.idle:
                session.close()
            host.idle.clear()

    def _reuse(self, host: _Host) -> Session | None:
        """The session used last: the others may then grow old and be closed."""
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        while host.idle:
            session = host.idle.pop()
            if session.reusable and session.idle_since >= oldest:
                host.used += 1
                return session
            session.close()
        return None

    async def _open(self, hop: NextHop, host: _Host) -> Session | None:
        """A new session; None when the host takes no more connections beside those it has."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if begun < host.peace_until and not host.used:
            raise ConnectionBroken(host.trouble)
        host.used += 1
        try:
            session = await self._open_any_address(hop)
        except ConnectionBroken as error:
            self._free(host)
            # As long as the failure itself took: what fails at once may be tried at once.
            peace = min(max(loop.time() - begun, _SHORTEST_PEACE_SECONDS), _LONGEST_PEACE_SECONDS)
            host.peace_until, host.trouble = loop.time() + peace, str(error)
            self._sweep_later()
            if not host.used:
                raise
            host.allowed = host.used  # until the next sweep
            return None
        except BaseException:
            self._free(host)
            raise
        host.peace_until = 0.0
        return session

    def _free(self, host: _Host) -> None:
        host.used -= 1
        host.allowed = max(host.allowed, 1)
        host.changed.set()  # everybody who waits now looks again
        host.changed.clear()

    async def _open_any_address(self, hop: NextHop) -> Session:
        trouble = ConnectionBroken(f"the host {hop.host} has no address")
        for address in await _addresses(hop):
            try:
                return await self._open_address(hop, address)
            except ConnectionBroken as error:
                trouble = error
        raise trouble

    async def _open_address(self, hop: NextHop, address: str) -> Session:
        try:
            context = self._context if hop.encrypt else None
            return await open_session(hop.host, address, hop.port, self._manners, context)
        except TlsFailed as error:
            # Opportunistic only (RFC 7435): whoever demands TLS must let this error through.
            log.warning("TLS failed, going on in clear", host=hop.host, address=address, cause=str(error))
            return await open_session(hop.host, address, hop.port, self._manners, None)

    def _leave(self, hop: NextHop, host: _Host) -> None:
        host.users -= 1
        self._forget(hop, host)

    def _forget(self, hop: NextHop, host: _Host) -> None:
        """The world has more hosts than memory: one that tells us nothing is not kept."""
        if not host.users and not host.idle and host.peace_until <= asyncio.get_running_loop().time():
            self._hosts.pop(hop, None)

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        oldest = asyncio.get_running_loop().time() - self._idle_seconds
        for hop, host in list(self._hosts.items()):
            kept = []
            for session in host.idle:
                if session.reusable and session.idle_since > oldest:
                    kept.append(session)
                else:
                    session.close()
            host.idle = kept
            host.allowed = self._limit
            host.changed.set()
            host.changed.clear()
            self._forget(hop, host)
        if any(host.idle or host.peace_until for host in self._hosts.values()):
            self._sweep_later()


async def _addresses(hop: NextHop) -> list[str]:
    """Numeric addresses, in the machine's order of preference (RFC 6724). Raises ConnectionBroken."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(hop.host, hop.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise ConnectionBroken(f"the host {hop.host} cannot be found: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:_MOST_ADDRESSES]
