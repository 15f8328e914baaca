"""Reports of mail servers: refusals of our carriers are recognised, everything else is left to the reader."""

import pytest

from addin_sim.refusals import read_report
from addin_sim.world.non_delivery import non_delivery_report

OURS = "<c1@acme.example>"
REPLY = "550 5.7.1 <erik@acme.example>: no certificate is known for this recipient (id=7)"


def postfix_report(
    *, returned: str = "message/rfc822", message_id: str = OURS, action: str = "failed", kind: str = "delivery-status"
) -> bytes:
    """As Postfix writes it."""
    return (
        "From: MAILER-DAEMON@exchange.acme.example\r\nTo: alice@acme.example\r\n"
        f'Content-Type: multipart/report; report-type={kind};\r\n\tboundary="B"\r\n\r\n'
        "--B\r\nContent-Type: text/plain\r\n\r\nThis is the mail system.\r\n\r\n"
        "--B\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; exchange.acme.example\r\n\r\n"
        f"Final-Recipient: rfc822; dca@ime.acme.example\r\nAction: {action}\r\nStatus: 5.7.1\r\n"
        f"Diagnostic-Code: smtp; {REPLY[:40]}\r\n    {REPLY[40:].strip()}\r\n\r\n"
        f"--B\r\nContent-Type: {returned}\r\n\r\n"
        f"From: alice@acme.example\r\nMessage-ID: {message_id}\r\nSubject: Encrypted message\r\n\r\nMIIB\r\n--B--\r\n"
    ).encode()


@pytest.mark.parametrize("returned", ["message/rfc822", "text/rfc822-headers"])
def test_a_refusal_is_recognised_by_the_returned_header(returned: str) -> None:
    told = read_report(postfix_report(returned=returned), {OURS, "<c2@acme.example>"})
    assert told is not None
    assert told.carrier_id == OURS
    assert told.reply.replace(" ", "") == REPLY.replace(" ", "")


def test_exchange_names_the_mail_in_its_header() -> None:
    returned = f"Message-ID: {OURS}\r\nSubject: Encrypted message\r\n\r\nMIIB\r\n".encode()
    report = non_delivery_report("exchange.acme.example", "alice@acme.example", {"x@y.example": REPLY}, returned, 1e9)
    told = read_report(report, [OURS])
    assert told is not None
    assert (told.carrier_id, told.reply) == (OURS, REPLY)


@pytest.mark.parametrize(
    "report",
    [
        postfix_report(message_id="<other@acme.example>"),
        postfix_report(message_id=""),
        postfix_report(action="delayed"),
        postfix_report(action="delivered"),
        postfix_report(kind="disposition-notification"),
        postfix_report().replace(b"multipart/report", b"multipart/mixed"),
        b"Subject: Re: x\r\nReferences: " + OURS.encode() + b"\r\n\r\nAction: failed\r\n",
        b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\n",
        b"",
    ],
)
def test_anything_else_is_not_a_refusal_of_ours(report: bytes) -> None:
    assert read_report(report, {OURS}) is None


def test_a_report_about_two_of_ours_is_about_none() -> None:
    report = b"In-Reply-To: <c2@acme.example>\r\n" + postfix_report()
    assert read_report(report, {OURS, "<c2@acme.example>"}) is None


@pytest.mark.parametrize("written", ["<>", "<[", "<@>", "<a@[", "<" + "(" * 5000, "\xe4"])
def test_a_report_about_a_mail_with_an_odd_message_id_stops_nobody(written: str) -> None:
    assert read_report(postfix_report(message_id=written), {OURS}) is None


@pytest.mark.parametrize("part", ["message/rfc822", "multipart/mixed; boundary=B{}"])
def test_a_report_that_is_folded_endlessly_stops_nobody(part: str) -> None:
    parts = "".join(f"--B{at - 1 if at else ''}\r\nContent-Type: {part.format(at)}\r\n\r\n" for at in range(1500))
    report = f"Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n{parts}"
    assert read_report(report.encode(), {OURS}) is None


@pytest.mark.parametrize("name", ["Content-Type: text/plain ", "Content-Transfer-Encoding: ", "From: "])
def test_a_report_with_comments_in_comments_stops_nobody(name: str) -> None:
    assert read_report(f"{name}{'(' * 5000}\r\n".encode() + postfix_report(message_id="<x@y>"), {OURS}) is None
