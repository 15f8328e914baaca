"""Who is logged in, remembered on this side of the wire.

A signed cookie alone cannot be taken back: after logout a stolen copy would still open the door.
So the cookie carries only a random number, and what it stands for lives here, in the memory of the
one process that serves the site; a restart logs everybody out (OWASP ASVS 5.0 sections 7.3, 7.4).
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user

from ime_gateway.admin.accounts import Account, Accounts

IDLE_SECONDS = 30 * 60
"""Without a request for so long, a session ends."""
ABSOLUTE_SECONDS = 12 * 3600
"""After so long a session ends even when it is in use: one working day."""
_MOST_SESSIONS = 1000


@dataclass(slots=True)
class _Session:
    name: str
    stamp: str
    opened_at: float
    seen_at: float

    def alive(self, moment: float) -> bool:
        return moment - self.seen_at < IDLE_SECONDS and moment - self.opened_at < ABSOLUTE_SECONDS


class SessionBook:
    """The sessions that are open; safe for the threads of a web server."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._sessions: dict[str, _Session] = {}
        self._lock = Lock()

    def open(self, account: Account) -> str:
        """Begin a session; its new, unguessable id was never in a cookie before (no fixation)."""
        moment = self._now()
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if s.alive(moment)}
            while len(self._sessions) >= _MOST_SESSIONS:
                del self._sessions[min(self._sessions, key=lambda k: self._sessions[k].seen_at)]
            self._sessions[key] = _Session(account.name, account.stamp, moment, moment)
        return key

    def look_up(self, key: str) -> tuple[str, str] | None:
        """Name and password stamp of a session that is alive, which is now used; else None."""
        moment = self._now()
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return None
            if not session.alive(moment):
                del self._sessions[key]
                return None
            session.seen_at = moment
            return session.name, session.stamp

    def close(self, key: str) -> None:
        """End a session, whoever still holds its cookie."""
        with self._lock:
            self._sessions.pop(key, None)


class Visitor(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """An administrator who is logged in."""

    def __init__(self, session: str, account: Account) -> None:
        self.session = session
        self.account = account

    def get_id(self) -> str:
        """What Flask-Login puts into the cookie: the session, never the name."""
        return self.session


def attach_sessions(app: Flask, book: SessionBook, accounts: Accounts) -> None:
    """Let Flask-Login ask the book on every request.

    The account is read again each time, so a deleted account or a password that was changed
    anywhere ends all its other sessions at once.
    """
    manager = LoginManager()
    manager.session_protection = None  # its check binds to address and browser; the book is stricter where it counts
    # The extension's own context processor would ask the store for every template, so that the page
    # that says "the store is away" could not be rendered; a proxy asks only where a template names it.
    manager.init_app(app, add_context_processor=False)
    app.jinja_env.globals["current_user"] = current_user

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(session: str) -> Visitor | None:
        found = book.look_up(session)
        if found is None:
            return None
        name, stamp = found
        account = accounts.find(name)
        if account is None or account.stamp != stamp:
            book.close(session)
            return None
        return Visitor(session, account)
