"""The mails of the checklist: each proves one thing, and says in its own text what must be seen.

They are drafts (`X-Unsent: 1`: Outlook opens them ready to be sent) without Message-ID: Exchange drops a second mail
with one that it knows, so a test could be made only once.
"""

import base64
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from ime_gateway.admin.exchange_kit.facts import KitFacts
from ime_gateway.admin.exchange_kit.header_lists import BLIND, STATUS

OUTSIDER = "somebody@outside.example"
"""Stands for a mailbox outside; to be replaced before sending."""
_WIDTH = 76
"""Columns of a mail's text (RFC 5322 section 2.1.1 wants at most 78)."""
_LOST = "Any other report means that Exchange did not send it there; see the protocol log of the send connector."
_ATTACHMENT = b"This attachment must arrive with these very words.\r\n"


@dataclass(frozen=True, slots=True)
class TestMail:
    """One step of the checklist."""

    __test__ = False

    file: str
    title: str
    send: str
    """How, in one sentence."""
    expected: str
    """What must be seen."""
    otherwise: str
    """What it means when it is not."""
    content: bytes


@dataclass(frozen=True, slots=True)
class _Step:
    file: str
    title: str
    sender: str
    to: str
    send: str
    expected: str
    otherwise: str
    extra: tuple[str, ...] = ()
    attachment: bool = False


def test_mails(facts: KitFacts, moment: float) -> tuple[TestMail, ...]:
    """The mails in their order; `moment` is now, seconds since 1970 UTC."""
    steps = [*_route_steps(facts), *_encryption_steps(facts), *_boundary_steps(facts)]
    return tuple(
        TestMail(
            file=f"{number:02}-{step.file}.eml",
            title=step.title,
            send=step.send,
            expected=step.expected,
            otherwise=step.otherwise,
            content=_eml(step, number, moment),
        )
        for number, step in enumerate(steps, start=1)
    )


test_mails.__test__ = False  # type: ignore[attr-defined]


def _route_steps(facts: KitFacts) -> Iterator[_Step]:
    outlook = "In Outlook, as the first test user, without the add-in's button."
    yield _Step(
        file="ordinary-mail",
        title="Ordinary mail goes on as before",
        sender=facts.test_sender,
        to=facts.test_recipient,
        send=outlook,
        expected="It arrives at once. Its header has no X-SM-internal: it did not pass the gateway.",
        otherwise="If it has, a connector sends ordinary mail to the gateway; compare its address spaces.",
    )
    yield _Step(
        file="route-ime-1",
        title="The route of IME 1.0",
        sender=facts.test_sender,
        to=facts.v1_address,
        send=outlook,
        expected="A non-delivery report with the gateway's words (ime-no-recipients): mail to this address reaches it.",
        otherwise=_LOST,
    )
    for one in facts.ime_addresses:
        yield _Step(
            file=f"route-{one.domain}",
            title=f"The route of IME 2.0 for {one.domain}",
            sender=facts.test_sender,
            to=one.address,
            send=outlook,
            expected="A non-delivery report with the gateway's words (ime-malformed): mail to this address reaches it.",
            otherwise=_LOST,
        )


def _encryption_steps(facts: KitFacts) -> Iterator[_Step]:
    button = "In Outlook, as the first test user, with the add-in's button for internal encryption."
    yield _Step(
        file="encrypted",
        title="Internal encryption with an attachment",
        sender=facts.test_sender,
        to=facts.test_recipient,
        send=button,
        expected="The second test user gets it encrypted and reads text and attachment (header"
        " X-ESWmail-InternalEncrypt: yes). The first finds one encrypted copy in Sent Items and no readable one.",
        otherwise="A report names the reason; on the gateway, ime-gateway track --from SENDER tells what became of it."
        " With no-certificate, give both test users one (ime-gateway cert issue, cert import); with ime-signer-unknown,"
        " confirm the first test user (ime-gateway ime signers list --pending). A copy that stays in the inbox has lost"
        " X-ESWmail-InternalEncrypt-sentcopy on its way.",
        attachment=True,
    )
    yield _Step(
        file="blind-copy",
        title="A blind copy stays blind",
        sender=facts.test_sender,
        to=facts.test_sender,
        send=button,
        expected="The second test user gets it, too, and the copy of the first names only the first.",
        otherwise="Stop the roll-out and look at the message in ime-gateway track: a name must never show.",
        extra=(f"Bcc: {facts.test_recipient}",),
    )
    yield _Step(
        file="rich-text",
        title="Rich text does not become winmail.dat",
        sender=facts.test_sender,
        to=facts.test_recipient,
        send=f"{button} Before sending: Format Text, Rich Text.",
        expected="It arrives as the encrypted mail above did.",
        otherwise="A report with ime-tnef means that the remote domains of the kit are missing (TNEFEnabled), or that"
        " the contact prefers rich text.",
        attachment=True,
    )


def _boundary_steps(facts: KitFacts) -> Iterator[_Step]:
    outside = f"From a machine that is not the gateway: {_swaks(25, OUTSIDER, facts.test_recipient)}; then the same to"
    yield _Step(
        file="to-outside",
        title="Outsiders see none of our headers",
        sender=facts.test_sender,
        to=OUTSIDER,
        send=f"Logged in as the first test user: {_swaks(587, facts.test_sender, OUTSIDER)} --auth-user"
        f" {facts.test_sender}",
        expected="At the mailbox outside the header has no line that begins with X-SM-, X-ESWmail- or X-IMEGW-."
        " (X-IMEGW-Trace may be there: it ends loops and says nothing.)",
        otherwise="The rules 'keep in' are missing or come after one that stops the list.",
        extra=(
            *(f"{one.name}: {facts.test_recipient}" for one in BLIND),
            *(f"{one.name}: yes" for one in STATUS),
        ),
    )
    yield _Step(
        file="forged-from-outside",
        title="Strangers cannot write our headers",
        sender=OUTSIDER,
        to=facts.test_recipient,
        send=f"{outside} the gateway's Internet listener.",
        expected="Both arrive, or are taken for spam. The first has no line that begins with X-SM-, X-ESWmail- or"
        " X-IMEGW-; the second has X-SM-incoming: yes and X-IMEGW-Trace, which the gateway itself wrote, and no other."
        " The add-in leaves both in the inbox and answers nothing.",
        otherwise="For the first, the rules 'keep out' are missing or come after one that stops the list.",
        extra=tuple(f"{one.name}: yes" for one in STATUS),
    )
    yield _Step(
        file="forged-colleague",
        title="Nobody outside is a colleague",
        sender=facts.test_sender,
        to=facts.test_recipient,
        send=f"From a machine that is not the gateway: {_swaks(25, facts.test_sender, facts.test_recipient)}; then the"
        " same to the gateway's Internet listener.",
        expected="Both times it is refused, or arrives as a stranger's mail: Outlook shows the bare address instead of"
        " the colleague's name and picture.",
        otherwise="A trusted connector takes mail from outside: compare return_to and deliver_to, and the addresses of"
        " the two receive connectors.",
    )


def _swaks(port: int, sender: str, recipient: str) -> str:
    """A command that sends the file as it is, headers and all; Outlook would drop some."""
    return f"swaks --server YOUR-EXCHANGE:{port} --tls --data @THIS-FILE --from {sender} --to {recipient}"


def _eml(step: _Step, number: int, moment: float) -> bytes:
    """RFC 5322, CRLF; 7-bit unless an IME address is not (RFC 6532)."""
    headers = [
        f"From: {step.sender}",
        f"To: {step.to}",
        *step.extra,
        f"Subject: IME test {number}: {step.title}",
        f"Date: {format_datetime(datetime.fromtimestamp(int(moment), UTC))}",
        "MIME-Version: 1.0",
        "X-Unsent: 1",
    ]
    said = (f"{step.title}.", f"Expected: {step.expected}", f"Otherwise: {step.otherwise}")
    text = (
        "\r\n\r\n".join(
            "\r\n".join(textwrap.wrap(one, _WIDTH, break_on_hyphens=False, break_long_words=False)) for one in said
        )
        + "\r\n"
    )
    if not step.attachment:
        lines = [*headers, "Content-Type: text/plain; charset=us-ascii", "", text]
        return "\r\n".join(lines).encode()
    lines = [
        *headers,
        'Content-Type: multipart/mixed; boundary="ime-test"',
        "",
        "--ime-test",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        text,
        "--ime-test",
        'Content-Type: text/plain; charset=us-ascii; name="attachment.txt"',
        'Content-Disposition: attachment; filename="attachment.txt"',
        "Content-Transfer-Encoding: base64",
        "",
        base64.b64encode(_ATTACHMENT).decode("ascii"),
        "--ime-test--",
        "",
    ]
    return "\r\n".join(lines).encode()
