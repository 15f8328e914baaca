"""Exchange's transport: mail that a mailbox sends goes out, mail for a mailbox arrives in its Inbox.

Sending is asynchronous as in Exchange: the answer to CreateItem comes before the mail is delivered, and a
recipient who is refused later is reported by a non-delivery report (RFC 3464) in the sender's Inbox.
"""

import email.utils
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP

from tests.servers.ews import mime_fields
from tests.servers.ews.directory import Directory
from tests.servers.ews.property_paths import header_key
from tests.servers.ews.quirks import Quirks
from tests.servers.ews.store import Change, Mailbox, StoredItem, World, now, stamp
from tests.servers.ews.xml_names import make


class NotDelivered(Exception):
    """These recipients get nothing; `text` is the reply that says why (as after RCPT or DATA, RFC 5321)."""

    def __init__(self, recipients: Sequence[str], text: str) -> None:
        super().__init__(f"{', '.join(recipients)}: {text}")
        self.recipients = tuple(recipients)
        self.text = text


@dataclass(frozen=True)
class SentMail:
    """A mail on its way out of a mailbox."""

    sender: str
    recipients: tuple[str, ...]
    """The envelope: To, Cc and Bcc, groups expanded, each address once."""
    mime: bytes
    """Without Bcc."""


@dataclass
class Transport:
    """Takes what mailboxes send, one mail after the other."""

    world: World
    directory: Directory
    quirks: Quirks
    on_send: Callable[[SentMail], None] | None = None
    """Gets every sent mail instead of `send_locally`; may raise `NotDelivered`."""
    outgoing: list[SentMail] = field(default_factory=list)
    """Mail to people who have no mailbox here, when there is no `on_send`."""
    faults: list[Exception] = field(default_factory=list)
    """What went wrong in `on_send` other than `NotDelivered`."""

    def __post_init__(self) -> None:
        self._queue: queue.Queue[SentMail | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="ews-transport", daemon=True)

    def start(self) -> None:
        """Begin to deliver what is submitted."""
        self._thread.start()

    def submit(self, sender: str, recipients: Sequence[str], mime: bytes) -> None:
        """Take a mail; returns before it is delivered."""
        self._queue.put(SentMail(sender, tuple(self._expanded(recipients)), mime))

    def settle(self) -> None:
        """Return when everything that was submitted is delivered or refused."""
        self._queue.join()

    def stop(self) -> None:
        """Deliver what is left and end."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def deliver(self, mime: bytes, recipients: Sequence[str]) -> list[StoredItem]:
        """Put a mail into the Inboxes; raises `NotDelivered` for those without mailbox, after the others got it."""
        items, strangers = [], []
        with self.world.lock:
            for address in dict.fromkeys(self._expanded(recipients)):
                mailbox = self.world.mailboxes.get(address.lower())
                if mailbox is None:
                    strangers.append(address)
                else:
                    items.append(self._arrive(mailbox, mime))
        if strangers:
            raise NotDelivered(
                strangers, "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"
            )
        return items

    def send_locally(self, sent: SentMail) -> None:
        """Deliver to the mailboxes here, keep the rest in `outgoing`."""
        here = [address for address in sent.recipients if address.lower() in self.world.mailboxes]
        elsewhere = [address for address in sent.recipients if address not in here]
        if here:
            self.deliver(sent.mime, here)
        if elsewhere:
            self.outgoing.append(SentMail(sent.sender, tuple(elsewhere), sent.mime))

    def _expanded(self, recipients: Sequence[str]) -> list[str]:
        found: dict[str, str] = {}
        waiting, seen = list(reversed(recipients)), set()
        while waiting:
            address = waiting.pop()
            entry = self.directory.entries.get(address.lower())
            if entry is not None and entry.kind == "PublicDL":
                if entry.address not in seen:
                    seen.add(entry.address)
                    waiting += reversed(entry.members)
            else:
                found.setdefault(address.lower(), address)
        return list(found.values())

    def _arrive(self, mailbox: Mailbox, mime: bytes) -> StoredItem:
        item = self.world.add(mailbox, mailbox.well_known("inbox"), "Message", mime)
        item.fields = mime_fields.from_mime(mime)
        item.fields["DateTimeReceived"] = make("t:DateTimeReceived", stamp(now()))
        item.fields["IsRead"] = mime_fields.flag("IsRead", False)
        me = [mime_fields.mailbox_element(mailbox.address, mailbox.address)]
        item.fields["ReceivedBy"] = make("t:ReceivedBy", me)
        item.fields["ReceivedRepresenting"] = make("t:ReceivedRepresenting", me)
        promote_headers(mailbox, item, everything=self.quirks.headers_promoted)
        if self.quirks.header_promotion_seconds:
            item.headers_seen_from = time.monotonic() + self.quirks.header_promotion_seconds
        self.world.tell(mailbox, Change.CREATED, item)
        self.world.tell(mailbox, Change.NEW_MAIL, item)
        return item

    def _work(self) -> None:
        while (sent := self._queue.get()) is not None:
            try:
                (self.on_send or self.send_locally)(sent)
            except NotDelivered as refused:
                self._report(sent, refused)
            except Exception as fault:  # noqa: BLE001  # kept for the test; the thread must go on
                self.faults.append(fault)
            finally:
                self._queue.task_done()
        self._queue.task_done()

    def _report(self, sent: SentMail, refused: NotDelivered) -> None:
        if sent.sender.lower() in self.world.mailboxes:
            self.deliver(non_delivery_report(sent, refused), [sent.sender])


def promote_headers(mailbox: Mailbox, item: StoredItem, *, everything: bool) -> None:
    """Make properties of the internet headers of a mail: all of them, or those with a mapping in the mailbox."""
    for name, value in mime_fields.header_block(item.mime or b""):
        if name.lower().startswith(("x-ms-exchange-organization-", "x-ms-exchange-forest-")):
            continue
        if everything or name.lower() in mailbox.named_headers:
            item.extended.setdefault(header_key(name), (mime_fields.decoded(value),))


def non_delivery_report(sent: SentMail, refused: NotDelivered) -> bytes:
    """What Exchange sends back: multipart/report with delivery-status and the mail (RFC 6522, RFC 3464)."""
    report = EmailMessage(policy=SMTP)
    report["From"] = (
        f"Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{sent.sender.rpartition('@')[2]}>"
    )
    report["To"] = sent.sender
    report["Subject"] = "Undeliverable: " + next(
        (value for name, value in mime_fields.header_block(sent.mime) if name.lower() == "subject"), ""
    )
    report["Message-ID"] = email.utils.make_msgid(domain="exchange.invalid")
    report["Date"] = email.utils.format_datetime(now())
    failed = "\n".join(
        f"\nFinal-Recipient: rfc822;{address}\nAction: failed\nStatus: {_status(refused.text)}\n"
        f"Diagnostic-Code: smtp;{refused.text}"
        for address in refused.recipients
    )
    report.set_content("Delivery has failed to these recipients: " + ", ".join(refused.recipients) + "\n")
    report.make_mixed()
    status = EmailMessage(policy=SMTP)
    status["Content-Type"] = "message/delivery-status"
    groups = f"Reporting-MTA: dns;exchange.invalid\n{failed}\n".split("\n\n")
    status.set_payload([email.message_from_string(group, policy=SMTP) for group in groups])
    report.attach(status)
    original = EmailMessage(policy=SMTP)
    original["Content-Type"] = "message/rfc822"
    original.set_payload(sent.mime.decode("utf-8", "surrogateescape"))
    report.attach(original)
    report.set_type("multipart/report")
    report.set_param("report-type", "delivery-status")
    return report.as_bytes()


def _status(text: str) -> str:
    return next((word for word in text.split() if word.count(".") == 2 and word[0] in "45"), "5.0.0")
