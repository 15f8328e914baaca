"""The report that a sender finds in the Inbox when a mail was refused, in Exchange's words (RFC 3464).

Exchange shows the refusing server's reply under "diagnostic information": the one place where the
gateway's sentence reaches the person who wrote the mail.
"""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.policy import SMTP

from addin_sim.raw_mail import parse

DIAGNOSTIC = "Diagnostic information for administrators:"


def non_delivery_report(host: str, sender: str, refusals: Mapping[str, str], refused: bytes, moment: float) -> bytes:
    """The mail to `sender`: `refusals` maps each recipient to the reply; `moment` in seconds since 1970 UTC.

    The refused mail is named in In-Reply-To and References, as Exchange does; nothing of it is returned.
    """
    header = parse(refused)
    subject, message_id = header.value("Subject"), header.value("Message-ID")
    report = MIMEMultipart("report", policy=SMTP)
    report.set_param("report-type", "delivery-status")
    report["From"] = f"Microsoft Outlook <postmaster@{host}>"
    report["To"] = sender
    report["Subject"] = f"Undeliverable: {subject}"
    report["Date"] = email.utils.format_datetime(datetime.fromtimestamp(moment, UTC))
    report["Message-ID"] = email.utils.make_msgid(domain=host)
    report["Auto-Submitted"] = "auto-replied"
    if message_id:
        report["In-Reply-To"] = report["References"] = message_id
    report.attach(_for_people(host, refusals))
    report.attach(_for_programs(host, refusals))
    return report.as_bytes(policy=SMTP)


def _for_people(host: str, refusals: Mapping[str, str]) -> EmailMessage:
    lines = ["Your message couldn't be delivered.", ""]
    lines += [f"  {recipient}" for recipient in refusals]
    lines += ["", DIAGNOSTIC, f"Generating server: {host}", ""]
    for recipient, reply in refusals.items():
        lines += [recipient, f"Remote server returned '{reply}'", ""]
    text = EmailMessage(policy=SMTP)
    text.set_content("\n".join(lines))
    return text


def _for_programs(host: str, refusals: Mapping[str, str]) -> Message:
    groups: list[Message | str] = [_group({"Reporting-MTA": f"dns;{host}"})]
    for recipient, reply in refusals.items():
        words = reply.split()
        status = words[1] if len(words) > 1 and words[1][:1] in "245" and words[1].count(".") == 2 else "5.0.0"
        groups.append(
            _group(
                {
                    "Final-Recipient": f"rfc822;{recipient}",
                    "Action": "failed",
                    "Status": status,
                    "Diagnostic-Code": f"smtp;{reply}",
                }
            )
        )
    part = MIMENonMultipart("message", "delivery-status", policy=SMTP)
    part.set_payload(groups)
    return part


def _group(fields: Mapping[str, str]) -> Message:
    group = Message(policy=SMTP)
    for name, value in fields.items():
        group[name] = " ".join(value.split())
    return group
