"""Header protection as RFC 9788 has it; Python's email package reads what we make."""

import email
import email.policy
from email.message import EmailMessage

import pytest

from ime_gateway.mail.header_protection import (
    hidden_outer,
    hide_subject,
    is_protected,
    read_protected,
    without_protection,
)
from ime_gateway.mail.message import Message, parse_message

HEAD = (
    b"Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0100\r\n"
    b"DKIM-Signature: v=1; d=elsewhere.example; h=subject\r\n"
    b"From: Anna <anna@acme.example>\r\n"
    b"To: bob@acme.example\r\n"
    b"Subject: Merger with\r\n Orchid\r\n"
    b"Thread-Topic: Merger with Orchid\r\n"
    b"Keywords: merger\r\n"
    b"Comments: secret\r\n"
    b"X-Archive-Title: RE: merger with orchid\r\n"
    b"X-Mailer: Outlook\r\n"
    b"Message-ID: <1@acme.example>\r\n"
    b"In-Reply-To: <0@acme.example>\r\n"
    b"References: <0@acme.example>\r\n"
    b"Disposition-Notification-To: anna@acme.example\r\n"
    b"MIME-Version: 1.0\r\n"
)
PLAIN = b"Content-Type: text/plain; charset=utf-8\r\n"


def message(fields: bytes = PLAIN, body: bytes = b"Hello.\r\n", head: bytes = HEAD) -> Message:
    return parse_message(head + fields + b"\r\n" + body)


def inside(given: Message) -> EmailMessage:
    secured = hide_subject(given)
    octets = secured.inner.to_bytes() + b"\r\n" + b"".join(secured.body)
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_outside_says_only_what_carries_the_mail() -> None:
    outer = hide_subject(message()).outer
    assert [f.name for f in outer.fields] == [
        "Received", "From", "To", "Subject", "X-Mailer", "Message-ID", "In-Reply-To", "References",
        "Disposition-Notification-To",
    ]  # fmt: skip
    assert outer.all("subject")[0].raw == b"Subject: [...]\r\n"
    assert b"orchid" not in outer.to_bytes().lower()
    assert hidden_outer(message().headers) == outer


def test_inside_stands_what_the_author_wrote() -> None:
    parsed = inside(message())
    assert parsed["Subject"] == "Merger with Orchid"
    assert parsed["From"] == "Anna <anna@acme.example>"
    assert parsed["Thread-Topic"] == "Merger with Orchid"
    assert parsed["X-Archive-Title"] == "RE: merger with orchid"
    assert parsed["Keywords"] == "merger"
    for absent in ("Received", "DKIM-Signature", "Disposition-Notification-To", "MIME-Version"):
        assert parsed[absent] is None
    assert parsed.get_content_type() == "text/plain"
    assert parsed.get_param("hp") == "cipher"
    assert parsed.get_param("charset") == "utf-8"


def test_hp_outer_repeats_the_outside() -> None:
    given = message()
    noted = [str(value) for value in inside(given).get_all("HP-Outer", [])]
    assert noted == [
        "From: Anna <anna@acme.example>", "To: bob@acme.example", "Subject: [...]", "X-Mailer: Outlook",
        "Message-ID: <1@acme.example>", "In-Reply-To: <0@acme.example>", "References: <0@acme.example>",
    ]  # fmt: skip


def test_nobody_blind_goes_inside() -> None:
    parsed = inside(message(head=HEAD + b"Bcc: carol@acme.example\r\nResent-Bcc: dora@acme.example\r\n"))
    assert "carol" not in str(parsed) and "dora" not in str(parsed)
    outer = hidden_outer(parse_message(HEAD + b"Bcc: carol@acme.example\r\n\r\n").headers)
    assert b"carol" not in outer.to_bytes()


def test_what_a_client_noted_before_is_not_taken_over() -> None:
    given = message(b'Content-Type: text/plain; hp="clear"; charset=utf-8\r\nHP-Outer: Subject: Merger with Orchid\r\n')
    parsed = inside(given)
    assert parsed.get_param("hp") == "cipher"
    assert str(parsed).count("hp=") == 1
    assert "Subject: Merger with Orchid" not in [str(v) for v in parsed.get_all("HP-Outer", [])]
    assert hide_subject(given).outer.first("hp-outer") is None


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        PLAIN,
        b"Content-Type: text/plain\r\n",
        b"Content-Type: text/plain;\r\n",
        b'Content-Type: text/plain; name="a; hp=b"\r\n',
        b"content-type:text/plain ; charset = utf-8 ;\r\n",
        b"Content-Type: multipart/mixed;\r\n\tboundary=x\r\n",
        b'Content-Type: text/html; hp=x; charset="utf-8"; hp="y"\r\n',
    ],
)
def test_every_type_gets_its_mark(fields: bytes) -> None:
    parsed = inside(message(fields))
    assert parsed.get_param("hp") == "cipher"
    before = email.message_from_bytes(fields + b"\r\n", policy=email.policy.default)
    assert parsed.get_content_type() == before.get_content_type()
    assert parsed.get_param("name") == before.get_param("name")


def test_a_signed_body_stays_as_it_is() -> None:
    fields = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n'
    body = (
        b"--b\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"
        b"--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMII=\r\n--b--\r\n"
    )
    secured = hide_subject(message(fields, body))
    assert b"".join(secured.body) == body
    assert inside(message(fields, body))["Subject"] == "Merger with Orchid"


def test_without_subject_nothing_is_made_up() -> None:
    secured = hide_subject(message(head=b"From: anna@acme.example\r\nSubject:\r\n"))
    assert secured.outer.to_bytes() == b"From: anna@acme.example\r\nSubject: [...]\r\n"
    assert b"".join(secured.body) == b"Hello.\r\n"
    secured = hide_subject(message(head=b"From: anna@acme.example\r\n"))
    assert secured.outer.to_bytes() == b"From: anna@acme.example\r\n"


def test_encoded_subjects_are_found_in_other_fields() -> None:
    head = (
        "Subject: =?utf-8?B?w5xiZXJuYWhtZQ==?=\r\nX-Title: =?iso-8859-1?Q?AW:_=DCbernahme?=\r\n"
        "From: Übernahme <a@b.example>\r\n"
    )
    outer = hide_subject(message(head=head.encode())).outer
    assert [f.name for f in outer.fields] == ["Subject", "From"]


def test_a_reply_mark_hides_no_copy() -> None:
    outer = hide_subject(message(head=b"Subject: AW: Merger with Orchid\r\nX-Title: merger with Orchid\r\n")).outer
    assert [f.name for f in outer.fields] == ["Subject"]


def test_text_that_carries_its_own_signature_stays_as_it_is() -> None:
    body = b"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\nHello.\r\n"
    assert b"".join(hide_subject(message(body=body)).body) == body


def test_short_subjects_are_not_looked_for() -> None:
    outer = hide_subject(message(head=b"Subject: Hi\r\nX-Title: Hi\r\n")).outer
    assert [f.name for f in outer.fields] == ["Subject", "X-Title"]


def test_several_subjects_are_all_hidden() -> None:
    outer = hide_subject(message(head=b"Subject: one\r\nSubject: two\r\nSUBJECT : three\r\n")).outer
    assert outer.to_bytes() == b"Subject: [...]\r\n"


def test_mail_that_ends_in_its_header() -> None:
    secured = hide_subject(parse_message(b"From: anna@acme.example\r\nSubject: Merger"))
    parsed = email.message_from_bytes(
        secured.inner.to_bytes() + b"\r\n" + b"".join(secured.body), policy=email.policy.default
    )
    assert parsed["Subject"] == "Merger"
    assert parsed["From"] == "anna@acme.example"


RFC_C31 = (
    b"MIME-Version: 1.0\r\nSubject: Dinner plans\r\nFrom: Alice <alice@smime.example>\r\n"
    b"HP-Outer: Subject: [...]\r\nHP-Outer: From: Alice\r\n <alice@smime.example>\r\n"
    b'Content-Type: text/plain; charset="utf-8"; hp="cipher"\r\n\r\nHello\r\n'
)


def test_reading_what_others_protected() -> None:
    found = read_protected(parse_message(RFC_C31))
    assert found is not None
    assert found.kind == "cipher"
    assert [f.name for f in found.fields.fields] == ["Subject", "From"]
    assert found.confidential == {"subject"}


def test_reading_what_we_protected() -> None:
    secured = hide_subject(message())
    found = read_protected(parse_message(secured.inner.to_bytes() + b"\r\n" + b"".join(secured.body)))
    assert found is not None
    assert found.confidential == {"subject", "thread-topic", "keywords", "comments", "x-archive-title"}


def test_orders_from_inside_are_not_read() -> None:
    forged = RFC_C31.replace(
        b"HP-Outer: Subject",
        b"X-SM-decrypted: yes\r\nx-smenc: yes\r\nX-ESWmail-Encrypted: yes\r\nBcc: eve@x.example\r\nHP-Outer: Subject",
    )
    found = read_protected(parse_message(forged))
    assert found is not None
    assert [f.name for f in found.fields.fields] == ["Subject", "From"]


def test_the_words_are_taken_back_when_no_fields_go_inside() -> None:
    head = parse_message(
        b'Subject: x\r\nHP-Outer: Subject: [...]\r\nContent-Type: text/plain; hp="cipher";\r\n charset=utf-8\r\n\r\n'
    ).headers
    assert is_protected(head)
    bare = without_protection(head)
    assert bare.to_bytes() == b"Subject: x\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n"
    assert not is_protected(bare) and without_protection(bare) is bare


@pytest.mark.parametrize("value", [b"", b'; hp="other"', b"; x-hp=cipher", b'; protected-headers="v2"'])
def test_nothing_is_protected_without_the_word(value: bytes) -> None:
    assert read_protected(parse_message(b"Subject: x\r\nContent-Type: text/plain" + value + b"\r\n\r\n")) is None


def test_clear_and_the_older_form() -> None:
    clear = read_protected(parse_message(b"Subject: x\r\nContent-Type: text/plain; HP=Clear\r\n\r\n"))
    assert clear is not None and clear.kind == "clear" and clear.confidential == frozenset()
    older = read_protected(parse_message(b'Subject: x\r\nContent-Type: text/plain; protected-headers="v1"\r\n\r\n'))
    assert older is not None and older.kind == "v1" and older.confidential == {"subject"}


def test_only_listed_fields_in_their_own_form_stay_outside() -> None:
    head = (
        b"From: Anna <anna@acme.example>\r\nTo: bob@acme.example\r\nCc: carol@acme.example\r\n"
        b"Date: Sun, 22 Nov 2026 10:00:00 +0100 (CET)\r\nSubject: Merger with Orchid\r\n"
        b"Message-ID: <1@acme.example>\r\nIn-Reply-To: <0@acme.example>\r\n"
        b"References: <a@x.example>\r\n <0@acme.example>\r\n"
        b"Sensitivity: Company-Confidential\r\nImportance: High\r\nPriority: Urgent\r\n"
        b"X-Priority: 1 (Highest)\r\nAuto-Submitted: Auto-Generated\r\n"
        b"Disposition-Notification-To: anna@acme.example\r\n"
    )
    outer = hide_subject(message(head=head), listed_only=True).outer
    assert outer.to_bytes() == head.replace(b"Merger with Orchid", b"[...]")
    told = (
        b"X-Mailer: a\r\nX-Words: a\r\nOrganization: a\r\nReturn-Receipt-To: a\r\nList-Id: a\r\n"
        b"Resent-From: a@b.example\r\n"
        b"Date: Sun, 22 Nov 2026 (about the merger)\r\nIn-Reply-To: your mail about the merger\r\nSensitivity: very\r\n"
        b"Importance: merger\r\nPriority: merger\r\nX-Priority: 1 (merger)\r\nReferences: <a> merger\r\n"
        b"Message-ID: <a> (merger)\r\nAuto-Submitted: no (merger)\r\nReturn-Path: <merger@x.example>\r\n"
    )
    secured = hide_subject(message(head=b"Subject: Tulip\r\n" + told), listed_only=True)
    assert secured.outer.to_bytes() == b"Subject: [...]\r\n"
    assert {"x-words", "organization", "date", "in-reply-to"} <= {f.key for f in secured.inner.fields}


def test_a_type_that_is_full_keeps_its_form() -> None:
    """One more parameter would be one too many for our own reader; the mail goes all the same."""
    fields = b"Content-Type: text/plain" + b";\r\n a=b" * 200 + b"\r\n"
    secured = hide_subject(message(fields))
    assert secured.inner.first("subject") is not None and b"hp=" not in secured.inner.to_bytes()
