"""Keeps Sent Items in order while Outlook runs: a pass at start, then one for each piece of news.

The Inbox tells when a copy comes; a copy that came before its original was saved is looked at again
soon. A lost connection is built anew until somebody stops the program, ever more rarely while none lasts.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from addin_sim.mailbox.interface import LoginRefusedError, MailboxBackend, MailboxError
from addin_sim.outlook_settings import SettingsError
from addin_sim.own_keys import ProfileError
from addin_sim.sent_items import SyncReport, sync

_SHORTEST_SECONDS = 0.5
_AFTER_REFUSED_LOGIN_SECONDS = 900.0
"""Twice in half an hour: a lock-out policy of Active Directory that counts fewer would lock people out anyway."""

_TROUBLES = (MailboxError, ProfileError, SettingsError)
"""What may be mended while we wait: a server, a full disk, the file of a password."""


class Reporter(Protocol):
    """Hears what happens while watching."""

    def passed(self, report: SyncReport) -> None:
        """A pass that changed something, or met other problems than the one before."""
        ...

    def failed(self, sentence: str) -> None:
        """Mailbox or profile could not be used; it is tried again."""
        ...


def watch(
    connect: Callable[[], MailboxBackend],
    own_address: str,
    reporter: Reporter,
    *,
    stop: Callable[[], bool],
    sleep: Callable[[float], None],
    longest_seconds: float = 60.0,
    one_pass: Callable[[MailboxBackend, str], SyncReport] = sync,
) -> None:
    """Watch until `stop()` is true; `sleep` waits that many seconds, less when told to stop.

    `one_pass` looks at the mailbox of an address once.
    """
    pause = _SHORTEST_SECONDS
    while not stop():
        news = 0
        try:
            with contextlib.closing(connect()) as mailbox:
                for _ in _watched(
                    mailbox, lambda opened: one_pass(opened, own_address), reporter, stop, longest_seconds
                ):
                    news += 1
        except _TROUBLES as error:
            if stop():  # nobody tries again
                return
            pause = _SHORTEST_SECONDS if news else pause
            if isinstance(error, LoginRefusedError):
                reporter.failed(f"{error}; the next login is tried in 15 minutes, lest the account be locked")
                sleep(_AFTER_REFUSED_LOGIN_SECONDS)
                continue
            reporter.failed(str(error))
            sleep(pause)
            pause = min(2 * pause, longest_seconds)


def _watched(
    mailbox: MailboxBackend,
    look: Callable[[MailboxBackend], SyncReport],
    reporter: Reporter,
    stop: Callable[[], bool],
    longest_seconds: float,
) -> Iterator[None]:
    """Yields after each waiting that ended as it should."""
    pause = _SHORTEST_SECONDS
    told: list[str] = []
    while not stop():
        report = look(mailbox)
        if report.changed or report.remarks or report.problems != told:  # what stands as it stood is said once
            reporter.passed(report)
        told = report.problems
        pause = _SHORTEST_SECONDS if report.changed else min(2 * pause, longest_seconds)
        # A waiting copy's original shows up in Sent Items, of which the Inbox tells nothing; nor does a mail
        # server tell when it would take what it did not take before.
        mailbox.wait(pause if report.waiting or report.unsent else longest_seconds, stop)
        yield
