"""The door: nothing is served to strangers unless it stands on a short list.

Closed by default, so that a page added later is protected before anybody thinks of it
(OWASP ASVS 5.0, 8.2.1; the fault of CVE-2026-44125 was the other way round).
"""

from flask import Flask, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

PUBLIC = frozenset({"static", "bootstrap.static", "health.healthz", "login.login"})
"""Endpoints for everybody: the stylesheets, the readiness probe and the login page itself."""
WITH_ONE_TIME_PASSWORD = frozenset({"login.password", "login.logout"})
"""All that a person with a one-time password may do."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def attach_guard(app: Flask) -> None:
    """Check every request before any page sees it."""

    @app.before_request
    def same_site_only() -> None:
        # A second lock beside the CSRF token: browsers say truthfully where a request began
        # (Fetch Metadata). Origin and Referer are of no use here: our Referrer-Policy blanks both.
        origin = request.headers.get("Sec-Fetch-Site", "same-origin")
        if request.method not in SAFE_METHODS and origin not in ("same-origin", "none"):
            abort(400)

    @app.before_request
    def logged_in_only() -> ResponseReturnValue | None:
        # No endpoint: no such page or method, which the error page says to everybody alike.
        if request.endpoint is None or request.endpoint in PUBLIC:
            return None
        if not current_user.is_authenticated:
            return redirect(url_for("login.login"), 303)
        if current_user.account.must_change and request.endpoint not in WITH_ONE_TIME_PASSWORD:
            return redirect(url_for("login.password"), 303)
        return None
