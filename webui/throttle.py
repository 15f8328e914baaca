"""How often a password may be tried: guessing has to be slower than noticing it.

Failures are counted, not visits, so people who know their password are never kept out by their own
diligence (OWASP ASVS 5.0, 6.3.1). The counts live in memory, in the one process that serves the site.
"""

import hashlib
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

from flask import Flask, g, request
from flask_limiter import Limiter
from flask_login import current_user

from ime_gateway.admin.accounts import account_key

PER_NAME = "5 per 5 minutes"
"""Failures of one address for one account name."""
PER_ADDRESS = "30 per 5 minutes"
"""Failures of one address for all names together: one password tried on many names."""

View = Callable[..., Any]


class LoginThrottle:
    """Flask-Limiter, told what a failure is."""

    def __init__(self, app: Flask) -> None:
        self._limiter = Limiter(key_func=client_network, app=app, storage_uri="memory://", strategy="moving-window")

    def guard(self, view: View) -> View:
        """Answer 429 instead of calling `view` after too many failures; only POST is looked at."""
        for limit, key in ((PER_ADDRESS, client_network), (PER_NAME, _network_and_name)):
            view = self._limiter.limit(limit, key_func=key, methods=["POST"], deduct_when=_failed)(view)
        return view


def count_failure() -> None:
    """Called by a page when a password did not fit."""
    g.password_failed = True


def client_network() -> str:
    """Whom to count: an IPv4 address, or the /64 that one IPv6 customer owns whole (RFC 6177).

    Only the peer of the connection is believed; X-Forwarded-For is for the web server to judge.
    """
    try:
        address = ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


def _network_and_name() -> str:
    # On the page that changes a password the name is not a field: it is whoever is logged in.
    name = current_user.account.name if current_user.is_authenticated else request.form.get("name", "")
    return f"{client_network()} {hashlib.sha256(account_key(name[:256]).encode()).hexdigest()}"


def _failed(_response: object) -> bool:
    return bool(g.get("password_failed", False))
