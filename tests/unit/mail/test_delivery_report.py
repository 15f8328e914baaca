"""Reports read by Python's own parser and held against RFC 3464, 3461 and 6522 field by field."""

from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.mail.delivery_report import (
    Report,
    ReportedMessage,
    ReportedRecipient,
    delivery_report,
    status_of,
    wants_report,
)

NOW = 1_790_000_000.0
HEADERS = (
    b"Received: from a by b\r\nFrom: Alice <alice@acme.example>\r\nBcc: hidden@acme.example\r\n"
    b"BCC: hidden@acme.example\r\nX-SM-ORIGBCC: hidden@acme.example\r\nx-smenc: yes\r\nSubject: Offer\r\n"
)
BOB = ReportedRecipient(
    "bob@partner.example", "failed", "5.1.1", "550 5.1.1 no such user", "mx.partner.example", "rfc822;Bob+2Bx@p.example"
)


def make(
    *recipients: ReportedRecipient, sender: str = "alice@acme.example", envid: str = "QQ+2B3", headers: bytes = HEADERS
) -> Report:
    original = ReportedMessage("0123abc", sender, "<m1@acme.example>", envid, NOW - 3600, headers)
    return delivery_report(original, recipients or (BOB,), hostname="gw.acme.example", moment=NOW, randomness=bytes(16))


def read(report: Report) -> EmailMessage:
    raw = report.head + report.body
    parsed = message_from_bytes(raw, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    assert not parsed.defects and not any(part.defects for part in parsed.walk())
    return parsed


def test_the_header() -> None:
    report = make()
    mail = read(report)
    assert mail["From"] == "Mail Delivery System <MAILER-DAEMON@gw.acme.example>"
    assert mail["To"] == "alice@acme.example"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["Subject"] == "Undelivered mail"
    assert mail["Message-ID"] == report.message_id
    assert mail["In-Reply-To"] == "<m1@acme.example>"
    assert parsedate_to_datetime(str(mail["Date"])).timestamp() == NOW
    assert mail.get_content_type() == "multipart/report"
    assert mail["Content-Type"].params["report-type"] == "delivery-status"
    assert mail["MIME-Version"] == "1.0"


def test_three_parts_in_their_order_and_no_body() -> None:
    parts = list(read(make()).iter_parts())
    kinds = [part.get_content_type() for part in parts]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"]
    text = parts[0].get_content()
    assert "bob@partner.example" in text and "no such user" in text and "0123abc" in text
    assert all(len(line) <= 78 for line in text.splitlines())


def test_the_status_fields() -> None:
    carol = ReportedRecipient("carol@x.example", "failed", "5.3.4", "5.3.4 the message has 9 bytes")
    blocks = list(read(make(BOB, carol)).iter_parts())[1].get_payload()
    about, bob, second = ([(key, str(value)) for key, value in block.items()] for block in blocks)
    assert about == [
        ("Original-Envelope-Id", "QQ+3"),
        ("Reporting-MTA", "dns; gw.acme.example"),
        ("Arrival-Date", "Mon, 21 Sep 2026 13:13:20 +0000"),
    ]
    assert bob == [
        ("Original-Recipient", "rfc822;Bob+x@p.example"),
        ("Final-Recipient", "rfc822; bob@partner.example"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.partner.example"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
        ("Last-Attempt-Date", "Mon, 21 Sep 2026 14:13:20 +0000"),
    ]
    names = [key for key, _ in second]
    assert "Remote-MTA" not in names and "Original-Recipient" not in names
    assert dict(second)["Diagnostic-Code"].startswith("x-ime-gateway;")


def test_without_envid_there_is_no_field_for_it() -> None:
    assert b"Original-Envelope-Id" not in make(envid="").body


def test_no_blind_recipient_and_no_control_header_comes_back() -> None:
    report = make()
    assert b"hidden" not in report.body and b"x-smenc" not in report.body
    returned = list(read(report).iter_parts())[2].get_content()
    assert "Subject: Offer" in returned and "Received: from a by b" in returned


def test_never_to_the_empty_sender() -> None:
    with pytest.raises(ValueError, match="null reverse-path"):
        make(sender="")


def test_relayed() -> None:
    relayed = ReportedRecipient("bob@partner.example", "relayed", "2.0.0", "250 ok", "mx.partner.example")
    mail = read(make(relayed))
    block = list(mail.iter_parts())[1].get_payload()[1]
    assert (block["Action"], block["Status"]) == ("relayed", "2.0.0")
    assert "passed on" in str(mail["Subject"])


@pytest.mark.parametrize(
    "headers",
    [
        b"Subject: caf\xc3\xa9\r\n",
        b"X: " + b"y" * 5000 + b"\r\n",
        b"Subject: a\r\n.\r\nX: y",
        b"A: \x00\r\n",
        b"",
        b"x\ny\n",
    ],
)
def test_any_header_block_leaves_as_clean_seven_bit_lines(headers: bytes) -> None:
    report = make(headers=headers)
    raw = report.head + report.body
    assert raw.isascii() and b"\0" not in raw
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    returned = list(read(report).iter_parts())[2].get_payload(decode=True)
    assert returned.rstrip(b"\r\n") == headers.rstrip(b"\r\n")


def test_a_huge_header_block_is_cut_between_fields() -> None:
    report = make(headers=b"".join(b"X-%d: %s\r\n" % (number, b"y" * 90) for number in range(5000)))
    assert len(report.body) < 100_000
    returned = list(read(report).iter_parts())[2].get_payload(decode=True)
    assert all(line.endswith(b"y") for line in returned.strip().split(b"\r\n"))


def test_addresses_beyond_ascii() -> None:
    recipient = ReportedRecipient("jörg@x.example", "failed", "5.1.1", "550 no")
    report = make(recipient, sender="zoë@acme.example")
    assert "To: <zoë@acme.example>\r\n".encode() in report.head
    assert b"Final-Recipient: utf-8; j\\x{F6}rg@x.example\r\n" in report.body
    assert report.body.isascii()


@given(
    text=st.text(max_size=60),
    envid=st.text(max_size=40),
    orcpt=st.one_of(st.text(max_size=40), st.just("rfc822;a+0D+0AAction: delivered")),
    address=st.text(max_size=40),
)
def test_no_value_becomes_a_field_of_its_own(text: str, envid: str, orcpt: str, address: str) -> None:
    hostile = "\r\nAction: delivered\r\n"
    recipient = ReportedRecipient(
        address + hostile, "failed", "5.0.0", text + hostile, "mx.example" + hostile, orcpt + hostile
    )
    report = make(recipient, envid=envid + hostile)
    blocks = list(read(report).iter_parts())[1].get_payload()
    assert len(blocks) == 2
    assert [str(value) for key, value in blocks[1].items() if key.lower() == "action"] == ["failed"]


@pytest.mark.parametrize(
    ("notify", "failed", "relayed"),
    [
        ("", True, False),
        ("NEVER", False, False),
        ("FAILURE", True, False),
        ("SUCCESS", False, True),
        ("DELAY", False, False),
        ("SUCCESS,FAILURE,DELAY", True, True),
    ],
)
def test_who_wants_to_hear(notify: str, failed: bool, relayed: bool) -> None:
    assert (wants_report(notify, "failed"), wants_report(notify, "relayed")) == (failed, relayed)


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (550, "5.1.1 no", "5.1.1"),
        (550, "no 5.1.1", "5.0.0"),
        (550, "4.1.1 odd", "5.0.0"),
        (450, "4.2.1", "4.2.1"),
        (550, "5.1.1.9 odd", "5.0.0"),
        (400, "", "4.0.0"),
        (250, "2.1.5 ok", "2.1.5"),
    ],
)
def test_status_of_a_reply(code: int, text: str, status: str) -> None:
    assert status_of(code, text) == status
