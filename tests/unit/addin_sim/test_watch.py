"""Watching goes on after a lost connection, and waits no longer than needed."""

from collections.abc import Iterator

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.interface import Folder, LoginRefusedError, MailboxBackend, MailboxError
from addin_sim.outlook_settings import SettingsError
from addin_sim.own_keys import ProfileError
from addin_sim.sent_items import SyncReport
from addin_sim.watch import watch
from tests.doubles.memory_mailbox import MemoryMailbox
from tests.unit.addin_sim.test_sent_items import ALICE, assert_settled, encrypted_copy, original


class Heard:
    def __init__(self) -> None:
        self.reports: list[SyncReport] = []
        self.failures: list[str] = []

    def passed(self, report: SyncReport) -> None:
        self.reports.append(report)

    def failed(self, sentence: str) -> None:
        self.failures.append(sentence)


class Scripted(MemoryMailbox):
    """Lets a test act while the client waits; records how long it would have waited."""

    def __init__(self, script: list[object]) -> None:
        super().__init__()
        self.script = script
        self.waited: list[float] = []

    def wait(self, seconds: float, stop: object) -> None:
        self.waited.append(seconds)
        step = self.script.pop(0)
        if callable(step):
            step()


def test_a_lost_connection_is_built_anew() -> None:
    def lose() -> None:
        raise MailboxError("gone")

    mailbox = Scripted([])
    arrive = lambda: mailbox.put(Folder.INBOX, encrypted_copy())  # noqa: E731
    mailbox.script = [lose, arrive, None]
    mailbox.put(Folder.SENT, original(), MARKER)
    heard = Heard()
    connections = iter([None, mailbox, mailbox])

    def connect() -> MemoryMailbox:
        connection = next(connections)
        if connection is None:
            raise MailboxError("not there yet")
        return connection

    slept: list[float] = []
    watch(connect, ALICE, heard, stop=lambda: not mailbox.script, sleep=slept.append)
    assert heard.failures == ["not there yet", "gone"]
    assert len(slept) == 2
    assert [report.filed for report in heard.reports] == [1]
    assert_settled(mailbox, encrypted_copy())


def test_a_copy_that_waits_for_its_original_is_looked_at_again_soon_then_ever_more_rarely() -> None:
    mailbox = Scripted([None] * 12)
    mailbox.put(Folder.INBOX, encrypted_copy())
    watch(lambda: mailbox, ALICE, Heard(), stop=lambda: not mailbox.script, sleep=lambda _: None, longest_seconds=60)
    assert mailbox.waited[:3] == [1, 2, 4]
    assert mailbox.waited[-1] == 60


def test_without_anything_to_wait_for_the_inbox_alone_wakes() -> None:
    mailbox = Scripted([None, None])
    watch(lambda: mailbox, ALICE, Heard(), stop=lambda: not mailbox.script, sleep=lambda _: None, longest_seconds=60)
    assert mailbox.waited == [60, 60]


def test_a_connection_that_never_lasts_is_built_anew_ever_more_rarely() -> None:
    def lose() -> None:
        raise MailboxError("no notifications")

    mailbox = Scripted([lose, lose, lose, lambda: None, lose, lose, None])
    slept: list[float] = []
    watch(lambda: mailbox, ALICE, Heard(), stop=lambda: not mailbox.script, sleep=slept.append, longest_seconds=1.5)
    assert slept == [0.5, 1.0, 1.5, 0.5, 1.0]


def test_what_fails_when_it_is_stopped_is_not_said_to_be_tried_again() -> None:
    stopped: list[bool] = []

    def interrupted() -> MemoryMailbox:
        stopped.append(True)
        raise MailboxError("the server is busy")

    heard = Heard()
    watch(interrupted, ALICE, heard, stop=lambda: bool(stopped), sleep=lambda _: None)
    assert heard.failures == []


def test_a_full_disk_or_a_missing_password_file_does_not_end_the_watching() -> None:
    mailbox = Scripted([None])
    failures: list[Exception] = [ProfileError("the disk is full"), SettingsError("no password")]

    def one_pass(_: MailboxBackend, __: str) -> SyncReport:
        if failures:
            raise failures.pop(0)
        return SyncReport(filed=1)

    heard = Heard()
    watch(
        lambda: mailbox, ALICE, heard, stop=lambda: not mailbox.script, sleep=lambda _: None, one_pass=one_pass
    )  # fmt: skip
    assert heard.failures == ["the disk is full", "no password"]
    assert [report.filed for report in heard.reports] == [1]


def test_a_refused_login_is_not_tried_so_often_that_the_account_is_locked() -> None:
    mailbox = Scripted([None])
    refused = LoginRefusedError("wrong password")
    connections: Iterator[MemoryMailbox | LoginRefusedError] = iter([refused, refused, mailbox])

    def connect() -> MemoryMailbox:
        connection = next(connections)
        if isinstance(connection, LoginRefusedError):
            raise connection
        return connection

    slept: list[float] = []
    heard = Heard()
    watch(connect, ALICE, heard, stop=lambda: not mailbox.script, sleep=slept.append)
    assert slept == [900, 900]
    assert heard.failures == ["wrong password; the next login is tried in 15 minutes, lest the account be locked"] * 2
