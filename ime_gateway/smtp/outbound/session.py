"""A greeted server, by TLS where it offers that: from the connection to the first MAIL (RFC 5321 section 3.1).

Only what the server says inside TLS counts once TLS stands (RFC 3207 section 4.2), and no odd code is
taken for a yes: a server that is out of step now would be out of step after the final dot.
"""

import ssl
from dataclasses import dataclass

from ime_gateway.smtp.outbound import commands
from ime_gateway.smtp.outbound.capabilities import Capabilities, parse_capabilities
from ime_gateway.smtp.outbound.client import Connection, ConnectionBroken, connect
from ime_gateway.smtp.outbound.reply_parser import Reply
from ime_gateway.smtp.replies import OK, READY_FOR_TLS, code
from ime_gateway.smtp.tls_inbound import describe

_MOST_TRANSACTIONS = 1000
"""A connection is replaced after so many messages, so that load spreads again over the hosts behind a name."""


class TlsFailed(ConnectionBroken):
    """TLS was offered and did not come about; the connection is gone."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How we introduce ourselves and how long we wait."""

    hostname: str
    """Our name in EHLO (RFC 5321 section 4.1.1.1)."""
    connect_seconds: float
    reply_seconds: float

    @property
    def end_seconds(self) -> float:
        """Wait for the reply to the final dot: twice as long (RFC 5321 section 4.5.3.2.6)."""
        return 2 * self.reply_seconds


@dataclass(slots=True)
class Session:
    """One server that waits for MAIL."""

    connection: Connection
    manners: Manners
    capabilities: Capabilities
    peer: str
    """Host, address and port, for logs and reports."""
    tls: str = ""
    """TLS version and cipher; empty in clear."""
    transactions: int = 0
    """Messages handed over so far."""
    idle_since: float = 0.0
    """By the loop's clock; above 0 the session was idle and the server may have lost patience meanwhile."""

    @property
    def reusable(self) -> bool:
        """Fit for another message."""
        return self.transactions < _MOST_TRANSACTIONS and self.connection.idle_and_sound

    def close(self) -> None:
        """Say goodbye without waiting for the answer: QUIT never decides about mail."""
        self.connection.close(commands.QUIT)


async def open_session(host: str, address: str, port: int, manners: Manners, context: ssl.SSLContext | None) -> Session:
    """Connect to a numeric address, hear the greeting, say EHLO, and start TLS where it is offered.

    context: None for a session in clear. Raises ConnectionBroken, or TlsFailed when only TLS failed.
    """
    connection = await connect(address, port, manners.connect_seconds)
    session = Session(connection, manners, Capabilities(), f"{host} [{address}]:{port}")
    try:
        greeting = await connection.read_reply(manners.reply_seconds)
        if greeting.code != code(READY_FOR_TLS):
            raise ConnectionBroken(f"the server takes no mail now: {greeting.code} {greeting.text}")
        await _hello(session)
        if context is not None and session.capabilities.starttls:
            await _start_tls(session, host, context)
            await _hello(session)
    except BaseException:
        connection.close(commands.QUIT)
        raise
    return session


async def _hello(session: Session) -> None:
    """EHLO, and HELO for servers that do not know it (RFC 5321 section 3.2)."""
    reply = await _ask(session, commands.hello("EHLO", session.manners.hostname))
    if reply.code == code(OK):
        session.capabilities = parse_capabilities(reply)
        return
    # A server that greeted us by EHLO and no longer knows it inside TLS is not the one we spoke to.
    if reply.kind == 5 and not session.tls:
        reply = await _ask(session, commands.hello("HELO", session.manners.hostname))
        if reply.code == code(OK):
            session.capabilities = Capabilities()
            return
    raise ConnectionBroken(f"the server did not take our EHLO: {reply.code} {reply.text}")


async def _start_tls(session: Session, host: str, context: ssl.SSLContext) -> None:
    reply = await _ask(session, commands.STARTTLS)
    if reply.code != code(READY_FOR_TLS):
        raise TlsFailed(f"the server offered STARTTLS and refused it: {reply.code} {reply.text}")
    try:
        secured = await session.connection.start_tls(context, host, session.manners.connect_seconds)
    except ConnectionBroken as error:
        raise TlsFailed(str(error)) from error
    session.tls = describe(secured)


async def _ask(session: Session, command: bytes) -> Reply:
    if session.connection.unread is not None:
        raise ConnectionBroken("the server answered before it was asked")
    session.connection.write(command)
    return await session.connection.read_reply(session.manners.reply_seconds)
