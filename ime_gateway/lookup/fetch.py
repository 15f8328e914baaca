"""Fetches over HTTP what certificates point to, bounded in time, size, redirects and reach.

The peer is a stranger whose URL stood in a certificate: it may be slow, huge, lying, or not a web server at all. Each
hop is resolved and judged anew (`network_guard`) and connected to by the address that was judged; nothing of ours goes
along (no credentials, no cookies, no proxy of the environment), and what comes is only bytes for others to check.
"""

import asyncio
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin

from ime_gateway.lookup.network_guard import Forbidden, Network, resolve, target
from ime_gateway.ports.revocation import Unfetched

_SCHEMES: Final = ("http", "https")
_MOST_REDIRECTS = 3
_PIECE = 65_536
_AGENT = "ime-gateway"


@dataclass(slots=True)
class Exchange:
    """One fetch in its thread; whoever waits for it may break it off from outside."""

    deadline: float
    """By the monotonic clock."""
    sock: socket.socket | None = None
    broken: bool = False

    def left(self) -> float:
        """Seconds until the deadline; raises TimeoutError when it has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0 or self.broken:
            raise TimeoutError
        return left

    @property
    def is_over(self) -> bool:
        """The deadline has passed, or nobody waits any more."""
        return self.broken or time.monotonic() >= self.deadline

    def break_off(self) -> None:
        """End whatever the thread waits for: a peer that sends an octet a second never lets a wait time out."""
        self.broken = True
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _GuardedConnection(http.client.HTTPConnection):
    """An HTTP connection to an address that was judged before."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, allowed: Sequence[Network], work: Exchange):
        super().__init__(host, port, timeout=work.left())
        self._tls = tls
        self._allowed = allowed
        self._work = work

    def connect(self) -> None:
        """Instead of the library's own way, which would resolve the name again."""
        failure: OSError | None = None
        for family, place in resolve(self.host, self.port, self._allowed):
            sock = socket.socket(family, socket.SOCK_STREAM)
            self._work.sock = sock
            try:
                sock.settimeout(self._work.left())
                sock.connect(place)
                if self._tls is not None:
                    sock = self._tls.wrap_socket(sock, server_hostname=self.host)
                    self._work.sock = sock
            except OSError as error:
                sock.close()
                failure = error
                continue
            self.sock = sock
            return
        raise failure or OSError("no address")


@dataclass(slots=True)
class Fetcher:
    """Fetches; usable from any event loop. How many at a time is for its callers to limit."""

    seconds: float
    """For one fetch with its redirects."""
    max_bytes: int
    allowed: Sequence[Network] = ()
    """Networks that may be asked though they are not public."""

    async def fetch(self, url: str, body: bytes | None = None, kind: str = "", limit: int = 0) -> bytes | Unfetched:
        """What a GET, or a POST of `body` with content type `kind`, brings. `limit`: octets, default `max_bytes`.

        Never raises for what the peer does. Cancelled, it breaks the connection off.
        """
        return await self.limited(lambda work: self._walk(url, body, kind, limit or self.max_bytes, work))

    async def limited(self, work_off: Callable[[Exchange], bytes | Unfetched]) -> bytes | Unfetched:
        """What a blocking fetch of any kind brings, in a thread and within the time; it notes its socket in the
        exchange that it gets, so that it can be broken off."""
        work = Exchange(time.monotonic() + self.seconds)
        try:
            async with asyncio.timeout(self.seconds + 1):
                return await _in_thread(lambda: work_off(work))
        except TimeoutError:
            return Unfetched(f"no answer within {self.seconds:g} s")
        finally:
            work.break_off()

    def _walk(self, url: str, body: bytes | None, kind: str, limit: int, work: Exchange) -> bytes | Unfetched:
        """Follow redirects; in a thread."""
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                got = self._ask(url, body, kind, limit, work)
                if not isinstance(got, _Elsewhere):
                    return got
                url = urljoin(url, got.url)
            return Unfetched(f"more than {_MOST_REDIRECTS} redirects")
        except Forbidden as error:
            return Unfetched(str(error))
        except TimeoutError:
            return Unfetched(f"no answer within {self.seconds:g} s")
        except ssl.SSLError as error:
            return Unfetched(f"TLS: {error.reason or 'failed'}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            if work.broken:
                return Unfetched(f"no answer within {self.seconds:g} s")
            return Unfetched(_trouble(error))

    def _ask(
        self, url: str, body: bytes | None, kind: str, limit: int, work: Exchange
    ) -> "bytes | _Elsewhere | Unfetched":
        parts, host, port = target(url, _SCHEMES)
        tls = ssl.create_default_context() if parts.scheme.lower() == "https" else None
        connection = _GuardedConnection(host, port, tls, self.allowed, work)
        headers = {"User-Agent": _AGENT, "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        if kind:
            headers["Content-Type"] = kind
        try:
            connection.request("GET" if body is None else "POST", _path(parts), body, headers)
            answer = connection.getresponse()
            again = (301, 302, 303, 307, 308) if body is None else (307, 308)
            if answer.status in again and (elsewhere := answer.getheader("Location")):
                return _Elsewhere(elsewhere)
            if answer.status != 200:
                return Unfetched(f"HTTP status {answer.status}")
            if answer.getheader("Content-Encoding", "identity").lower() != "identity":
                return Unfetched("the answer is compressed, which was not asked for")
            return _read(answer, limit, work)
        finally:
            connection.close()


def _in_thread(work: Callable[[], bytes | Unfetched]) -> "asyncio.Future[bytes | Unfetched]":
    """Its result. A thread of a pool would hold up the end of the process for as long as a silent peer likes."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bytes | Unfetched] = loop.create_future()

    def tell(result: bytes | Unfetched) -> None:
        if not future.done():
            future.set_result(result)

    def run() -> None:
        result = work()
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=run, name="lookup", daemon=True).start()
    return future


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    url: str


def _read(answer: http.client.HTTPResponse, limit: int, work: Exchange) -> bytes | Unfetched:
    if answer.length is not None and answer.length > limit:
        return Unfetched(f"the answer has {answer.length} bytes, at most {limit} are taken")
    pieces, size = [], 0
    while piece := answer.read(_PIECE):
        work.left()
        size += len(piece)
        if size > limit:
            return Unfetched(f"the answer has more than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _trouble(error: Exception) -> str:
    """An error of the network in words that administrators read."""
    if isinstance(error, socket.gaierror):
        return "the name of the server cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(error, ConnectionResetError):
        return "the server broke the connection off"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection failed: {_words(error.strerror)}"
    return f"{type(error).__name__}: {_words(str(error))}"


def _path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _words(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:200])
