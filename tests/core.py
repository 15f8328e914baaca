"""A whole gateway in the process, without sockets: settings, a real SQLite store, planning and protection.

Tests hand it submissions as an SMTP session would, and read from the queue what it promised to deliver.
"""

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ime_gateway.app.assemble import build_receiver
from ime_gateway.app.installation import Installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.mail.base64_lines import encode_lines
from ime_gateway.pipeline.receive import Receiver
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.ports.queue import LeasedRow
from ime_gateway.ports.reception import SessionInfo, Submission, SubmittedRecipient
from ime_gateway.ports.relay import OutboundMail, RelayResult
from ime_gateway.settings.model import Settings
from ime_gateway.settings.site import ManagedDomain, PartnerDomain, Policy
from ime_gateway.store.database import open_store
from tests.migrated import place_migrated
from tests.pki import Entity, make_ca, make_user

PSEUDO = "ime@imepseudodomain.local"
_numbers = itertools.count()


class NoRelay:
    """The next hop as the receiving side knows it: perhaps a SIZE, never a connection."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    async def send(self, route: str, domain: str, mail: OutboundMail, content: Any, *, use_tls: bool) -> RelayResult:
        raise AssertionError("nothing is delivered in this test")

    def size_limit(self, route: str, domain: str) -> int | None:
        return self.sizes.get(route)


@dataclass(frozen=True)
class Delivered:
    """One row of the queue with the bytes that would leave for it."""

    recipient: str
    copy: str
    protection: str
    reason: str
    notify: str
    orcpt: str
    sender: str
    wire: bytes
    envelope: str
    message: str

    @property
    def head(self) -> str:
        return self.wire.partition(b"\r\n\r\n")[0].decode("utf-8", "replace") + "\r\n"

    @property
    def unfolded(self) -> str:
        return re.sub(r"\r\n(?=[ \t])", "", self.head)


@dataclass
class _Kept:
    """Where a worker would deliver, rows are kept for the test to look at."""

    rows: list[LeasedRow]
    has_room: bool = True

    def submit(self, rows: Sequence[LeasedRow]) -> None:
        self.rows.extend(rows)


@dataclass
class Core:
    """The gateway; `people` are its users by address."""

    installation: Installation
    relay: NoRelay = field(default_factory=NoRelay)
    leased: list[LeasedRow] = field(default_factory=list)
    receiver: Receiver = field(init=False)

    def __post_init__(self) -> None:
        self.receiver = build_receiver(
            self.installation, self.relay, _Kept(self.leased), "test", self.store.queue, secrets.token_bytes
        )

    @property
    def store(self) -> Any:
        return self.installation.store

    def configure(self, act: Callable[[Any], None]) -> None:
        """Change live data in one transaction."""
        with self.store.registry.transaction(write=True) as transaction:
            act(transaction)

    def run(self, work: Awaitable[Any]) -> Any:
        return asyncio.run(_await(work))

    def send(
        self, data: bytes, sender: str, recipients: Iterable[str], listener: str = "internal", **session: Any
    ) -> tuple[Any, list[Delivered]]:
        """One message; the outcome, and what would be delivered because of it."""
        submission = self.submission(data, sender, recipients, listener, **session)

        async def go() -> tuple[Any, list[Delivered]]:
            await self.receiver.may_mail(submission.session, submission.sender)
            outcome = await self.receiver.receive(submission)
            rows, self.leased[:] = list(self.leased), []
            return outcome, [await self._delivered(row) for row in rows]

        return asyncio.run(go())

    def submission(
        self, data: bytes, sender: str, recipients: Iterable[str], listener: str = "internal", **changes: Any
    ) -> Submission:
        role = self.installation.settings.listener_named(listener).role  # type: ignore[union-attr]
        notify, orcpt = changes.pop("notify", ""), changes.pop("orcpt", "")
        return Submission(
            session=SessionInfo(listener, role, "127.0.0.1", "exchange.acme.example"),
            sender=parse_path(sender) if sender else None,
            recipients=tuple(SubmittedRecipient(address, notify, orcpt) for address in map(_path, recipients)),
            data=bytearray(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
            received_at=time.time(),
            **changes,
        )

    async def _delivered(self, leased: LeasedRow) -> Delivered:
        envelope = await self.store.queue.envelope(leased.row.envelope_id)
        chunks = [envelope.prefix, *self.store.spool.read(envelope.body_id), envelope.suffix]
        wire = envelope.head + b"".join(encode_lines(chunks) if envelope.base64 else chunks)
        row = leased.row
        return Delivered(
            row.recipient, row.copy, row.protection, row.reason, row.notify, row.orcpt, leased.sender, wire,
            row.envelope_id, leased.message,
        )  # fmt: skip


async def _await(work: Awaitable[Any]) -> Any:
    return await work


def _path(text: str) -> Address:
    return parse_path(text)


@cache
def root() -> Entity:
    return make_ca("Acme Root CA")


@cache
def person(address: str, fault: str = "") -> Entity:
    """A certificate for an address: good, `expired`, or `selfsigned`."""
    if fault == "expired":
        return make_user(address, root(), expired=True)
    return make_user(address, None if fault == "selfsigned" else root())


GOOD = ("anna", "bob", "carol", "dora", "emil")


def make_core(
    folder: Path,
    listeners: Sequence[dict[str, Any]] | None = None,
    lookup: dict[str, Any] | None = None,
    **smtp: Any,
) -> Core:
    """A fresh installation: acme.example is ours, partner.example mandatory, friend.example opportunistic.

    anna, bob, carol, dora and emil have good certificates, frank an expired, greta a self-signed
    one, everybody else none; partner.example has a domain certificate, strict.example has none.
    """
    database = folder / f"gateway-{next(_numbers)}.db"
    settings = Settings.model_validate(
        {
            "store": {"url": f"sqlite:///{database}"},
            "smtp": {"hostname": "gw.acme.example", **smtp},
            "lookup": lookup or {},
            "listener": listeners
            or [
                {"name": "internal", "role": "internal", "port": 0, "allow": ["127.0.0.0/8"]},
                {"name": "internet", "role": "internet", "port": 0},
            ],
        }
    )
    key = secrets.token_bytes(32)
    place_migrated(database, key)
    store = open_store(settings.store.url, key, folder, SystemClock(), secrets.token_bytes)
    core = Core(Installation(folder / "gateway.toml", settings, key, store))
    core.configure(_acme)
    return core


def _acme(live: Any) -> None:
    domain = person("domain-confidentiality-authority@partner.example")
    live.put_policy(Policy())
    live.put_root(root().certificate)
    live.put_managed_domain(
        ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:25", return_to="smtp://127.0.0.1:26"), ()
    )
    live.put_partner_domain(PartnerDomain(name="partner.example", encryption="mandatory"), (domain.certificate,))
    live.put_partner_domain(PartnerDomain(name="strict.example", encryption="mandatory"), ())
    live.put_partner_domain(PartnerDomain(name="friend.example", encryption="opportunistic"), ())
    for name in GOOD:
        address = f"{name}@acme.example"
        live.put_certificate(person(address).certificate, (address,), None)
    live.put_certificate(person("frank@acme.example", "expired").certificate, ("frank@acme.example",), None)
    live.put_certificate(person("greta@acme.example", "selfsigned").certificate, ("greta@acme.example",), None)


def allow(live: Any, entity: Entity) -> None:
    live.put_trust(TrustEntry(entity.certificate.thumbprint, "allow"))


def close(core: Core) -> None:
    with suppress(OSError):
        core.store.close()
