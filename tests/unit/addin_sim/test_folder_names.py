"""Folder names on the wire of IMAP."""

import pytest

from addin_sim.mailbox.folder_names import encode, marked_as, quote


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("INBOX", '"INBOX"'),
        ("Sent Items", '"Sent Items"'),
        ("R&D", '"R&-D"'),
        ("Éléments envoyés", '"&AMk-l&AOk-ments envoy&AOk-s"'),
        ("~peter/mail/台北/日本語", '"~peter/mail/&U,BTFw-/&ZeVnLIqe-"'),  # the example of RFC 3501 section 5.1.3
        ('a"b\\c', '"a\\"b\\\\c"'),
    ],
)
def test_modified_utf7(name: str, wire: str) -> None:
    assert encode(name) == wire


def test_a_line_break_is_no_name() -> None:
    with pytest.raises(ValueError, match="line break"):
        quote("a\r\nb")


def test_special_use_is_found_in_every_notation() -> None:
    assert marked_as("\\Sent", [b'(\\HasNoChildren) "/" INBOX', b'(\\Sent) "/" "Sent Items"']) == '"Sent Items"'
    assert marked_as("\\Sent", [b'(\\HasNoChildren \\sent) "." Gesendet']) == '"Gesendet"'
    assert marked_as("\\Sent", [(b'(\\Sent) "/" {4}', b'a"b\\'), b""]) == '"a\\"b\\\\"'
    assert marked_as("\\Sent", [b'(\\Drafts) NIL "Sent"', b'(\\SentMail) "/" x', b""]) is None
