"""Which Message-IDs an outgoing mail speaks of, however it does so, and that nobody is kept busy by very many."""

import base64
import binascii
import quopri
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from ime_gateway.mail.headers import parse_fields
from ime_gateway.mail.message import Message, parse_message
from ime_gateway.pipeline.protected_ids import MOST_IDS, header_ids, keyed_hash, spoken_of

SECRET = "secret.1@partner.example"


def mail(text: str | bytes) -> Message:
    data = text.encode() if isinstance(text, str) else text
    return parse_message(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def names(text: str | bytes, *, quoted: bool = False) -> frozenset[str] | None:
    return spoken_of(mail(text), quoted=quoted)


def report(kind: str, status: str, returned: str) -> str:
    return (
        f"From: <>\nMessage-ID: <own@x>\nContent-Type: multipart/report; report-type={kind}; boundary=b\n\n"
        f"--b\n\nhello\n--b\nContent-Type: message/{kind}\n\n{status}\n--b\n{returned}\n--b--\n"
    )


@pytest.mark.parametrize(
    "field", ["Message-ID", "In-Reply-To", "References", "Resent-Message-ID", "Original-Message-ID", "MESSAGE-id"]
)
def test_every_field_that_names_a_mail_counts(field: str) -> None:
    found = names(f"{field}: <{SECRET}>\nSubject: <no@id>\n\nbody <no@id>\n")
    assert found == {SECRET}


@pytest.mark.parametrize(
    "written",
    [
        f"<{SECRET}>",
        f"<{SECRET.upper()}>",
        f"<first@x>\n <{SECRET}>\n\t<last@x>",
        f"<first@x>,<{SECRET}>",
        f"<first@x><{SECRET}>",
        "<secret.1@\n partner.example>",
        f"(an answer) <{SECRET}> (to you)",
        SECRET,
        f"first@x {SECRET}",
        f'Your message "x" of Monday <{SECRET}>',
    ],
)
def test_however_it_is_written(written: str) -> None:
    assert SECRET in (names(f"References: {written}\n\nx\n") or ())


@pytest.mark.parametrize("field", ["In-Reply-To", "References"])
def test_pythons_mail_library_encodes_long_ones(field: str) -> None:
    """As ticket systems answer."""
    long = f"{'x' * 70}.{SECRET}"
    answer = EmailMessage(policy=SMTP)
    answer[field] = f"<{long}>"
    assert b"=?utf-8?q?" in answer.as_bytes()
    assert long in (names(answer.as_bytes()) or ())
    assert long in (names(b"Subject: x\n\n> " + answer.as_bytes().strip() + b"\n", quoted=True) or ())


def test_a_forwarded_mail_is_found_inside() -> None:
    inner = f"From: a@x\nMessage-ID: <{SECRET}>\nReferences: <older@x>\nIn-Reply-To: <asked@x>\n\ntext\n"
    wrapped = f"--b\n\nsee this\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"
    found = names(f"Message-ID: <own@x>\nContent-Type: multipart/mixed; boundary=b\n\n{wrapped}")
    assert found == {"own@x", SECRET, "older@x", "asked@x"}


def test_a_mail_in_a_mail_in_a_mail_is_found() -> None:
    text = f"Message-ID: <{SECRET}>\n\ndeep\n"
    for number in range(10):
        text = f"Message-ID: <m{number}@x>\nContent-Type: message/rfc822\n\n{text}"
    assert names(text) == {SECRET, *(f"m{number}@x" for number in range(10))}


def test_a_digest_is_full_of_mails() -> None:
    parts = "".join(f"--b\n\nMessage-ID: <m{number}@x>\n\ntext\n" for number in range(3))
    assert names(f"Content-Type: multipart/digest; boundary=b\n\n{parts}--b--\n") == {"m0@x", "m1@x", "m2@x"}


@pytest.mark.parametrize("media_type", ["message/rfc822", "text/rfc822-headers", "message/global"])
@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable", "x-uuencode"])
def test_what_a_report_returns_is_found_under_any_encoding(media_type: str, encoding: str) -> None:
    inner = f"Subject: x\nMessage-ID: <{SECRET}>\n\nbody\n".encode()
    if encoding == "base64":
        inner = base64.encodebytes(inner)
    if encoding == "quoted-printable":
        inner = quopri.encodestring(inner)
    if encoding == "x-uuencode":
        lines = [binascii.b2a_uu(inner[at : at + 45]) for at in range(0, len(inner), 45)]
        inner = b"begin 644 mail\n" + b"".join(lines) + b"`\nend\n"
    part = f"Content-Type: {media_type}\nContent-Transfer-Encoding: {encoding}\n\n" + inner.decode()
    assert SECRET in (names(report("delivery-status", "Action: failed\n", part)) or ())


def test_mails_in_a_coded_mail_are_found_and_a_second_code_is_no_proof_of_innocence() -> None:
    inner = f"Message-ID: <mid@x>\nContent-Type: message/rfc822\n\nMessage-ID: <{SECRET}>\n\nbody\n"
    coded = base64.encodebytes(inner.encode()).decode()
    head = "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
    assert names(head + coded) == {"mid@x", SECRET}
    twice = base64.encodebytes((head + coded).encode()).decode()
    assert names(head + base64.encodebytes(f"Subject: x\n{head}{twice}".encode()).decode()) is None


def test_a_receipt_names_what_was_read() -> None:
    status = f"Reporting-UA: x\nFinal-Recipient: rfc822; a@x\nOriginal-Message-ID: <{SECRET}>\nDisposition: x\n"
    assert names(report("disposition-notification", status, "")) == {"own@x", SECRET}


@pytest.mark.parametrize(
    "text",
    [
        f"--- Below this line is a copy of the message.\n\nReturn-Path: <a@x>\nMessage-ID: <{SECRET}>\n\ntext\n",
        f"Original message headers:\n\nReceived: x\nmessage-id: {SECRET}\n",
        f"> References: <older@x>\n>  <{SECRET}>\n> In-Reply-To:  <{SECRET}>\n",
        f"References:\n <older@x>\n <{SECRET}>\n",
        f"Action: failed\nOriginal-Message-ID: <{SECRET}>\n",
    ],
)
def test_a_mail_server_may_quote_the_header_in_its_text(text: str) -> None:
    assert SECRET in (names(f"From: <>\n\n{text}", quoted=True) or ())
    encoded = base64.encodebytes(text.encode()).decode()
    assert SECRET in (names(f"Content-Transfer-Encoding: base64\n\n{encoded}", quoted=True) or ())
    assert names(f"From: a@x\n\n{text}") == frozenset()


FILES = {
    "application/octet-stream; name=a.eml": True,
    "application/octet-stream; name=A.EML": True,
    "text/plain; name=a.eml": True,
    "application/mbox": True,
    "application/octet-stream; name=inbox.mbox": True,
    "application/octet-stream; name=a.msg": True,
    "application/vnd.ms-outlook": True,
    "multipart/x-unknown; name=a.mht": True,
    "application/octet-stream\nContent-Disposition: attachment; filename=page.mhtml": True,
    "application/octet-stream; name=a.bin": False,
    "text/plain": False,
}


@pytest.mark.parametrize("encoding", ["7bit", "base64", "quoted-printable"])
@pytest.mark.parametrize(("said", "found"), FILES.items(), ids=FILES)
def test_mail_attached_as_a_file_is_found(said: str, found: bool, encoding: str) -> None:
    text = f"From k@x Mon Nov 23 06:00:00 2026\nSubject: x\nMessage-ID: <{SECRET}>\n\nbody\n".encode()
    text += b"x" * 70 + b"\n"
    coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(text)
    part = f"Content-Type: {said}\nContent-Transfer-Encoding: {encoding}\n\n{coded.decode()}"
    data = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nsee\n--b\n{part}\n--b--\n"
    assert (SECRET in (names(data) or ())) is found
    assert SECRET in (names(data, quoted=True) or ()), "a mail server that returns it by itself"


def test_what_outlook_saves_is_found() -> None:
    """Its header stands there as UTF-16, between blocks of other things."""
    text = f"Received: x\r\nMessage-ID: <{SECRET}>\r\nSubject: x\r\n".encode("utf-16-le")
    coded = base64.encodebytes(b"\xd0\xcf\x11\xe0" + b"\xff\x00" * 5000 + text + b"\x01" * 5000).decode()
    head = "Content-Type: application/octet-stream; name=x.msg\nContent-Transfer-Encoding: base64\n\n"
    assert SECRET in (names(head + coded) or ())


@pytest.mark.parametrize("own", ["a<b@x", "a<b@x>", "<a<b@x>>", "a>b@x"])
def test_a_name_with_a_bracket_inside_is_known_however_it_is_answered(own: str) -> None:
    remembered = set(header_ids(parse_fields(f"Message-ID: {own}\r\n".encode()), ("message-id",)))
    bare = own.strip("<>")
    for answer in (own, bare, f"<{bare}>", f"<first@x> <{bare}>", f"<first@x>\n {own}"):
        for field in ("In-Reply-To", "References"):
            assert remembered & (names(f"{field}: {answer}\n\nx\n") or set()), answer


def test_ordinary_mail_speaks_of_itself_only() -> None:
    assert names("Message-ID: <own@x>\nSubject: x\n\nbody\n", quoted=True) == {"own@x"}
    assert names("Subject: x\n\nbody\n") == frozenset()


@pytest.mark.parametrize("count", [MOST_IDS - 1, MOST_IDS + 1])
def test_nobody_says_of_very_many_that_none_matters(count: int) -> None:
    listed = "\n".join(f" <{number}@x>" for number in range(count))
    found = names(f"References:\n{listed}\n\nx\n")
    assert (found is None) is (count > MOST_IDS)


def test_a_structure_that_cannot_be_read_is_no_proof_of_innocence() -> None:
    deep = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(200))
    assert names(deep) is None


@pytest.mark.parametrize("line", [b"message-id:", b"<", b"<aaaa", b"references: \n <a", b" ", b"\n ", b"> "])
@pytest.mark.parametrize(("size", "is_read"), [(1 << 19, True), (2 << 20, False)], ids=["half a MiB", "two MiB"])
def test_very_large_text_is_read(line: bytes, size: int, is_read: bool) -> None:
    """A walk that is not linear would not end. Nothing in it is given up: the whole header counts, and of the text its
    first MiB."""
    text = line * (size // len(line)) + f"\nmessage-id: <{SECRET}>\n".encode()
    found = names(f"Subject: x\nReferences: {'<a' * 300_000} <b@x>\n\n".encode() + text, quoted=True)
    assert found is not None and "b@x" in found and (SECRET in found) is is_read


def test_hashes_are_of_the_key_and_of_nothing_else() -> None:
    assert keyed_hash(b"k" * 32, "a@x") == keyed_hash(b"k" * 32, "a@x") != keyed_hash(b"l" * 32, "a@x")
    assert keyed_hash(b"k" * 32, "b@x") != keyed_hash(b"k" * 32, "a@x")
    assert "a@x" not in keyed_hash(b"k" * 32, "a@x")
    assert len(keyed_hash(b"k" * 32, "\udcff")) == 64


def test_equal_names_are_equal_however_they_travelled() -> None:
    forms = [
        b"Message-ID: <A.B@X>\r\n",
        b"Message-Id:\r\n  <a.b@x>\r\n",
        b"MESSAGE-ID: a.b@x\r\n",
        b"Message-ID:<a.b@x\r\n",
    ]
    assert {tuple(header_ids(parse_fields(form), ("message-id",))) for form in forms} == {("a.b@x",)}
