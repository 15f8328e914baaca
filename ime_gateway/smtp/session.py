"""One SMTP conversation, from greeting to goodbye: which command may come when, and what it changes (RFC 5321).

The session decides nothing about mail: permission is a table (`relay_permission`), syntax is `commands`, the words are
`replies`, and what becomes of a message is the business of the `Reception` behind the door.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import assert_never

from ime_gateway.ports.reception import SessionInfo
from ime_gateway.smtp import commands, proxy_protocol, relay_permission, replies, tls_inbound
from ime_gateway.smtp.command_lines import LineFault
from ime_gateway.smtp.commands import CommandError
from ime_gateway.smtp.door import Door
from ime_gateway.smtp.mail_dialogue import MailDialogue
from ime_gateway.smtp.wire import PeerGone, Stopping, TimedOut, Wire

_SHORT_LINE = 512
"""Octets of a command line with its CRLF (RFC 5321 section 4.5.3.1.4); MAIL and RCPT have parameters and more room."""
_PROXY_SECONDS = 5.0
_BEFORE_TLS = frozenset({"EHLO", "HELO", "NOOP", "RSET", "QUIT", "STARTTLS", "BDAT"})
"""What runs where TLS is demanded and not there yet (RFC 3207 section 4). BDAT refuses by itself, for lack of a
transaction, after reading its octets: they must not become commands."""


class Session:
    """The state of one conversation; its mail half is a MailDialogue."""

    def __init__(self, door: Door, wire: Wire, peer_ip: str) -> None:
        self._door = door
        self._wire = wire
        info = SessionInfo(listener=door.listener.name, role=door.listener.role, peer_ip=peer_ip)
        self._mail = MailDialogue(door, wire, info)
        self._between_commands = True
        self._open = True
        self._stopping = False
        self._errors = 0
        self._verbs: dict[str, Callable[[str], Awaitable[bytes]]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "MAIL": self._mail.mail,
            "RCPT": self._mail.rcpt,
            "DATA": self._mail.data,
            "BDAT": self._mail.bdat,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "STARTTLS": self._starttls,
            "VRFY": self._vrfy,
            "EXPN": self._not_implemented,
            "AUTH": self._not_implemented,
            "HELP": self._help,
        }

    async def run(self) -> None:
        """Talk until the peer, the time or the gateway ends it; never raises for what a peer does."""
        try:
            if self._door.listener.proxy_protocol:
                await self._read_proxy_header()
            self._wire.write(replies.greeting(self._door.smtp.hostname))
            while self._open:
                await self._next_command()
        except PeerGone as gone:
            if gone.evidence:
                self._log("connection failed", cause=f"{gone} ({gone.evidence})")
        except proxy_protocol.ProxyHeaderError as error:
            self._log("connection refused", cause=str(error))
        except TimedOut:
            self._wire.write(replies.TIMED_OUT)
        except Stopping:
            self._wire.write(replies.STOPPING)
        finally:
            self._mail.reset()
            if self._errors:
                self._log("protocol errors", errors=self._errors)
            self._wire.close()

    def stop(self) -> None:
        """End the conversation as soon as no transaction is open (RFC 5321 section 3.8)."""
        self._stopping = True
        if self._mail.is_idle and self._between_commands:
            self._wire.interrupt(Stopping("the gateway stops"))

    # The loop

    async def _next_command(self) -> None:
        if self._stopping and self._mail.is_idle:
            raise Stopping("the gateway stops")
        line = await self._wire.line(self._door.smtp.command_seconds)
        try:
            self._between_commands = False
            reply = await self._run_line(line)
        except CommandError as error:
            reply = error.reply
        except (PeerGone, TimedOut, Stopping):
            raise
        except Exception:  # the edge: an unforeseen error refuses this mail and spares the others
            self._door.log.exception("unexpected error", **self._who())
            self._mail.reset()
            reply = replies.INTERNAL_ERROR
        self._between_commands = True
        self._open = self._open and self._mail.in_step
        self._wire.write(reply)
        if replies.is_protocol_error(reply):
            self._errors += 1
            if self._errors >= self._door.smtp.max_errors and self._open:
                self._wire.write(replies.TOO_MANY_ERRORS)
                self._open = False

    async def _run_line(self, line: bytes | LineFault) -> bytes:
        match line:
            case LineFault.TOO_LONG:
                return replies.LINE_TOO_LONG
            case LineFault.BARE_NEWLINE:
                return replies.BARE_NEWLINE_IN_COMMAND
            case LineFault.CONTROL:
                return replies.CONTROL_IN_COMMAND
            case bytes():
                pass
            case _:
                assert_never(line)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return replies.NOT_TEXT
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        run = self._verbs.get(verb)
        if run is None:
            return replies.UNKNOWN_COMMAND
        if len(line) + 2 > _SHORT_LINE and verb not in ("MAIL", "RCPT"):
            return replies.LINE_TOO_LONG
        if self._door.listener.tls == "mandatory" and not self._mail.session.tls and verb not in _BEFORE_TLS:
            return replies.TLS_FIRST
        return await run(argument.strip(" "))

    # Commands about the session

    async def _ehlo(self, argument: str) -> bytes:
        self._greet(argument, esmtp=True)
        keywords = ["PIPELINING", f"SIZE {self._door.smtp.max_message_bytes}", "8BITMIME", "SMTPUTF8", "DSN"]
        keywords += ["ENHANCEDSTATUSCODES", "CHUNKING"]
        if self._door.tls is not None and not self._mail.session.tls:
            keywords.append("STARTTLS")
        return replies.hello(self._door.smtp.hostname, keywords)

    async def _helo(self, argument: str) -> bytes:
        self._greet(argument, esmtp=False)
        return replies.hello(self._door.smtp.hostname, None)

    def _greet(self, argument: str, *, esmtp: bool) -> None:
        """A greeting also resets the transaction (RFC 5321 section 4.1.4)."""
        self._mail.session = replace(self._mail.session, helo=commands.parse_hello(argument), esmtp=esmtp)
        self._mail.reset()

    async def _starttls(self, argument: str) -> bytes:
        if argument:
            return replies.NO_ARGUMENT
        if self._door.tls is None:
            return replies.NOT_IMPLEMENTED
        if self._mail.session.tls:
            return replies.out_of_order("TLS is active already")
        if not self._mail.session.helo:
            return replies.out_of_order("EHLO comes first")
        if self._wire.has_unread_input:
            # Somebody on the path may have added commands that would run inside TLS (RFC 3207 section 6).
            self._log("connection refused", cause="commands behind STARTTLS")
            self._open = False
            return replies.STARTTLS_NOT_LAST
        # Nothing that was said in clear counts afterwards (RFC 3207 section 4.2).
        self._mail.reset()
        self._mail.session = replace(self._mail.session, helo="")
        self._wire.write(replies.READY_FOR_TLS)
        self._open = False  # whatever goes wrong in the handshake, the session does not go on in clear
        connection = await self._wire.start_tls(self._door.tls)
        self._open = True
        names = tls_inbound.certificate_names(connection)
        self._mail.session = replace(
            self._mail.session, tls=tls_inbound.describe(connection), client_certificate_names=names
        )
        return b""

    async def _rset(self, argument: str) -> bytes:
        if argument:
            return replies.NO_ARGUMENT
        self._mail.reset()
        return replies.OK

    async def _noop(self, argument: str) -> bytes:
        return replies.OK

    async def _vrfy(self, argument: str) -> bytes:
        return replies.WILL_TRY

    async def _help(self, argument: str) -> bytes:
        return replies.HELP

    async def _not_implemented(self, argument: str) -> bytes:
        return replies.NOT_IMPLEMENTED

    async def _quit(self, argument: str) -> bytes:
        if argument:
            return replies.NO_ARGUMENT
        self._open = False
        return replies.CLOSING

    # Around it

    async def _read_proxy_header(self) -> None:
        data = bytearray()
        while (header := proxy_protocol.read_header(data)) is None:
            data += await self._wire.header(_PROXY_SECONDS)
        self._wire.put_back(data[header.length :])
        if header.client_ip:
            listener = self._door.listener
            if not relay_permission.may_connect(listener.role, listener.allow, header.client_ip):
                self._wire.write(replies.not_allowed(self._door.smtp.hostname))
                raise proxy_protocol.ProxyHeaderError(f"{header.client_ip} behind the balancer is not allowed")
            self._mail.session = replace(self._mail.session, peer_ip=header.client_ip)

    def _who(self) -> dict[str, str]:
        return {"listener": self._mail.session.listener, "peer": self._mail.session.peer_ip}

    def _log(self, event: str, **values: object) -> None:
        self._door.log.warning(event, **self._who(), **values)
