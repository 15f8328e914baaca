"""The HTTPS side: one thread per connection, sign-in, faults, streams, and broken connections on demand."""

import contextlib
import http.server
import json
import socket
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any, Protocol

from tests.servers.ews.dispatch import Dialogue, OwnAnswerWrong, answer, fault, impersonated, read_request
from tests.servers.ews.operations.call import Call
from tests.servers.ews.quirks import Quirks
from tests.servers.ews.refusals import EwsFault
from tests.servers.ews.sign_in import Denied, SignIn
from tests.servers.ews.streaming import stream
from tests.servers.ews.xml_names import local_name

PATH = "/EWS/Exchange.asmx"
TOKEN_PATH = "/oauth2/token"


class Office(Protocol):
    """What the HTTPS side needs of the server."""

    quirks: Quirks
    sign_in: SignIn

    def call_of(self, user: str, spoken_for: str) -> Call:
        """The call of a signed-in user in his own name or another's; raises an EwsFault."""
        ...

    def record(self, dialogue: Dialogue) -> None:
        """Remember what was said."""
        ...

    def closing(self) -> int:
        """A number that changes when all streams shall end."""
        ...

    def blame(self, error: Exception) -> None:
        """Remember a mistake of the double itself."""
        ...


class Front(http.server.ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, office: Office, tls: ssl.SSLContext | None) -> None:
        self.office = office
        self._tls = tls
        self._open: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Conversation)

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept; the TLS handshake happens in the connection's own thread."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection; it is known as long as it lasts."""
        with self._lock:
            self._open[threading.current_thread()] = request
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._open[threading.current_thread()]

    def hang_up(self) -> None:
        """Break off all connections and return when their threads have ended."""
        with self._lock:
            left = dict(self._open)
        for connection in left.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left:
            thread.join(10)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no mistake; anything else is kept."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.office.blame(error)


class _Conversation(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Microsoft-IIS/10.0"
    sys_version = ""
    timeout = 120
    server: Front

    def setup(self) -> None:
        self.request.settimeout(self.timeout)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Say nothing; the dialogues are kept."""

    def do_GET(self) -> None:
        self._refuse(405, ())

    def do_POST(self) -> None:
        office = self.server.office
        length = int(self.headers.get("Content-Length") or 0)
        if length > office.quirks.largest_request:
            self.close_connection = True
            self.rfile.read(length)  # what is left unread would reset the connection before the answer is read
            self._refuse(413, ())
            return
        body = self.rfile.read(length)
        if self.path == TOKEN_PATH:
            self._token(body)
        elif self.path.lower() != PATH.lower():
            self._refuse(404, ())
        else:
            user = office.sign_in.check(self.headers.get("Authorization", ""))
            if isinstance(user, Denied):
                self._refuse(401, user.headers)
            else:
                self._operate(office, user, body)

    def _operate(self, office: Office, user: str, body: bytes) -> None:
        name = "?"
        try:
            if office.quirks.take("busy"):
                raise _busy(office.quirks)
            envelope, request = read_request(body)
            name = local_name(request)
            if name in office.quirks.fail_operations:
                raise EwsFault(*office.quirks.fail_operations[name])
            call = office.call_of(user, impersonated(envelope))
            if name == "GetStreamingEvents":
                begun = office.closing()
                self._stream(
                    office, Dialogue(name, call.user, body), stream(call, request, lambda: office.closing() != begun)
                )
                return
            said = answer(call, request)
            status = 200
        except EwsFault as error:
            said, status = fault(error), 500
        except OwnAnswerWrong as error:
            office.blame(error)
            said, status = fault(EwsFault("ErrorInternalServerError", f"The double is wrong: {error}")), 500
        office.record(Dialogue(name, user, body, said))
        self._answer(office, status, said)

    def _answer(self, office: Office, status: int, said: bytes) -> None:
        if office.quirks.take("cut_connections"):
            self._cut()
            return
        self.send_response(status)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        if office.quirks.take("cut_in_the_middle"):
            self.wfile.write(said[: len(said) // 2])
            self._cut()
            return
        self.wfile.write(said)

    def _stream(self, office: Office, dialogue: Dialogue, pieces: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            office.record(Dialogue(dialogue.operation, dialogue.user, dialogue.request, piece))
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        if office.quirks.stream_cut:
            self._cut()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.request.shutdown(socket.SHUT_RDWR)

    def _refuse(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _token(self, body: bytes) -> None:
        """The token endpoint (RFC 6749 sections 4.3 and 4.4): client credentials, or user and password."""
        form = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode("utf-8", "replace")).items()}
        sign_in = self.server.office.sign_in
        user = form.get("username", "").lower()
        client = form.get("client_id", "")
        given = form.get("client_secret", "")
        if form.get("grant_type") == "password":
            known = user in sign_in.passwords and sign_in.passwords[user] == form.get("password")
        else:
            known = client in sign_in.client_secrets and sign_in.client_secrets[client] == given
            user = ""
        if known:
            token = sign_in.issue(user)
            self._json(200, {"access_token": token.text, "token_type": "Bearer", "expires_in": 3600})
        else:
            self._json(400, {"error": "invalid_grant", "error_description": "AADSTS50126: Invalid credentials."})

    def _json(self, status: int, value: dict[str, object]) -> None:
        said = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def _busy(quirks: Quirks) -> EwsFault:
    return EwsFault(
        "ErrorServerBusy",
        "The server cannot service this request right now. Try again later.",
        {"BackOffMilliseconds": str(quirks.back_off_milliseconds)},
    )
