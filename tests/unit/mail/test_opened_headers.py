"""What of a header inside an encryption may be shown outside it, and what must not."""

from ime_gateway.mail.header_protection import read_protected
from ime_gateway.mail.headers import HeaderBlock, parse_fields
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.opened_headers import opened_headers

OUTER = parse_fields(
    b"Received: from x by y; Sun, 22 Nov 2026 10:00:00 +0100\r\nFrom: kim@partner.example\r\nTo: bob@acme.example\r\n"
    b"Subject: [...]\r\nMessage-ID: <outer@x>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment\r\n"
)


def opened(inside: bytes, outer: HeaderBlock = OUTER) -> HeaderBlock:
    entity = parse_message(bytearray(inside + b"\r\n\r\ntext\r\n"))
    return opened_headers(outer, entity.headers, read_protected(entity))


def test_only_what_describes_the_content_moves_out() -> None:
    made = opened(b"Content-Type: text/plain\r\nSubject: inner\r\nFrom: boss@acme.example\r\nX-Foo: 1")
    assert made.to_bytes() == (
        b"Received: from x by y; Sun, 22 Nov 2026 10:00:00 +0100\r\nFrom: kim@partner.example\r\n"
        b"To: bob@acme.example\r\nSubject: [...]\r\nMessage-ID: <outer@x>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain\r\n"
    )


def test_protected_words_come_back_and_no_authority_does() -> None:
    made = opened(
        b'Content-Type: text/plain; hp="cipher"\r\nSubject: The real one\r\nKeywords: merger\r\nComments: c\r\n'
        b"Message-ID: <inner@x>\r\nReceived: from evil by gw\r\nAuthentication-Results: gw; dkim=pass\r\n"
        b"References: <r@x>\r\nHP-Outer: Subject: [...]\r\nBcc: carol@acme.example\r\nList-Unsubscribe: <x>\r\n"
        b"Reply-To: mallory@evil.example"
    )
    text = made.to_bytes()
    assert b"Subject: The real one\r\n" in text and b"[...]" not in text
    assert b"Keywords: merger" in text and b"Comments: c" in text and b"References: <r@x>" in text
    assert b"Message-ID: <outer@x>" in text and text.count(b"Received:") == 1
    for word in (b"inner@x", b"Authentication", b"evil", b"hp=", b"HP-", b"Bcc", b"List-", b"Reply-To"):
        assert word not in text


def test_of_people_only_names_come_back() -> None:
    made = opened(b'Content-Type: text/plain; hp="cipher"\r\nFrom: Kim Kern <kim@partner.example>\r\nTo: x@y.example')
    assert b"From: Kim Kern <kim@partner.example>\r\nTo: bob@acme.example\r\n" in made.to_bytes()
    other = opened(b'Content-Type: text/plain; hp="cipher"\r\nFrom: The Boss <boss@acme.example>')
    assert b"From: kim@partner.example\r\n" in other.to_bytes()


def test_what_was_made_for_signing_only_restores_nothing() -> None:
    assert b"Subject: [...]" in opened(b'Content-Type: text/plain; hp="clear"\r\nSubject: real').to_bytes()


def test_a_subject_cannot_become_two_fields() -> None:
    made = opened(b'Content-Type: text/plain; hp="cipher"\r\nSubject: =?utf-8?q?a=0D=0ABcc=3A_x=40y?=')
    assert [field.name for field in made.fields].count("Bcc") == 0
    assert len(made.all("subject")) == 1


def test_what_stands_outside_is_not_replaced_by_what_steers_or_names() -> None:
    """Servers and readers have seen those: threads, and the names that people have outside."""
    outer = OUTER.append(*parse_fields(b"References: <seen@x>\r\n").fields)
    outer = outer.replace("To", parse_fields(b"To: Bob <bob@acme.example>\r\n").fields[0])
    made = opened(
        b'Content-Type: text/plain; hp="cipher"\r\nReferences: <hidden@x>\r\nTo: The Boss <bob@acme.example>', outer
    )
    assert [one.text.strip() for one in made.all("references")] == ["<seen@x>"]
    assert b"To: Bob <bob@acme.example>\r\n" in made.to_bytes() and b"Boss" not in made.to_bytes()


def test_a_field_that_is_there_twice_gets_no_names() -> None:
    """Nobody can say which of them the reader is shown."""
    names = b'Content-Type: text/plain; hp="cipher"\r\nFrom: Kim <kim@partner.example>'
    twice = OUTER.append(*parse_fields(b"From: eve@evil.example\r\n").fields)
    assert b"Kim" not in opened(names, twice).to_bytes()
    assert b"Kim" not in opened(names + b"\r\nFrom: eve@evil.example").to_bytes()


def test_a_field_without_end_is_not_restored() -> None:
    made = opened(b'Content-Type: text/plain; hp="cipher"\r\nSubject: ' + b"x " * 40_000)
    assert b"Subject: [...]\r\n" in made.to_bytes()
