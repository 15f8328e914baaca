"""The world of the story tests: Postfix as Exchange, Dovecot mailboxes, a gateway process, people with keys."""

import email
import email.policy
import smtplib
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pki import Entity, make_ca, make_user
from tests.servers.dovecot import Dovecot
from tests.servers.gateway import Gateway
from tests.servers.postfix import Postfix

DOMAIN = "acme.example"
NAMES = ("anna", "bob", "carol", "dora")
PSEUDO = "ime@imepseudodomain.local"
IME_ADDRESS = f"domain-confidentiality-authority@ime.{DOMAIN}"
ARCHIVE = f"archive@{DOMAIN}"
"""Gets a copy of all that passes Postfix, where a test asks for it."""


@dataclass
class World:
    """Everything that runs, and everybody's keys."""

    folder: Path
    postfix: Postfix
    dovecot: Dovecot
    gateway: Gateway
    people: dict[str, Entity]

    def address(self, name: str) -> str:
        return f"{name}@{DOMAIN}"

    def submit(self, mail: bytes, sender: str, recipients: list[str]) -> None:
        """As Outlook hands mail to Exchange; returns when Postfix has taken it."""
        with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=60) as client:
            client.sendmail(self.address(sender), recipients, mail)

    def inbox(self, name: str, wanted: int, seconds: float = 90.0) -> list[bytes]:
        """The mails of an inbox once there are at least `wanted`."""
        deadline = time.monotonic() + seconds
        while len(found := self.dovecot.mails(self.address(name))) < wanted:
            assert time.monotonic() < deadline, f"{len(found)} of {wanted} mails for {name}\n{self.gateway.log()}"
            time.sleep(0.2)
        return found


def ime_mail(number: int, to: list[str], bcc: list[str], text: str, sender: str = "anna") -> bytes:
    """IME 1.0 as the add-in writes it."""
    lines = [
        f"From: {sender}@{DOMAIN}",
        f"To: {PSEUDO}",
        f"Subject: story {number}",
        f"Message-ID: <story-{number}@{DOMAIN}>",
        "Date: Sun, 22 Nov 2026 10:00:00 +0100",
        f"X-SM-ORIGTO: {', '.join(to)}",
    ]
    if bcc:
        lines.append(f"X-SM-ORIGBCC: {', '.join(bcc)}")
    return "\r\n".join([*lines, "", text, ""]).encode()


def subject_of(mail: bytes) -> str:
    return str(email.message_from_bytes(mail, policy=email.policy.default)["Subject"])


@contextmanager
def open_world(
    folder: Path, *, workers: int = 2, archive: bool = False, elsewhere: Mapping[str, int] | None = None
) -> Iterator[World]:
    """All servers up, gateway healthy; everything is stopped by pid at the end.

    `elsewhere`: more people, with the port of the SMTP server where each one's mailbox is.
    """
    root = make_ca("Story Root")
    others = elsewhere or {}
    people = {name: make_user(f"{name}@{DOMAIN}", root) for name in (*NAMES, *others)}
    (folder / "root.pem").write_bytes(root.pem)
    for name, entity in people.items():
        (folder / f"{name}.pem").write_bytes(entity.pem)
    with ExitStack() as stack:
        gateway = Gateway(folder)
        dovecot = stack.enter_context(Dovecot([*(f"{name}@{DOMAIN}" for name in NAMES), ARCHIVE]))
        postfix = stack.enter_context(
            Postfix(
                local_domains=[DOMAIN],
                lmtp_port=dovecot.lmtp_port,
                routes=dict.fromkeys(("imepseudodomain.local", f"ime.{DOMAIN}", "partner.example"), gateway.port)
                | {f"{name}@{DOMAIN}": port for name, port in others.items()},
                extra=f"always_bcc = {ARCHIVE}" if archive else "",
            )
        )
        gateway.configure(next_hop=postfix.port, workers=workers)
        gateway.apply(_site(postfix.port, people))
        stack.callback(gateway.stop)
        gateway.start()
        yield World(folder, postfix, dovecot, gateway, people)


def _site(port: int, people: Iterable[str]) -> str:
    certificates = "".join(f'[[certificate]]\nfile = "{name}.pem"\n' for name in people)
    return (
        '[policy]\nprotect_subject = "ime2"\n'
        f'[[managed_domain]]\nname = "{DOMAIN}"\ndeliver_to = "smtp://127.0.0.1:{port}"\n'
        f'ime_address = "{IME_ADDRESS}"\nime_key = "generate"\n'
        f'[[root]]\nfile = "root.pem"\n{certificates}'
    )
