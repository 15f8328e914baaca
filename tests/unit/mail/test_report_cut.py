"""Reports that may not return what came encrypted: what is left of them, as a foreign parser sees it."""

import base64
import email
import email.policy
from email.message import EmailMessage

import pytest

from ime_gateway.mail.message import parse_message
from ime_gateway.mail.report_cut import cut_report

CANARY = "heliotrope-4411"
STATUS_PART = b"Content-Type: message/delivery-status\r\n\r\n"
STATUS = (
    "Reporting-MTA: dns; mail.acme.example\r\nX-Display-Name: {c}\r\n\r\n"
    "Final-Recipient: rfc822; bob@acme.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    "Diagnostic-Code: smtp; 550 the filter did not like\r\n  {c}\r\n"
)
RECEIPT = (
    "Reporting-UA: {c}\r\nFinal-Recipient: rfc822; bob@acme.example\r\nOriginal-Message-ID: <m@partner.example>\r\n"
    "Disposition: automatic-action/MDN-sent-automatically; displayed\r\nError: {c}\r\n"
)
HEAD = (
    "Received: by mail.acme.example; Mon, 5 Oct 2026 08:00:00 +0000\r\nFrom: Postmaster <postmaster@acme.example>\r\n"
    "To: <eve@partner.example>\r\nSubject: Undeliverable: {c}\r\nThread-Topic: {c}\r\nComments: {c}\r\n"
    "Date: Mon, 5 Oct 2026 08:00:00 +0000\r\nMessage-ID: <ndr@acme.example>\r\nIn-Reply-To: <m@partner.example>\r\n"
    "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/report; report-type={kind}; boundary="b-{c}"\r\n\r\n'
)


def report(kind: str, status: str, returned: str, encoding: str = "7bit") -> bytes:
    if encoding == "base64":
        status = base64.encodebytes(status.format(c=CANARY).encode()).decode().replace("\n", "\r\n")
    text = (
        HEAD.replace("{kind}", kind) + "preamble {c}\r\n--b-{c}\r\nContent-Type: text/html\r\n\r\n<b>{c}</b>\r\n"
        f"--b-{{c}}\r\nContent-Type: message/{kind}\r\nContent-Transfer-Encoding: {encoding}\r\n"
        f"Content-Description: {{c}}\r\n\r\n{status}\r\n--b-{{c}}\r\n{returned}\r\n--b-{{c}}--\r\nepilogue {{c}}\r\n"
    )
    return text.replace("{c}", CANARY).encode()


WHOLE = (
    "Content-Type: message/rfc822\r\n\r\n"
    "From: a@partner.example\r\nSubject: {c}\r\nMessage-ID: <m@partner.example>\r\n\r\n{c}\r\n"
)
HEADERS = "Content-Type: text/rfc822-headers\r\n\r\nSubject: {c}\r\nMessage-ID: <m@partner.example>\r\n"


def cut(data: bytes) -> EmailMessage | None:
    found = cut_report(parse_message(data))
    if found is None:
        return None
    octets = b"".join(bytes(chunk) for chunk in found.chunks())
    assert CANARY.encode() not in octets
    assert octets.count(b"\n") == octets.count(b"\r\n")
    parsed = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage) and not parsed.defects
    return parsed


@pytest.mark.parametrize("encoding", ["7bit", "base64"])
@pytest.mark.parametrize("returned", [WHOLE, HEADERS])
def test_a_delivery_report_keeps_who_and_what_and_nothing_of_the_mail(returned: str, encoding: str) -> None:
    found = cut(report("delivery-status", STATUS, returned, encoding))
    assert found is not None
    assert found["To"] == "<eve@partner.example>" or str(found["To"]) == "eve@partner.example"
    assert found["In-Reply-To"] == "<m@partner.example>" and found["Auto-Submitted"] == "auto-replied"
    assert found["Subject"] == "Report about a mail"
    assert found.get_content_type() == "multipart/report" and found.get_param("report-type") == "delivery-status"
    text, status, mail = found.iter_parts()
    assert "encrypted" in text.get_content()
    message, recipient = status.get_payload()  # type: ignore[misc]
    assert message["Reporting-MTA"] == "dns; mail.acme.example" and "X-Display-Name" not in message
    assert dict(recipient.items()) == {
        "Final-Recipient": "rfc822; bob@acme.example",
        "Action": "failed",
        "Status": "5.1.1",
    }
    assert mail.get_content_type() == "text/rfc822-headers"
    assert mail.get_payload().strip() == "Message-ID: <m@partner.example>"


def test_a_receipt_keeps_what_was_read_and_how() -> None:
    found = cut(report("disposition-notification", RECEIPT, ""))
    assert found is not None and found.get_param("report-type") == "disposition-notification"
    _, status = found.iter_parts()
    (fields,) = status.get_payload()  # type: ignore[misc]
    assert fields["Original-Message-ID"] == "<m@partner.example>" and "displayed" in fields["Disposition"]
    assert set(fields.keys()) == {"Final-Recipient", "Original-Message-ID", "Disposition"}


def test_a_field_cannot_smuggle_lines_or_boundaries() -> None:
    status = "Final-Recipient: rfc822; a@x\r\n --=_report_without_mail\r\n x\r\nAction: failed\r\nStatus: 5.0.0\r\n"
    found = cut(report("delivery-status", status, WHOLE))
    assert found is not None and len(list(found.iter_parts())) == 3


def test_what_is_left_is_ascii_in_lines_that_any_server_takes() -> None:
    """RFC 6533 reports hold UTF-8 addresses; RFC 5321 section 4.5.3.1.6 ends a line at 998."""
    status = STATUS.replace("bob@acme", "j\u00fcrgen@acme").replace("dns; mail", "dns; " + "m" * 3_000)
    found = cut_report(parse_message(report("global-delivery-status", status, WHOLE)))
    assert found is not None
    octets = b"".join(bytes(chunk) for chunk in found.chunks())
    assert octets.isascii() and b"Final-Recipient: rfc822; j?rgen@acme.example" in octets
    assert max(map(len, octets.split(b"\r\n"))) == 998


def test_an_endless_status_is_cut_and_stays_a_report() -> None:
    status = STATUS + "\r\nFinal-Recipient: rfc822; x@acme.example\r\nAction: failed\r\nStatus: 5.1.1\r\n" * 50_000
    found = cut(report("delivery-status", status, WHOLE))
    assert found is not None and len(found.as_bytes()) < 100_000


@pytest.mark.parametrize(
    "data",
    [
        b"From: a@acme.example\r\nSubject: Automatic reply\r\n\r\nI am away\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + STATUS_PART + b"Action: x\r\n--b--\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nno status here\r\n--b--\r\n",
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n" + STATUS_PART + b"\r\n--b--\r\n",
        b"Content-Type: multipart/report\r\n\r\nno boundary\r\n",
        b"Content-Type: multipart/report; boundary=b\r\nContent-Type: multipart/report; boundary=c\r\n\r\n--b--\r\n",
    ],
)
def test_what_is_no_report_is_not_cut(data: bytes) -> None:
    assert cut_report(parse_message(data)) is None


def test_a_status_inside_the_returned_mail_is_not_the_reports_own() -> None:
    inner = report("delivery-status", STATUS, WHOLE).decode().replace("b-" + CANARY, "inner")
    data = (
        "Content-Type: multipart/report; boundary=outer\r\n\r\n--outer\r\n\r\ntext\r\n"
        f"--outer\r\nContent-Type: message/rfc822\r\n\r\n{inner}\r\n--outer--\r\n"
    )
    assert cut_report(parse_message(data.encode())) is None
