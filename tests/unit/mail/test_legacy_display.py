"""The subject on top of the text for programs that don't know header protection, in every encoding.

Python's email package decodes the result: what its reader sees is what it saw before, with the line on top.
"""

import base64
import email
import email.policy
import html
import quopri
from email.message import EmailMessage
from itertools import pairwise

import pytest

from ime_gateway.mail.legacy_display import with_legacy_display
from ime_gateway.mail.message import parse_message

SUBJECT = "Merger with Orchid"
JAPANESE = "合併について ÄÖ"


def made(fields: str, body: bytes, subject: str = SUBJECT) -> EmailMessage:
    given = parse_message(b"From: anna@acme.example\r\n" + fields.encode() + b"\r\n" + body)
    shown = with_legacy_display(given, [("Subject", subject)])
    octets = shown.headers.to_bytes() + b"\r\n" + b"".join(shown.body)
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects
    return parsed


def text(part: EmailMessage) -> str:
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


ENCODINGS = {
    "": lambda octets: octets,
    "7bit": lambda octets: octets,
    "8bit": lambda octets: octets,
    "binary": lambda octets: octets,
    "base64": base64.encodebytes,
    "quoted-printable": quopri.encodestring,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("charset", ["", "us-ascii", "utf-8", "iso-8859-1", "windows-1252", "iso-2022-jp", "shift_jis"])
@pytest.mark.parametrize("subject", [SUBJECT, "Größe = 100 %", JAPANESE, "long " * 400])
def test_text_in_every_charset_and_encoding(encoding: str, charset: str, subject: str) -> None:
    said = {"iso-2022-jp": "会議です", "shift_jis": "会議です", "utf-8": "Grüße", "iso-8859-1": "Grüße",
            "windows-1252": "€ 5"}.get(charset, "plain")  # fmt: skip
    if encoding in ("", "7bit") and charset != "iso-2022-jp":
        said = "plain"
    octets = ENCODINGS[encoding](f"{said} = so\r\n-- \r\n".encode(charset or "ascii"))
    fields = "Content-Type: text/plain" + (f"; charset={charset}" if charset else "") + "\r\n"
    fields += f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
    part = made(fields, octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), subject)
    assert text(part) == f"Subject: {subject.strip()}\n\n{said} = so\n-- \n"
    assert part.get_param("hp-legacy-display") == "1"
    raw = part.as_bytes().split(b"\n\n", 1)[1]
    assert part["Content-Transfer-Encoding"] in ("8bit", "binary") or raw.isascii()
    assert part["Content-Transfer-Encoding"] == "binary" or max(map(len, raw.split(b"\n"))) <= 998


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("subject", [SUBJECT, "<b>Größe</b> & Co", JAPANESE, "lang " * 400])
def test_html_keeps_its_page(encoding: str, subject: str) -> None:
    page = (
        "<html><head><style>body { }</style><!-- <body> --><title><body></title></head>\r\n"
        '<BODY lang="d>e"\r\n class=x><p>Text = so</p></BODY></html>\r\n'
    )
    fields = "Content-Type: text/html; charset=iso-8859-1\r\n"
    fields += f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
    octets = ENCODINGS[encoding](page.encode()).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    seen = text(made(fields, octets, subject))
    before, _, rest = seen.partition('\n<div class="header-protection-legacy-display">\n<pre>Subject: ')
    line, _, behind = rest.partition("</pre>\n</div>\n")
    assert before + behind == page.replace("\r\n", "\n")
    assert before.endswith('<BODY lang="d>e"\n class=x>')
    assert line.isascii() and "<" not in line
    assert html.unescape(line) == subject.strip()


@pytest.mark.parametrize(
    "page", ["<p>no body</p>", "<!-- never closed <body>", "<style> <body>", "<body", "", "\ufeff<p>x"]
)
def test_html_without_a_body_tag(page: str) -> None:
    seen = text(made("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", page.encode()))
    assert "Subject: Merger with Orchid" in seen.replace("\ufeff", "")[:100]
    assert seen.endswith(page.lstrip("\ufeff"))


ALTERNATIVE = (
    b"preamble\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
    b"--a\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
    b"--a\r\nContent-Type: multipart/related; boundary=r\r\n\r\n"
    b"--r\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode(b"<body>html")
    + b"\r\n--r\r\nContent-Type: text/plain; name=style.txt\r\n\r\nrelated\r\n--r--\r\n\r\n--a--\r\n"
    b"--m\r\nContent-Type: text/plain; name=notes.txt\r\n\r\nattached\r\n--m--\r\nepilogue\r\n"
)


def test_only_the_main_text_shows_it() -> None:
    mail = made("Content-Type: multipart/mixed; boundary=m\r\n", ALTERNATIVE)
    leaves = [part for part in mail.walk() if not part.is_multipart()]
    marks = [part.get_param("hp-legacy-display") for part in leaves]  # type: ignore[union-attr]
    assert marks == ["1", "1", None, None]
    assert text(leaves[0]) == "Subject: Merger with Orchid\n\nplain"  # type: ignore[arg-type]
    assert "<pre>Subject: Merger" in text(leaves[1]) and text(leaves[1]).endswith("html")  # type: ignore[arg-type]
    assert text(leaves[2]) == "related" and text(leaves[3]) == "attached"  # type: ignore[arg-type]
    assert mail.preamble == "preamble" and mail.epilogue.replace("\r\n", "\n") == "epilogue\n"
    assert mail.get_param("hp-legacy-display") is None


def unchanged(fields: str, body: bytes) -> bool:
    given = parse_message(fields.encode() + b"\r\n" + body)
    shown = with_legacy_display(given, [("Subject", SUBJECT)])
    return b"".join(shown.body) == body and shown.headers.to_bytes() == fields.encode()


MIXED = "Content-Type: multipart/mixed; boundary=b\r\n"
TWICE = "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"
UNTOUCHED = [
    ("Content-Type: text/plain\r\nContent-Disposition: attachment\r\n", b"x\r\n"),
    ("Content-Type: text/plain; hp-legacy-display=1\r\n", b"Subject: x\r\n\r\nx\r\n"),
    ("Content-Type: text/plain; charset=utf-16\r\n", "x".encode("utf-16")),
    ("Content-Type: text/plain; charset=x-unknown\r\n", b"x\r\n"),
    ("Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", b"no base64!\r\n"),
    ("Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n", b"begin\r\n"),
    ("Content-Type: text/plain\r\n" + TWICE, b"x\r\n"),
    ("Content-Type: application/pdf\r\n", b"x\r\n"),
    (MIXED, b"--b\r\nContent-Type: application/pdf\r\n\r\nx\r\n--b\r\n\r\ntext\r\n--b--\r\n"),
    (MIXED, b"--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--\r\n--b--\r\n"),
    (MIXED, b"--b\r\nContent-Type: text/plain"),
    (MIXED + "Content-Type: multipart/mixed; boundary=c\r\n", b"--b\r\n\r\nx\r\n--b--\r\n"),
    ("Content-Type: message/rfc822\r\n", b"Subject: y\r\n\r\nx\r\n"),
]


@pytest.mark.parametrize(("fields", "body"), UNTOUCHED)
def test_what_cannot_be_changed_faithfully_stays(fields: str, body: bytes) -> None:
    assert unchanged(fields, body)


def test_letters_that_fit_nowhere_are_marked() -> None:
    """The text is no valid ASCII, so it can't be turned into UTF-8 either."""
    part = made("Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n", b"\xff\r\n", "Größe")
    assert part.get_payload(decode=True) == b"Subject: Gr??e\r\n\r\n\xff\r\n"


def test_a_subject_cannot_break_out_of_its_line() -> None:
    assert text(made("Content-Type: text/plain\r\n", b"x", "a\r\nb\0\tc")) == "Subject: a b c\n\nx"


def test_large_bodies_are_not_copied() -> None:
    body = b"--b\r\n\r\ntext\r\n--b\r\n\r\n" + b"x" * 1_000_000 + b"\r\n--b--\r\n"
    given = parse_message(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body)
    shown = with_legacy_display(given, [("Subject", SUBJECT)])
    assert shown.body[-1].obj is given.body.obj
    assert all(len(one) for one in shown.body) and len(list(pairwise(shown.body))) < 6
