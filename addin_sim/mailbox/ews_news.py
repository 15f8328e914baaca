"""Hears from Exchange what happens in the Inbox, by streaming notifications.

Subscribe, then GetStreamingEvents (MS-OXWSNTIF sections 3.1.4.3 and 3.1.4.2). The stream blocks whoever reads it, for
minutes; so a thread with a connection of its own does, and the mailbox asks it now and then. A new subscription counts
as news: what happened before it is told by nobody.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any

from addin_sim.mailbox.ews_connections import Endpoint
from addin_sim.mailbox.ews_session import EwsSession
from addin_sim.mailbox.interface import MailboxError

_MINUTES = 29
"""How long Exchange keeps a stream open (30 at most); then a new one is asked for."""

_LONG_ENOUGH = 60.0
"""Seconds; after a stream that ended sooner there is a pause: a server in trouble would be asked without an end."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 60.0
"""Seconds between a stream that ended early and the next; each time twice as long."""

_EVENTS = ("NewMailEvent", "CreatedEvent", "MovedEvent")

_CLOSING_SECONDS = 2.0
"""A server that stopped answering before the stream began cannot be interrupted: that thread ends later, by itself."""


class InboxNews:
    """A thread that reads the stream until `close`."""

    def __init__(self, endpoint: Endpoint, address: str) -> None:
        self._session = EwsSession(endpoint, address)
        self._news = threading.Event()
        self._ended = threading.Event()
        self._failure: MailboxError | None = None
        self._thread = threading.Thread(target=self._listen, name="ews-news", daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """The Inbox is about to be looked at: what was told so far is no news any more."""
        self._news.clear()

    def within(self, seconds: float) -> bool:
        """Is there news, or does some come within that time? Raises `MailboxError` when the stream has broken."""
        told = self._news.wait(seconds)
        if self._failure is not None:
            raise self._failure
        return told

    def close(self) -> None:
        """End the stream and wait for the thread, but for no server."""
        self._ended.set()
        until = time.monotonic() + _CLOSING_SECONDS
        while self._thread.is_alive() and time.monotonic() < until:  # the thread may be about to open another stream
            self._session.interrupt()
            self._thread.join(0.05)

    def _listen(self) -> None:
        pause = 0.0
        try:
            while not self._ended.is_set():
                begun = time.monotonic()
                self._session.ask(self._one_stream)
                lasted = time.monotonic() - begun
                pause = 0.0 if lasted >= _LONG_ENOUGH else min(max(2 * pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
                self._rest(pause)
        except MailboxError as error:
            self._failure = error
            self._news.set()
        finally:
            self._session.close()

    def _rest(self, seconds: float) -> None:
        """Nothing is missed meanwhile: the next subscription counts as news."""
        self._ended.wait(seconds)

    def _one_stream(self) -> None:
        inbox = self._session.account.inbox
        subscription = inbox.subscribe_to_streaming(event_types=_EVENTS)
        self._news.set()
        for notification in self._notifications(subscription):
            if any(type(event).__name__ != "StatusEvent" for event in notification.events):
                self._news.set()

    def _notifications(self, subscription: str) -> Iterator[Any]:
        if not self._ended.is_set():
            yield from self._session.account.inbox.get_streaming_events(subscription, connection_timeout=_MINUTES)
