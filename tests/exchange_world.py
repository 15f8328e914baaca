"""Two gateways in one process, acme.example and bolt.example, and the post between them.

Each has a domain key, the other's certificate on its trust list, and an exchange address. What one puts into its
queue for the other is carried over by `post`, so that a test sees every mail that would be on the wire.
"""

import asyncio
import os
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ime_gateway.admin.announce_desk import AnnounceDesk
from ime_gateway.admin.candidate_desk import CandidateDesk
from ime_gateway.admin.partner_mail import Writer
from ime_gateway.admin.partner_test_desk import PartnerTestDesk
from ime_gateway.app.assemble import build_outbox
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import ManagedDomain, PartnerDomain
from tests.core import Core, make_core
from tests.pki import Entity, make_user

ACME, BOLT = "acme.example", "bolt.example"


def authority(domain: str, **changes: Any) -> Entity:
    """A self-signed certificate that stands for a domain (RFC 3183), with its key."""
    return make_user(f"domain-confidentiality-authority@{domain}", **changes)


@dataclass
class Gateway:
    """One of the two."""

    core: Core
    domain: str
    key: Entity

    @property
    def exchange(self) -> str:
        return f"key-exchange@{self.domain}"

    @property
    def writer(self) -> Writer:
        return Writer(self.core.store.registry, SystemClock(), os.urandom, f"gw.{self.domain}")

    @property
    def announce_desk(self) -> AnnounceDesk:
        return AnnounceDesk(self.core.store.registry, build_outbox(self.core.installation), self.writer)

    @property
    def test_desk(self) -> PartnerTestDesk:
        return PartnerTestDesk(self.core.store.registry, build_outbox(self.core.installation), self.writer)

    @property
    def candidate_desk(self) -> CandidateDesk:
        return CandidateDesk(self.core.store.registry, SystemClock())

    def knows(self, other: "Gateway", *, certificates: tuple[Entity, ...] | None = None, **settings: Any) -> None:
        """Make the other gateway a partner, its certificates allowed by the trust list."""
        theirs = (other.key,) if certificates is None else certificates

        def act(live: Any) -> None:
            values = {"name": other.domain, "encryption": "mandatory", "exchange_address": other.exchange} | settings
            live.put_partner_domain(PartnerDomain.model_validate(values), [one.certificate for one in theirs])
            for one in theirs:
                live.put_trust(TrustEntry(one.certificate.thumbprint, "allow"))

        self.core.configure(act)

    def queued(self) -> list[tuple[str, str, bytes]]:
        """Take what waits in the queue: sender, recipient and bytes of each mail."""

        async def take() -> list[tuple[str, str, bytes]]:
            store = self.core.store
            rows = await store.queue.lease("post", 100)
            found = []
            for row in rows:
                envelope = await store.queue.envelope(row.row.envelope_id)
                wire = envelope.head + b"".join(store.spool.read(envelope.body_id))
                found.append((row.sender, row.row.recipient, wire))
            return found

        return asyncio.run(take())

    def takes(self, sender: str, recipient: str, wire: bytes) -> Any:
        """Mail from outside; the outcome. Nothing may come of it that is delivered to anybody."""
        outcome, delivered = self.core.send(wire, sender, [recipient], "internet")
        assert not delivered
        return outcome

    def last_line(self) -> str:
        """What tracking says of the last mail to the exchange address."""
        events = self.core.store.registry.events(recipient=self.exchange)
        assert events and events[-1].reason == "key-exchange"
        return str(events[-1].detail)

    def look(self, question: Any) -> Any:
        with self.core.store.registry.transaction(write=False) as live:
            return question(live)

    def certificates_of(self, domain: str) -> list[str]:
        """Thumbprints that stand for a partner, in order."""
        return self.look(lambda live: [one.thumbprint for one in live.view().domain_certificates.get(domain, ())])

    def candidates(self, state: str = "pending") -> list[Any]:
        return self.look(lambda live: live.candidates.rows(state=state))


def make_gateway(folder: Path, domain: str) -> Gateway:
    """A gateway for one domain with a domain key and nobody else known."""
    core, key = make_core(folder), authority(domain)

    def act(live: Any) -> None:
        for name in (ACME, "partner.example", "strict.example", "friend.example"):
            live.delete_domain(name)
        address = f"key-exchange@{domain}"
        live.put_managed_domain(
            ManagedDomain(name=domain, deliver_to="smtp://127.0.0.1:25", exchange_address=address), ()
        )
        live.domain_keys.put(domain, key.certificate, key.key_der, "current")

    core.configure(act)
    return Gateway(core, domain, key)


def post(source: Gateway, target: Gateway) -> list[tuple[str, str, bytes]]:
    """Carry what one has for the other; the mails."""
    mails = source.queued()
    for sender, recipient, wire in mails:
        assert recipient == target.exchange, "there is other mail in the queue"
        target.takes(sender, recipient, wire)
    return mails


def foreign_mail(
    signer: Entity | None,
    author: str,
    recipient: str,
    *,
    content: bytes = b"Content-Type: text/plain\r\n\r\nOur certificate is in the signature.\r\n",
    along: Sequence[Entity] = (),
    reader: Entity | None = None,
) -> bytes:
    """Mail of another product: signed, and for `reader` encrypted, by openssl; `along` go into the signature."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = content
        if signer is not None:
            certificate, key = signer.write(folder, "signer")
            command = ["openssl", "cms", "-sign", "-signer", str(certificate), "-inkey", str(key), "-md", "sha256"]
            if along:
                (folder / "along.pem").write_bytes(b"".join(one.pem for one in along))
                command += ["-certfile", str(folder / "along.pem")]
            body = subprocess.run(command, input=body, capture_output=True, check=True).stdout
        if reader is not None:
            certificate, _ = reader.write(folder, "reader")
            command = ["openssl", "cms", "-encrypt", "-aes-256-cbc", str(certificate)]
            body = subprocess.run(command, input=body, capture_output=True, check=True).stdout
    head = f"From: <{author}>\nTo: <{recipient}>\nSubject: Certificate\nMessage-ID: <{secrets.token_hex(8)}@x>\n"
    return head.encode() + body.replace(b"\r\n", b"\n")
