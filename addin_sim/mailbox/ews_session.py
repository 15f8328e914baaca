"""What is asked of an Exchange server by its web services: with patience, and with failures as sentences.

exchangelib speaks the protocol (SOAP over HTTPS, MS-OXWSCORE and its kin). What it leaves to its user is decided
here: what a busy server gets (MS-OXWSCDATA section 2.2.5: ErrorServerBusy with BackOffMilliseconds), and that nothing
is sent twice after a connection was cut: nobody knows whether Exchange had taken it already.
"""

import contextlib
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from exchangelib.errors import (
    ErrorInternalServerError,
    ErrorInternalServerTransientError,
    ErrorServerBusy,
    ErrorTimeoutExpired,
    EWSError,
    ResponseMessageError,
    TransportError,
    UnauthorizedError,
)
from urllib3.exceptions import HTTPError, NewConnectionError

from addin_sim.mailbox.ews_connections import BUSY_SECONDS, Endpoint, account_at
from addin_sim.mailbox.interface import LoginRefusedError, MailboxError
from addin_sim.outlook_settings import SettingsError

_PATIENCE_SECONDS = 60.0
"""How long one question waits for a busy server, all in all."""

_SHORTEST_PAUSE = 0.2
"""Seconds; whoever says less, or less than nothing, would be asked without an end."""

_NONSENSE = (ValueError, LookupError, AttributeError, TypeError, struct.error, ArithmeticError)
"""What exchangelib, and the reader of NTLM below it, let through when a server answers nonsense: they trust what they
are sent."""

_T = TypeVar("_T")


class UncertainError(MailboxError):
    """The server was asked and has not answered: nobody knows whether it did what it was asked."""


class EwsSession:
    """The services of one mailbox of an Exchange server; for one thread at a time.

    `account` is exchangelib's; every use of it stands in an `ask`. `stopped`: who sets it ends a pause, and no other
    begins.
    """

    def __init__(self, endpoint: Endpoint, address: str, stopped: threading.Event | None = None) -> None:
        self._endpoint = endpoint
        self._address = address
        self._stream: requests.Response | None = None
        self._interrupted = stopped or threading.Event()
        with self._failures():
            self.account = account_at(endpoint, address, self._answered)

    def ask(self, question: Callable[[], _T]) -> _T:
        """Put a question, again while the server is busy. Raises `MailboxError`, of which `UncertainError` is one.

        The question fetches all of its answer: what is read later is not looked after here.
        """
        left = _PATIENCE_SECONDS
        with self._failures():
            while True:
                try:
                    return question()
                except ErrorServerBusy as error:
                    pause = max(error.back_off or BUSY_SECONDS, _SHORTEST_PAUSE)
                    left -= pause
                    if left < 0 or _is_second_hand(error) or self._rest(pause):
                        raise

    def interrupt(self) -> None:
        """End a stream of notifications that another thread reads, or its pause; that session asks no more."""
        self._interrupted.set()
        if self._stream is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError):
                self._stream.raw.shutdown()

    def close(self) -> None:
        """Close every connection; never raises."""
        self.account.protocol.close()

    def _rest(self, seconds: float) -> bool:
        """Leave the server alone for so long; true when somebody interrupts."""
        return self._interrupted.wait(seconds)

    def _answered(self, response: requests.Response, *_: object, **__: object) -> None:
        self._stream = response

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Every failure as one sentence."""
        try:
            yield
        except SettingsError as error:  # the file of an access token
            raise MailboxError(str(error)) from error
        except (EWSError, requests.RequestException, OSError, *_NONSENSE) as error:
            host = urlsplit(self._endpoint.url).netloc
            reason = failure_in_words(error, self._endpoint)
            raise _kind_of(error, self._endpoint)(
                f"The mailbox of {self._address} at {host} cannot be used: {reason}"
            ) from error


def failure_in_words(error: BaseException, endpoint: Endpoint) -> str:
    """What went wrong, as the end of a sentence without its full stop."""
    match error:
        case UnauthorizedError() if endpoint.auth == "bearer":
            return "the server refused the access token; it has run out or was made for something else"
        case UnauthorizedError():
            return f"the server refused the login of {endpoint.user}{error}"
        case ErrorServerBusy() if not _is_second_hand(error):
            return f"the server is busy and asks to come back in {error.back_off or BUSY_SECONDS:.0f} seconds"
        case ResponseMessageError() if not isinstance(error, (ErrorTimeoutExpired, ErrorServerBusy)):
            return f"{type(error).__name__}: {error}"
        case TransportError() | ErrorTimeoutExpired() | ErrorServerBusy() | requests.RequestException() | OSError():
            return _root(error)
        case UnicodeEncodeError():
            return f"HTTP cannot carry these letters: {error}"
        case _ if isinstance(error, _NONSENSE):
            return f"its answer makes no sense ({type(error).__name__}: {error})"
        case _:
            return f"{type(error).__name__}: {error}"


def _kind_of(error: BaseException, endpoint: Endpoint) -> type[MailboxError]:
    if isinstance(error, UnauthorizedError) and endpoint.auth != "bearer":  # a token locks no account
        return LoginRefusedError
    return UncertainError if _may_have_acted(error) else MailboxError


def _may_have_acted(error: BaseException) -> bool:
    """May the server have done what it was asked, although it did not say so?"""
    if any(isinstance(cause, (NewConnectionError, ssl.SSLCertVerificationError)) for cause in _causes(error)):
        return False  # it was not even asked
    match error:
        case ErrorInternalServerError() | ErrorInternalServerTransientError() | ErrorTimeoutExpired():
            return True
        case ErrorServerBusy():
            return _is_second_hand(error)
        case UnauthorizedError() | ResponseMessageError() | UnicodeEncodeError():
            return False
        case _:
            return True


def _is_second_hand(error: Any) -> bool:
    """Did exchangelib call another failure busy?"""
    return str(error).startswith("Reraised from")


_WORLDLY = (OSError, EWSError, HTTPError)
"""Failures of the connection; exchangelib and urllib3 also have misses in their own caches in the chain."""


def _root(error: BaseException) -> str:
    """The innermost cause, in its own words."""
    causes = _causes(error)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return f"its certificate is not trusted: {causes[-1]}"
    return f"{causes[-1]}" or type(causes[-1]).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """The failure and what it came from, the innermost last."""
    causes = [error]
    while isinstance(inner := causes[-1].__cause__ or causes[-1].__context__, _WORLDLY) and inner not in causes:
        causes.append(inner)
    return causes
