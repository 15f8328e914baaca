"""HTTPS to an Exchange server as its endpoint says: who logs in and how, whom we trust, what an HTTP status means.

exchangelib speaks the protocol; it shares connections between all who have the same password, trusts the same
authorities in the whole process, and cannot send a password with letters beyond Latin-1. Here each session has its own
(RFC 7617, RFC 6750, MS-NLMP).
"""

import base64
import contextlib
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import requests
from exchangelib import DELEGATE, UTC, Account, Configuration, Credentials, Version
from exchangelib import protocol as exchange_protocol
from exchangelib.errors import ErrorMessageSizeExceeded, ErrorServerBusy, TransportError, UnauthorizedError
from exchangelib.transport import NOAUTH, NTLM
from exchangelib.version import EXCHANGE_2013_SP1

from addin_sim.outlook_settings import SettingsError

BUSY_SECONDS = 5.0
"""How long to leave a server alone that says 503 and nothing more."""

logging.getLogger("exchangelib").addHandler(logging.NullHandler())  # whole requests on stderr, with passwords


class Endpoint(Protocol):
    """Where an Exchange server is and who logs in: a table of the settings."""

    @property
    def url(self) -> str:
        """`https://HOST/EWS/Exchange.asmx`."""

    @property
    def user(self) -> str:
        """As the server wants it: an address, or DOMAIN\\user."""

    @property
    def secret(self) -> str:
        """The password, or an access token."""

    @property
    def auth(self) -> str:
        """`basic`, `ntlm` or `bearer`."""

    @property
    def ca_file(self) -> Path | None:
        """Certificates to check the server with; None: those of the operating system."""

    @property
    def timeout_seconds(self) -> float:
        """How long an answer may take."""


class _Connections(exchange_protocol.Protocol):  # type: ignore[misc]
    """The connections of one session, made as its endpoint says."""

    def __init__(self, config: Configuration, endpoint: Endpoint, answered: Callable[..., None]) -> None:
        super().__init__(config=config)
        self.TIMEOUT = endpoint.timeout_seconds
        self._endpoint = endpoint
        self._hear = answered

    def raw_session(self, prefix: str, *_: object, **__: object) -> requests.Session:
        """An HTTP client that trusts whom the endpoint says, whatever the environment says."""
        session: requests.Session = super().raw_session(prefix)
        session.trust_env = False
        session.hooks["response"].append(self._hear)
        if self._endpoint.ca_file is not None:
            session.verify = str(self._endpoint.ca_file)
        if self._endpoint.auth != "ntlm":
            session.headers["Authorization"] = _authorization(self._endpoint)
        return session


def _authorization(endpoint: Endpoint) -> str:
    """How a password (in UTF-8, as browsers do) or a token is shown."""
    secret = endpoint.secret
    if endpoint.auth == "bearer":
        if not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", secret):
            raise SettingsError(
                f"The access token of {endpoint.user} is none (empty, of several lines, or with letters that no token "
                "has), so nobody was asked: renew it."
            )
        return f"Bearer {secret}"
    return f"Basic {base64.b64encode(f'{endpoint.user}:{secret}'.encode()).decode()}"


class _OneTry(exchange_protocol.FailFast):  # type: ignore[misc]
    """What an answer's HTTP status means; exchangelib takes a refused login for a busy server now and then."""

    def raise_response_errors(self, response: requests.Response) -> None:
        """Raises an `EWSError` for everything but an answer in SOAP."""
        match response.status_code:
            case 200:
                return
            case 500 if response.headers.get("Content-Type", "").startswith("text/xml"):
                return
            case 401:
                kinds = _schemes(response.headers.get("WWW-Authenticate", ""))
                raise UnauthorizedError(f"; it takes {', '.join(kinds)}" if kinds else "")
            case 413:
                raise ErrorMessageSizeExceeded("the server takes no request of that size")
            case 429 | 503:  # RFC 6585 section 4, RFC 9110 sections 15.6.4 and 10.2.3
                wanted = response.headers.get("Retry-After", "")
                raise ErrorServerBusy("", back_off=float(wanted) if wanted.isdigit() else BUSY_SECONDS)
            case status:
                where = response.headers.get("Location", "")
                elsewhere = f" and points to {where}" if where else ""
                raise TransportError(f"it answers HTTP {status} {response.reason}{elsewhere}")


def _schemes(challenges: str) -> list[str]:
    """The kinds of login that a 401 offers, without their parameters (RFC 9110 section 11.6.1): both stand between
    commas, and a parameter has an equals sign."""
    bare = re.sub(r'"(?:\\.|[^"\\])*"', "", challenges)
    return sorted(set(re.findall(r"(?:^|,)\s*([\w-]+)(?=\s*(?:,|$)|\s+[^\s=,])", bare)))


def account_at(endpoint: Endpoint, address: str, answered: Callable[..., None]) -> Account:
    """An account with connections of its own; exchangelib's are shared by all who have the same password."""
    ntlm = endpoint.auth == "ntlm"
    config = Configuration(
        service_endpoint=endpoint.url,
        credentials=Credentials(endpoint.user, endpoint.secret) if ntlm else None,
        auth_type=NTLM if ntlm else NOAUTH,
        version=Version(build=EXCHANGE_2013_SP1),  # what every server knows that is still in use
        retry_policy=_OneTry(),
        max_connections=1,
    )
    account = Account(address, config=config, autodiscover=False, access_type=DELEGATE, default_timezone=UTC)
    with contextlib.suppress(KeyError):
        del exchange_protocol.Protocol[config]
    account.protocol = type.__call__(_Connections, config, endpoint, answered)  # past exchangelib's cache
    return account
