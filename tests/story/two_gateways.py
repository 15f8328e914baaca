"""The world of two companies: each with a Postfix as mail server and a gateway beside it, a recording relay between.

    Postfix acme ── gateway acme ── relay (keeps a copy of all that passes) ── gateway bolt ── Postfix bolt

Nobody tells anybody about certificates but the tests, by the commands that administrators have.
"""

import smtplib
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.canary import files_below
from tests.servers.dovecot import Dovecot
from tests.servers.gateway import Gateway
from tests.servers.moved_clock import MovedClock
from tests.servers.postfix import Postfix

RECORD = "record@relay.example"
"""Gets a copy of all that passes the relay."""
NAMES = ("anna", "bob")


@dataclass
class Company:
    """One company: its domain, mail server and gateway."""

    domain: str
    postfix: Postfix
    gateway: Gateway
    dovecot: Dovecot

    def address(self, name: str) -> str:
        return f"{name}@{self.domain}"

    def send(self, name: str, mail: bytes, recipients: list[str]) -> None:
        """As a mail program hands mail to the mail server."""
        with smtplib.SMTP("127.0.0.1", self.postfix.port, timeout=60) as client:
            client.sendmail(self.address(name), recipients, mail)

    def inbox(self, name: str, wanted: int, seconds: float = 90.0) -> list[bytes]:
        """The mails of an inbox once there are at least `wanted`, oldest first."""
        deadline = time.monotonic() + seconds
        while len(found := self.dovecot.mails(self.address(name))) < wanted:
            assert time.monotonic() < deadline, f"{len(found)} of {wanted} for {name}\n{self.gateway.log()}"
            time.sleep(0.2)
        return found


@dataclass
class TwoCompanies:
    """Everything that runs."""

    acme: Company
    bolt: Company
    relay: Postfix
    dovecot: Dovecot
    clock: MovedClock

    def recorded(self) -> bytes:
        """All that passed the relay, and whatever it wrote down: kept copies, log, queue files."""
        kept = b"\n".join(self.dovecot.mails(RECORD))
        return kept + b"\n".join(files_below(self.relay.folder).values())


def mail(sender: str, to: list[str], subject: str, text: str, *fields: str) -> bytes:
    """A small text mail."""
    head = [
        f"From: {sender}",
        f"To: {', '.join(to)}",
        f"Subject: {subject}",
        f"Message-ID: <{time.monotonic_ns()}@{sender.rpartition('@')[2]}>",
        "Date: Sun, 22 Nov 2026 10:00:00 +0100",
        *fields,
    ]
    return "\r\n".join([*head, "", text, ""]).encode()


@contextmanager
def two_companies(folder: Path, *, set_up: bool = True) -> Iterator[TwoCompanies]:
    """All servers up, gateways healthy and knowing nothing, or if `set_up` their own domain with its key and
    exchange address; everything is stopped by pid at the end."""
    domains = ("acme.example", "bolt.example")
    with ExitStack() as stack:
        clock = MovedClock(folder)
        addresses = [f"{name}@{domain}" for domain in domains for name in NAMES]
        dovecot = stack.enter_context(Dovecot([*addresses, RECORD]))
        gateways = {domain: _gateway(folder, domain, clock) for domain in domains}
        relay = stack.enter_context(
            Postfix(
                local_domains=["relay.example"],
                lmtp_port=dovecot.lmtp_port,
                routes={domain: gateway.internet_port for domain, gateway in gateways.items()},
                extra=f"always_bcc = {RECORD}",
            )
        )
        companies = [_company(stack, domain, gateways, dovecot, relay, set_up) for domain in domains]
        yield TwoCompanies(companies[0], companies[1], relay, dovecot, clock)


def _gateway(folder: Path, domain: str, clock: MovedClock) -> Gateway:
    place = folder / domain
    place.mkdir()
    return Gateway(place, environment=clock.environment)


def _company(
    stack: ExitStack, domain: str, gateways: dict[str, Gateway], dovecot: Dovecot, relay: Postfix, set_up: bool
) -> Company:
    gateway = gateways[domain]
    others = [name for name in gateways if name != domain]
    postfix = stack.enter_context(
        Postfix(
            local_domains=[domain],
            lmtp_port=dovecot.lmtp_port,
            routes=dict.fromkeys([*others, "imepseudodomain.local", f"ime.{domain}"], gateway.port),
        )
    )
    gateway.configure(next_hop=relay.port, hostname=f"gw.{domain}")
    if set_up:
        gateway.apply(
            f'[[managed_domain]]\nname = "{domain}"\ndeliver_to = "smtp://127.0.0.1:{postfix.port}"\n'
            f'domain_key = "generate"\nexchange_address = "key-exchange@{domain}"\n'
        )
    stack.callback(gateway.stop)
    gateway.start()
    return Company(domain, postfix, gateway, dovecot)
