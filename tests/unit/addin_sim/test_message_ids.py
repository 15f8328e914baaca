"""A mail that is sent under a used Message-ID gets a new one; every other keeps its own."""

from pathlib import Path

import pytest

from addin_sim.ime2 import Carrier
from addin_sim.mailbox.interface import Folder, Item, MailboxError
from addin_sim.message_ids import is_used, with_free_message_id
from addin_sim.outbox import Outbox, State
from addin_sim.outlook_settings import Account, OutlookSettings, Submission, WorldMailbox
from addin_sim.raw_mail import parse
from addin_sim.sent_items import FILED
from tests.doubles.memory_mailbox import MemoryMailbox
from tests.unit.addin_sim.test_sent_items import ALICE, encrypted_copy, filed, original

MAIL = parse(original())
RENAMED = "<new@acme.example>"


def outlook(folder: Path | None = None) -> OutlookSettings:
    return OutlookSettings(
        account=Account(address=ALICE),
        submission=Submission(host="h"),
        world_mailbox=WorldMailbox(folder=folder) if folder else None,
    )


@pytest.mark.parametrize("state", list(State))
def test_what_the_outbox_holds_is_used(tmp_path: Path, state: State) -> None:
    outbox = Outbox(tmp_path)
    assert with_free_message_id(MAIL, outlook(), outbox, "new") == MAIL
    outbox.mark(outbox.keep(MAIL, Carrier("dca@ime.acme.example", "<c1@acme.example>", b""), 1e9), state, "")
    renamed = with_free_message_id(MAIL, outlook(), outbox, "new")
    assert renamed.value("Message-ID") == RENAMED
    assert (renamed.without("Message-ID"), renamed.body) == (MAIL.without("Message-ID"), MAIL.body)


@pytest.mark.parametrize(
    ("folder", "data", "flags"),
    [
        (Folder.SENT, filed(encrypted_copy()), (FILED,)),
        (Folder.SENT, original(), ()),
        (Folder.INBOX, encrypted_copy(), ()),
        (Folder.INBOX, encrypted_copy("<new@gw>", references="<older@x> <m1@acme.example>"), ()),
    ],
)
def test_what_the_mailbox_holds_is_used(folder: Folder, data: bytes, flags: tuple[str, ...]) -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original("<xx<m1@acme.example>"))
    assert not is_used("<m1@acme.example>", mailbox)
    mailbox.put(folder, data, *flags)
    assert is_used("<m1@acme.example>", mailbox)


def test_a_mailbox_is_opened_and_searched(tmp_path: Path) -> None:
    (tmp_path / "mailboxes" / ALICE / "sent").mkdir(parents=True)
    mailboxes, outbox = tmp_path / "mailboxes", Outbox(tmp_path)
    assert with_free_message_id(MAIL, outlook(mailboxes), outbox, "new") == MAIL
    (mailboxes / ALICE / "sent" / "0001.eml").write_bytes(original())
    assert with_free_message_id(MAIL, outlook(mailboxes), outbox, "new").value("Message-ID") == RENAMED


@pytest.mark.parametrize("broken", [False, True])
def test_the_mailbox_is_closed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    """An IMAP server allows a user only so many connections."""
    closed: list[bool] = []

    class Mailbox(MemoryMailbox):
        def close(self) -> None:
            closed.append(True)

        def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
            if broken:
                raise MailboxError("gone")
            return super().with_header(folder, name, value)

    monkeypatch.setattr("addin_sim.message_ids.open_mailbox", lambda _: Mailbox())
    kept = with_free_message_id(MAIL, outlook(), Outbox(tmp_path), "new") == MAIL
    assert (kept, closed) == (not broken, [True])


def test_what_cannot_be_searched_is_taken_for_used(tmp_path: Path) -> None:
    unreachable = outlook(tmp_path / "nowhere")
    assert with_free_message_id(MAIL, unreachable, Outbox(tmp_path), "new").value("Message-ID") == RENAMED
    for strange in ("<m\xfc@acme.example>", "<m\x001@acme.example>"):
        mail = parse(f"Message-ID: {strange}\r\n\r\n".encode())
        assert with_free_message_id(mail, outlook(), Outbox(tmp_path), "new").value("Message-ID") == RENAMED
