"""The Flask application: the frame in which the rooms of the administrators' site stand.

The roof gives it everything it needs; it opens no store, reads no file of its own but templates and
stylesheets, and reaches the gateway through `ime_gateway.admin` only.
"""

import time
from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from flask_bootstrap import Bootstrap5
from flask_wtf.csrf import CSRFProtect

from ime_gateway.admin.desks import Desks
from ime_gateway.admin.health import HealthReport
from webui.admin.login_pages import login_pages
from webui.admin.rooms import ROOMS
from webui.errors import attach_errors
from webui.guard import attach_guard
from webui.headers import attach_headers
from webui.health_pages import health_pages
from webui.sessions import ABSOLUTE_SECONDS, SessionBook, attach_sessions
from webui.site import Site
from webui.throttle import LoginThrottle
from webui.words import attach_words

_LARGEST_FORM = 64 * 1024


def create_app(
    desks: Desks,
    health: Callable[[], HealthReport],
    *,
    behind_tls: bool,
    secret_key: bytes,
    now: Callable[[], float] = time.time,
) -> Flask:
    """Build the site.

    behind_tls: people reach it by https (cookies are then `__Host-` and Secure, and HSTS is sent).
    secret_key: at least 32 random bytes; signs the cookie. now: seconds since 1970 UTC.
    """
    if len(secret_key) < 32:
        raise ValueError("the key that signs cookies needs 32 random bytes")
    app = Flask("webui")
    app.config.update(_settings(behind_tls, secret_key))
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    attach_headers(app, behind_tls=behind_tls)
    attach_errors(app)
    attach_words(app)
    book = SessionBook(now)
    attach_sessions(app, book, desks.accounts)
    attach_guard(app)
    CSRFProtect(app)
    Bootstrap5(app)
    site = Site(desks, health, book, LoginThrottle(app))
    app.register_blueprint(health_pages(site))
    app.register_blueprint(login_pages(site))
    for room in ROOMS:
        app.register_blueprint(room.build(site))
    app.jinja_env.globals["rooms"] = ROOMS
    return app


def _settings(behind_tls: bool, secret_key: bytes) -> dict[str, object]:
    return {
        "SECRET_KEY": secret_key,
        # The prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis section 4.1.3.2).
        "SESSION_COOKIE_NAME": "__Host-session" if behind_tls else "session",
        "SESSION_COOKIE_SECURE": behind_tls,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_PATH": "/",
        "PERMANENT_SESSION_LIFETIME": timedelta(seconds=ABSOLUTE_SECONDS),
        "PREFERRED_URL_SCHEME": "https" if behind_tls else "http",
        "MAX_CONTENT_LENGTH": _LARGEST_FORM,
        "MAX_FORM_MEMORY_SIZE": _LARGEST_FORM,
        "MAX_FORM_PARTS": 50,
        "BOOTSTRAP_SERVE_LOCAL": True,
        # A token is as old as its session may be; the session's own clock ends it.
        "WTF_CSRF_TIME_LIMIT": None,
        # It would compare Referer, which our Referrer-Policy withholds; webui/guard.py asks Sec-Fetch-Site.
        "WTF_CSRF_SSL_STRICT": False,
    }
