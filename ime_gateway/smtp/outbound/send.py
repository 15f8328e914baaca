"""The `Relay` of `ports/relay.py`: one message by one route, host after host (RFC 5321 section 5.1)."""

from collections.abc import Callable, Mapping

from ime_gateway.mail.delivery_report import Status
from ime_gateway.ports.exchangers import ExchangerLookup
from ime_gateway.ports.relay import Content, OutboundMail, RelayReply, RelayResult
from ime_gateway.settings.model import Delivery
from ime_gateway.smtp.outbound.client import ConnectionBroken
from ime_gateway.smtp.outbound.connection_pool import ConnectionPool
from ime_gateway.smtp.outbound.route_lookup import SMTP_PORT, NextHop, RouteLookup
from ime_gateway.smtp.outbound.session import Manners, Session
from ime_gateway.smtp.outbound.tls_outbound import opportunistic_context
from ime_gateway.smtp.outbound.transaction import HandedOver, hand_over

_REMEMBERED_SIZES = 10_000


class OutboundRelay:
    """Sends mail; made once per worker, inside its event loop."""

    def __init__(
        self,
        hostname: str,
        delivery: Delivery,
        lookup: ExchangerLookup,
        randomness: Callable[[int], bytes],
        *,
        mx_port: int = SMTP_PORT,
    ) -> None:
        """`hostname`: our name in EHLO. `mx_port`: the port of mail exchangers, 25 but in tests."""
        self._routes = RouteLookup(lookup, hostname, randomness, mx_port)
        self._pool = ConnectionPool(
            Manners(hostname, delivery.connect_seconds, delivery.reply_seconds),
            opportunistic_context(),
            connections_per_hop=delivery.connections_per_hop,
            idle_seconds=delivery.idle_seconds,
        )
        self._sizes: dict[str, int] = {}

    async def send(
        self, route: str, domain: str, mail: OutboundMail, content: Content, *, use_tls: bool
    ) -> RelayResult:
        """As the port says."""
        hops = await self._routes.hosts(route, domain, encrypt=use_tls)
        if isinstance(hops, RelayReply):
            return RelayResult([hops] * len(mail.recipients), peer="")
        result = RelayResult([], peer="")
        for hop in hops:
            try:
                result, final = await self._send_to(hop, _size_key(route, domain), mail, content)
            except ConnectionBroken as error:
                reply = RelayReply.own(Status.NO_ANSWER, f"{hop.host}: {error}")
                result, final = RelayResult([reply] * len(mail.recipients), peer=""), False
            if final:
                break
        return result

    def size_limit(self, route: str, domain: str) -> int | None:
        """As the port says."""
        return self._sizes.get(_size_key(route, domain))

    def recall_sizes(self, sizes: Mapping[str, int]) -> None:
        """As the port says."""
        self._sizes = {**sizes, **self._sizes}

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    async def _send_to(
        self, hop: NextHop, size_key: str, mail: OutboundMail, content: Content
    ) -> tuple[RelayResult, bool]:
        """One host; with True when its answers stand. Raises ConnectionBroken when there is no session."""
        session = await self._pool.acquire(hop)
        reused = session.idle_since > 0
        handed = await self._hand_over(hop, session, size_key, mail, content)
        if handed.progress == "none" and reused:
            # An idle server may hang up at any time; that says nothing about this message.
            session = await self._pool.acquire(hop, fresh=True)
            handed = await self._hand_over(hop, session, size_key, mail, content)
        result = RelayResult(handed.replies, session.peer, session.tls, session.capabilities.dsn)
        return result, handed.progress == "decided"

    async def _hand_over(
        self, hop: NextHop, session: Session, size_key: str, mail: OutboundMail, content: Content
    ) -> HandedOver:
        self._remember_size(size_key, session.capabilities.size_limit)
        try:
            return await hand_over(session, mail, content)
        finally:
            self._pool.release(hop, session)

    def _remember_size(self, key: str, limit: int | None) -> None:
        if limit is None:
            self._sizes.pop(key, None)
            return
        self._sizes[key] = limit
        if len(self._sizes) > _REMEMBERED_SIZES:
            self._sizes.pop(next(iter(self._sizes)))


def _size_key(route: str, domain: str) -> str:
    return f"mx:{domain}" if route == "mx" else route
