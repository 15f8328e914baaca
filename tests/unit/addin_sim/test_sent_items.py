"""Sent Items end with one encrypted copy and no clear original: in every order, after every kill."""

import contextlib
import itertools

import pytest

from addin_sim.ime1 import MARKER
from addin_sim.mailbox.interface import DELETED, Folder, MailboxError
from addin_sim.raw_mail import parse
from addin_sim.sent_items import COPY_HEADER, FILED, is_encrypted, sync
from tests.doubles.memory_mailbox import MemoryMailbox

ALICE = "alice@acme.example"
DATE = "Sun, 22 Nov 2026 10:00:00 +0000"


def original(message_id: str = "<m1@acme.example>", *, references: str = "", date: str = DATE) -> bytes:
    thread = f"References: {references}\r\n" if references else ""
    return (
        f"From: Alice <{ALICE}>\r\nTo: ime@imepseudodomain.local\r\nDate: {date}\r\nMessage-ID: {message_id}\r\n"
        f"{thread}Subject: s\r\n\r\nthe clear text\r\n"
    ).encode()


def encrypted_copy(
    message_id: str = "<m1@acme.example>",
    *,
    references: str = "",
    date: str = DATE,
    sender: str = f"Alice <{ALICE}>",
    marker: str = f"{COPY_HEADER}: yes\r\n",
    media_type: str = "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
) -> bytes:
    thread = f"References: {references}\r\n" if references else ""
    return (
        f"Received: by gateway\r\nFrom: {sender}\r\nTo: bob@acme.example\r\nDate: {date}\r\n"
        f"Message-ID: {message_id}\r\n"
        f"{thread}{marker}Content-Type: {media_type}\r\nSubject: s\r\n\r\nMIIB\r\n"
    ).encode()


def filed(copy: bytes) -> bytes:
    return copy.replace(f"{COPY_HEADER}: yes\r\n".encode(), b"")


def settle(mailbox: MemoryMailbox) -> None:
    passes = 0
    while sync(mailbox, ALICE).changed:
        passes += 1
        assert passes < 10, "it never comes to rest"


def assert_settled(mailbox: MemoryMailbox, copy: bytes) -> None:
    sent = mailbox.contents(Folder.SENT)
    assert [stored.data for stored in sent] == [filed(copy)]
    assert MARKER not in sent[0].flags
    assert mailbox.contents(Folder.INBOX) == []


def test_original_first_then_copy() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    settle(mailbox)
    assert [stored.data for stored in mailbox.contents(Folder.SENT)] == [original()], "kept until its copy is there"
    mailbox.put(Folder.INBOX, encrypted_copy())
    report = sync(mailbox, ALICE)
    assert (report.filed, report.originals_removed, report.waiting) == (1, 1, 0)
    assert_settled(mailbox, encrypted_copy())
    assert mailbox.contents(Folder.SENT)[0].flags == {"\\Seen", FILED}


def test_copy_first_then_original() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.INBOX, encrypted_copy())
    assert sync(mailbox, ALICE).waiting == 1
    assert len(mailbox.contents(Folder.INBOX)) == 1
    mailbox.put(Folder.SENT, original(), MARKER)
    settle(mailbox)
    assert_settled(mailbox, encrypted_copy())


def test_sender_who_is_a_recipient_gets_a_copy_with_a_new_message_id() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    received = mailbox.put(Folder.INBOX, encrypted_copy(marker=""))
    copy = encrypted_copy("<new@gw>", references="<older@x> <m1@acme.example>")
    mailbox.put(Folder.INBOX, copy)
    settle(mailbox)
    assert [stored.data for stored in mailbox.contents(Folder.SENT)] == [filed(copy)]
    assert list(mailbox.shared.folders[Folder.INBOX]) == [received], "what the sender received as a recipient stays"


def test_the_copy_of_a_reply_does_not_remove_the_mail_it_answers() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original("<m1@acme.example>"), MARKER)
    reply_date = "Sun, 22 Nov 2026 10:05:00 +0000"
    mailbox.put(Folder.SENT, original("<m2@acme.example>", references="<m1@acme.example>", date=reply_date), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy("<m2@acme.example>", references="<m1@acme.example>", date=reply_date))
    settle(mailbox)
    kept = [stored.data for stored in mailbox.contents(Folder.SENT)]
    assert original("<m1@acme.example>") in kept
    assert len(kept) == 2


def test_a_second_delivery_of_the_same_copy_vanishes() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())
    mailbox.put(Folder.INBOX, encrypted_copy())
    settle(mailbox)
    mailbox.put(Folder.INBOX, encrypted_copy())
    settle(mailbox)
    assert_settled(mailbox, encrypted_copy())


@pytest.mark.parametrize(
    "copy",
    [
        encrypted_copy(sender="Mallory <mallory@evil.example>"),
        encrypted_copy(sender=f"{ALICE}, mallory@evil.example"),
        encrypted_copy(sender="(" * 5000 + ALICE),
        encrypted_copy("<other@acme.example>"),
        encrypted_copy("<other@gw>", references="<m1@acme.example>", date="Mon, 23 Nov 2026 10:00:00 +0000"),
        encrypted_copy("", references="<m1@acme.example>"),
        encrypted_copy(media_type="text/plain"),
        encrypted_copy(media_type="application/pkcs7-mime; smime-type=signed-data"),
    ],
    ids=[
        "foreign From",
        "two in From",
        "From of comments",
        "never sent",
        "other date",
        "no Message-ID",
        "clear",
        "signed only",
    ],
)
def test_a_marker_alone_moves_nothing(copy: bytes) -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, copy)
    report = sync(mailbox, ALICE)
    assert (report.waiting, report.changed) == (1, False)
    assert [stored.data for stored in mailbox.contents(Folder.INBOX)] == [copy]
    assert [stored.data for stored in mailbox.contents(Folder.SENT)] == [original()]


def test_mail_without_marker_is_nobodys_business() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.INBOX, encrypted_copy(marker=f"{COPY_HEADER}: yesterday\r\n"))
    mailbox.put(Folder.INBOX, encrypted_copy(marker=""))
    mailbox.put(Folder.SENT, original("<plain@acme.example>"))
    report = sync(mailbox, ALICE)
    assert (report.waiting, report.changed) == (0, False)
    assert len(mailbox.contents(Folder.SENT)) == 1


def test_an_original_whose_copy_is_about_to_be_removed_stays() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED, DELETED)
    settle(mailbox)
    assert original() in [stored.data for stored in mailbox.contents(Folder.SENT)]


def test_a_copy_is_filed_anew_when_the_filed_one_is_about_to_be_removed() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED, DELETED)
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())
    settle(mailbox)
    assert_settled(mailbox, encrypted_copy())


def test_of_equal_copies_the_oldest_stays() -> None:
    mailbox = MemoryMailbox()
    uids = [mailbox.put(Folder.SENT, filed(encrypted_copy()), FILED) for _ in range(3)]
    assert sync(mailbox, ALICE).duplicates_removed == 2
    assert list(mailbox.shared.folders[Folder.SENT]) == uids[:1]


def test_a_clear_mail_that_calls_itself_filed_removes_no_original() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.SENT, filed(encrypted_copy(media_type="text/plain")), FILED)
    settle(mailbox)
    assert len(mailbox.contents(Folder.SENT)) == 2


def test_filed_items_without_message_id_are_never_duplicates() -> None:
    mailbox = MemoryMailbox()
    for text in (b"a", b"b"):
        mailbox.put(Folder.SENT, b"Subject: x\r\n\r\n" + text, FILED)
    settle(mailbox)
    assert len(mailbox.contents(Folder.SENT)) == 2


class KilledError(Exception):
    """The client ends here."""


@pytest.mark.parametrize("copy_first", [True, False])
def test_a_client_killed_before_any_step_loses_nothing(copy_first: bool) -> None:
    for steps in itertools.count():
        mailbox = MemoryMailbox()
        order = [(Folder.INBOX, encrypted_copy(), ()), (Folder.SENT, original(), (MARKER,))]
        for folder, data, flags in order if copy_first else reversed(order):
            mailbox.put(folder, data, *flags)
        left = iter(range(steps))

        def kill(_: str, left: "itertools.Iterator[int]" = left) -> None:
            if next(left, None) is None:
                raise KilledError

        try:
            sync(mailbox.connect(kill), ALICE)
        except KilledError:
            somewhere = [stored.data for folder in Folder for stored in mailbox.contents(folder)]
            assert encrypted_copy() in somewhere or filed(encrypted_copy()) in somewhere
            settle(mailbox)
            assert_settled(mailbox, encrypted_copy())
        else:
            assert steps > 5
            return


def two_clients(first_at: int, second_stops: int | None) -> bool:
    """The second client runs when the first is at that step, to its end or its kill; did it run at all?"""
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())
    steps, inner_steps = itertools.count(), itertools.count()
    acted = False

    def stop(_: str) -> None:
        if next(inner_steps) == second_stops:
            raise KilledError

    def interfere(_: str) -> None:
        nonlocal acted
        if next(steps) == first_at:
            acted = True
            with contextlib.suppress(KilledError):
                sync(mailbox.connect(stop), ALICE)

    sync(mailbox.connect(interfere), ALICE)
    settle(mailbox)
    assert_settled(mailbox, encrypted_copy())
    return acted


def test_a_second_client_that_works_between_any_two_steps() -> None:
    ran = [two_clients(first_at, None) for first_at in range(20)]
    assert ran.index(False) > 5


def test_a_second_client_that_is_killed_between_any_two_steps() -> None:
    for first_at, second_stops in itertools.product(range(12), range(12)):
        two_clients(first_at, second_stops)


def test_a_third_client_removes_the_younger_copy_before_it_was_looked_at() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())

    def interfere(operation: str) -> None:
        if operation == "append":  # another client files the copy and is killed before it tidies up
            mailbox.put(Folder.SENT, filed(encrypted_copy()), "\\Seen", FILED)
        elif operation == "read" and len(mailbox.contents(Folder.SENT)) == 3:
            sync(mailbox.connect(), ALICE)

    sync(mailbox.connect(interfere), ALICE)
    settle(mailbox)
    assert_settled(mailbox, encrypted_copy())


def test_a_server_that_changes_what_it_stores_files_nothing() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())

    class Changing(MemoryMailbox):
        def append_to_sent(self, data: bytes, flags: object, arrived: str = "") -> str:
            return self.put(Folder.SENT, data + b"scanned\r\n", FILED)

    report = sync(Changing(mailbox.shared), ALICE)
    assert report.problems
    assert [stored.data for stored in mailbox.contents(Folder.SENT)] == [original()]
    assert [stored.data for stored in mailbox.contents(Folder.INBOX)] == [encrypted_copy()]


def test_a_server_that_forgets_what_it_took_is_an_error() -> None:
    mailbox = MemoryMailbox()
    mailbox.put(Folder.SENT, original(), MARKER)
    mailbox.put(Folder.INBOX, encrypted_copy())

    class Forgetful(MemoryMailbox):
        def append_to_sent(self, data: bytes, flags: object, arrived: str = "") -> str:
            return "999"

    with pytest.raises(MailboxError):
        sync(Forgetful(mailbox.shared), ALICE)
    assert len(mailbox.contents(Folder.INBOX)) == 1
    assert len(mailbox.contents(Folder.SENT)) == 1


@pytest.mark.parametrize(
    ("media_type", "encrypted"),
    [
        ("application/pkcs7-mime; smime-type=enveloped-data", True),
        ("Application/X-PKCS7-MIME; name=smime.p7m", True),
        ("application/pkcs7-mime;\r\n smime-type=authEnveloped-data", True),
        ('multipart/encrypted; protocol="application/pgp-encrypted"', True),
        ("application/pkcs7-mime; smime-type=signed-data", False),
        ("application/pkcs7-mime; smime-type=certs-only", False),
        ("application/pkcs7-mime; smime-type=compressed-data", False),
        ('application/pkcs7-mime; smime-type*0="signed"; smime-type*1="-data"', False),
        ("application/pkcs7-mime; smime-type*=us-ascii''signed%2Ddata", False),
        ('application/pkcs7-mime; smime-type="Enveloped-Data"; name="signed-data.p7m"', True),
        ("application/pkcs7-signature", False),
        ("text/plain; x=application/pkcs7-mime", False),
    ],
)
def test_what_counts_as_encrypted(media_type: str, encrypted: bool) -> None:
    assert is_encrypted(parse(f"Content-Type: {media_type}\r\n\r\n".encode())) is encrypted
