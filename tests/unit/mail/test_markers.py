"""Control and status headers of outsiders vanish at every nesting, and nothing else does (threats 58, 60)."""

import base64
import quopri

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail import markers
from ime_gateway.mail.headers import HeaderBlock, parse_fields
from ime_gateway.mail.markers import strip_controls, strip_markers, strip_status
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.transfer_encoding import decode_transfer

FORGED = [
    "X-SM-ORIGTO: boss@bank.example",
    "x-sm-origcc: a@x.example,\r\n b@x.example",
    "X-Sm-OrigBcc : a@x.example",
    "x-smenc: yes",
    "X-SMSIGN: yes",
    "x-smplain: yes",
    "x-smwebmail: yes",
    "x-smnosign: yes",
    "X-SM-internal: yes",
    "X-SM-decrypted: yes",
    "X-SM-something-new: yes",
    "X-ESWmail-InternalEncrypt-sentcopy: yes",
    "X-ESWMAIL-ENCRYPTED: yes",
    "X-IMEGW-Anything: yes",
    "x-smenc\t : yes",
    "x-smenc\r\n : yes",
    "X-SM-\r\n ORIGTO: a@x.example",
    "x-sm enc: yes",
    "\x0bX-SMENC: yes",
    "x-smenc\xc2\xa0: yes",
    "\xef\xbb\xbfx-smenc: yes",
    "X-SM-\xe2\x80\x8bORIGTO: a@x.example",
    "\xd0\xa5-SM-ORIGTO: a@x.example",  # a Cyrillic letter for the X
    "\xef\xbc\xb8-SMENC: yes",  # a wide X
    "=?utf-8?q?X-SMENC?=: yes",
    "=?utf-8?b?WC1TTUVOQw==?= : yes",
    "X-SM-ORIGTO a@x.example",
    "X-SMENC",
]
KEPT = [
    "Subject: X-SM-ORIGTO: a@x.example",
    "Subject: folded\r\n\tX-SMENC: yes",
    "Sensitivity: Company-Confidential",
    "X-SMTP-Server: a",
    "X-SMenclosure: a",
    "X-SmarterMail-TotalSpamWeight: 0",
    "X-IMEGW-Trace: 0123; mac=" + "0" * 64,
    "X-MS-Exchange-Transport: x",
    "X-MS-Has-Attach:",
    "no field at all",
    "\xd0\xa5\xd0\xa5: foreign name",
]
EXCHANGE = [
    "X-MS-Exchange-Organization-SCL: -1",
    "x-ms-exchange-organization-authas: Internal",
    "X-MS-Exchange-Forest-RulesExecuted: x",
    "X-MS-Exchange-CrossTenant-Id: x",
    "X-MS-Exchange-Organization\xe2\x80\x8b-AuthAs: Internal",
]


def raw(line: str) -> bytes:
    return line.encode("latin-1") + b"\r\n"


def stripped(data: bytes, exchange_headers: bool = True) -> bytes:
    return b"".join(strip_markers(parse_message(data), exchange_headers).chunks())


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
ATTACHED = b"Content-Type: message/rfc822\r\n\r\n"
TEXT = b"\r\nX-SMENC: yes\r\n"
NESTINGS = {
    "top": b"From: a@x.example\r\n%sTo: b@x.example\r\n" + TEXT,
    "first line": b"%sFrom: a@x.example\r\n\r\nbody\r\n",
    "last line": b"From: a@x.example\r\n%s\r\nbody\r\n",
    "no body": b"From: a@x.example\r\n%s",
    "part": b"A: 1\r\n" + MIXED + TEXT + b"--b\r\nB: 2\r\n%s" + TEXT + b"--b--\r\n",
    "part without body": MIXED + b"--b\r\nB: 2\r\n%s--b--\r\n",
    "part of markers only": MIXED + b"--b\r\n%s--b\r\n\r\nx\r\n--b--\r\n",
    "attached message": MIXED + b"--b\r\n" + ATTACHED + b"From: c@x.example\r\n%s" + TEXT + b"--b--\r\n",
    "digest": MIXED.replace(b"mixed", b"digest") + b"--b\r\n\r\n%sSubject: x\r\n" + TEXT + b"--b--\r\n",
    "deep": ATTACHED * 2 + MIXED + b"--b\r\nContent-Type: message/global\r\n\r\nA: 1\r\n%s" + TEXT,
    "returned headers": MIXED + b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nA: 1\r\n%s--b--",
    "after the end": MIXED + b"--b--\r\n--b\r\n" + ATTACHED + b"A: 1\r\n%s\r\nx",
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("line", FORGED)
def test_forged_marker_vanishes(line: str, nesting: str) -> None:
    data = NESTINGS[nesting] % raw(line)
    assert stripped(data) == NESTINGS[nesting] % b""


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("line", KEPT)
def test_everything_else_stays(line: str, nesting: str) -> None:
    data = NESTINGS[nesting] % raw(line)
    message = parse_message(data)
    assert strip_markers(message, True) is message


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("line", EXCHANGE)
def test_exchange_headers_go_where_asked(line: str, nesting: str) -> None:
    data = NESTINGS[nesting] % raw(line)
    assert stripped(data, True) == NESTINGS[nesting] % b""
    assert stripped(data, False) == data


def test_many_markers_at_many_places() -> None:
    lines = b"".join(map(raw, FORGED))
    data = b"".join(
        (
            b"A: 1\r\n%sContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n",
            b"--b\r\nContent-Type: message/rfc822\r\n%s\r\n%sB: 2\r\n\r\ntext\r\n",
            b"--b\r\n%s\r\nother\r\n--b--\r\nepilogue",
        )
    )
    assert stripped(data % (lines, lines, lines, lines)) == data % (b"", b"", b"", b"")


def test_stripping_again_finds_nothing() -> None:
    data = NESTINGS["deep"] % (raw("X-SM-\r\n A: 1") + raw("X-SMENC: yes") + raw(" x-smenc: yes"))
    message = strip_markers(parse_message(data), True)
    assert strip_markers(message, True) is message


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("marker", [b"X-SMENC: yes\r\n", b"x-sm-origto: a@x.example\n", b""])
@pytest.mark.parametrize("outer", [b"Content-Type: message/rfc822", b"Content-Type: multipart/mixed; boundary=b"])
def test_markers_in_a_message_encoded_against_the_rule_are_refused(encoding: str, marker: bytes, outer: bytes) -> None:
    inside = b"A: 1\r\n" + marker + b"\r\ntext\r\n"
    if b"multipart" in outer:
        inside = b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + inside + b"--b--\r\n"
    encoded = base64.encodebytes(inside) if encoding == "base64" else quopri.encodestring(inside).replace(b"-", b"=2D")
    data = (
        outer + b"\r\nContent-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + encoded.replace(b"\n", b"\r\n")
    )
    message = parse_message(data)
    if marker:
        with pytest.raises(UnreadableMail, match="hides"):
            strip_markers(message, False)
    else:
        assert strip_markers(message, False) is message


def test_a_message_encoded_twice_is_refused_unopened() -> None:
    headers = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    data = headers + base64.b64encode(headers + base64.b64encode(b"A: 1\r\n\r\nx"))
    with pytest.raises(UnreadableMail, match="hides"):
        strip_markers(parse_message(data), False)


def test_encoded_parts_inside_one_that_was_opened_are_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def counting(data: memoryview, encoding: str) -> bytes:
        opened.append(len(data))
        return decode_transfer(data, encoding)

    monkeypatch.setattr(markers, "decode_transfer", counting)
    header = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    message = parse_message(header * 20 + b"Subject: x\r\n\r\ntext")
    assert strip_markers(message, False) is message
    assert opened == [len(message.body)]


def test_status_of_insiders_goes_and_their_wishes_stay() -> None:
    block = parse_fields(
        b"X-SM-ORIGTO: a@x\r\nX-SM-incoming: yes\r\nx-smenc: yes\r\nX-ESWmail-Plain: yes\r\nX-IMEGW-Trace: x\r\n"
    )
    assert [field.name for field in strip_status(block).fields] == ["X-SM-ORIGTO", "x-smenc", "X-IMEGW-Trace"]
    clean = parse_fields(b"From: a@x\r\nx-smenc: yes\r\n")
    assert strip_status(clean) is clean


def test_controls_do_not_travel_on() -> None:
    block = parse_fields(
        b"X-SM-ORIGBCC: a@x\r\nSensitivity: private\r\nX-SM-\r\n ORIGBCC: b@x\r\n"
        b"X-SMENC : yes\r\nX-SM-outgoing: yes\r\n"
    )
    assert [field.name for field in strip_controls(block).fields] == ["Sensitivity", "X-SM-outgoing"]
    assert strip_controls(HeaderBlock()).fields == ()
