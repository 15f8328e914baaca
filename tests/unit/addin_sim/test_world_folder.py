"""The mailbox of the small mail world: numbers never name another mail, two programs may work at once."""

import os
from pathlib import Path

import pytest

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.interface import SEEN, Folder, MailboxError
from addin_sim.mailbox.world_folder import WorldFolderMailbox
from addin_sim.sent_items import FILED, sync
from addin_sim.world.mail_server import Mailboxes
from tests.unit.addin_sim.test_sent_items import ALICE, encrypted_copy, filed, original


@pytest.fixture
def mailbox(tmp_path: Path) -> WorldFolderMailbox:
    return WorldFolderMailbox(tmp_path, ALICE)


def test_it_is_the_folder_that_the_world_delivers_into(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    world = Mailboxes(tmp_path)
    world.deliver(ALICE, "gw@acme.example", b"X-Tag: one\r\n\r\n1\r\n")
    world.deliver(ALICE, "gw@acme.example", b"X-Tag: two\r\n\r\n2\r\n")
    (item,) = mailbox.with_header(Folder.INBOX, "X-Tag", "TWO")
    assert len(mailbox.with_header(Folder.INBOX, "X-Tag", "")) == 2
    stored = mailbox.read(Folder.INBOX, item.uid)
    assert stored is not None and stored.data.endswith(b"\r\n\r\n2\r\n")
    mailbox.delete(Folder.INBOX, (item.uid, "0099"))
    assert mailbox.read(Folder.INBOX, item.uid) is None
    later = world.deliver(ALICE, "gw@acme.example", b"X-Tag: three\r\n\r\n3\r\n")
    assert later.stem == "0003", "the number of a removed mail is not given again"
    assert len(world.of(ALICE)) == 2


def test_sent_items_keep_their_flags(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    first = mailbox.append_to_sent(b"a", (MARKER, "\\Seen"))
    mailbox.delete(Folder.SENT, (first,))
    second = WorldFolderMailbox(tmp_path, ALICE).append_to_sent(b"b", (MARKER,))
    assert second > first
    (item,) = mailbox.with_keyword(Folder.SENT, MARKER)
    assert (item.uid, item.flags) == (second, {MARKER})


def test_a_number_that_another_program_took_is_passed_over(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    (tmp_path / ALICE / "sent" / "0001.flags").write_text("")  # it is about to write its mail
    assert mailbox.append_to_sent(b"b", (MARKER,)) == "0002"


def test_a_whole_pass(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    mailbox.append_to_sent(original(), (MARKER,))
    (tmp_path / ALICE / "0001.eml").write_bytes(encrypted_copy())
    while sync(mailbox, ALICE).changed:
        continue
    (kept,) = (tmp_path / ALICE / "sent").glob("*.eml")
    assert kept.read_bytes() == filed(encrypted_copy())
    assert list((tmp_path / ALICE).glob("*.eml")) == []


def test_the_time_of_arrival_and_the_flag_of_what_was_read_stay(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    copy = Mailboxes(tmp_path).deliver(ALICE, "", encrypted_copy())
    os.utime(copy, (1000.5, 1000.5))
    mailbox.mark_seen(Folder.INBOX, ("0001", "0001"))
    (item,) = mailbox.with_header(Folder.INBOX, "From", "")
    assert (item.flags, item.arrived) == ({SEEN}, 1000.5)
    mailbox.append_to_sent(original(), (MARKER,))
    sync(mailbox, ALICE)
    (filed_copy,) = mailbox.with_keyword(Folder.SENT, FILED)
    assert filed_copy.arrived == 1000.5


@pytest.mark.parametrize("inside", ["mailboxes", "journal.jsonl"])
def test_a_folder_that_is_none_of_mailboxes_is_a_sentence(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir()
    with pytest.raises(MailboxError) as caught:
        WorldFolderMailbox(tmp_path, ALICE)
    assert str(caught.value).startswith(f"{tmp_path} holds no mailboxes; ")
    assert (f"did you mean {tmp_path}/mailboxes?" in str(caught.value)) is (inside == "mailboxes")
    assert [path.name for path in tmp_path.iterdir()] == [inside], "nothing is made there"


def test_no_folder_is_no_mailbox(tmp_path: Path) -> None:
    with pytest.raises(MailboxError, match="world serve"):
        WorldFolderMailbox(tmp_path / "nowhere", ALICE)


def test_news_end_the_waiting(mailbox: WorldFolderMailbox, tmp_path: Path) -> None:
    mailbox.with_header(Folder.INBOX, "X", "")
    Mailboxes(tmp_path).deliver(ALICE, "", b"X: y\r\n\r\n")
    mailbox.wait(600, lambda: False)
    mailbox.with_header(Folder.INBOX, "X", "")
    mailbox.wait(600, lambda: True)


def test_a_folder_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ALICE).write_text("in the way")
    with pytest.raises(MailboxError, match="cannot be used"):
        WorldFolderMailbox(tmp_path, ALICE)
