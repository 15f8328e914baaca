"""The one building site: real adapters meet the workshop here and nowhere else."""

import hashlib
import hmac
import os

from ime_gateway.app.installation import Installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.lookup.dns import DnsExchangers
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.container_in import ContainerReader
from ime_gateway.pipeline.container_ledger import Ledger
from ime_gateway.pipeline.container_replies import ContainerReplies
from ime_gateway.pipeline.container_signers import SignerBook
from ime_gateway.pipeline.deliver import Deliverer
from ime_gateway.pipeline.gather_facts import FactGatherer
from ime_gateway.pipeline.planning import Planner
from ime_gateway.pipeline.protect import Protector
from ime_gateway.pipeline.receive import Handover, Receiver
from ime_gateway.ports.clock import Randomness
from ime_gateway.ports.queue import Queue
from ime_gateway.ports.relay import Relay
from ime_gateway.settings.model import Settings
from ime_gateway.smtp.outbound.send import OutboundRelay


def trace_key(master_key: bytes) -> bytes:
    """The key of our trace headers: derived, so that a trace tells nothing of the master key."""
    return hmac.digest(master_key, b"trace header", hashlib.sha256)


def build_planner(installation: Installation, ledger: Ledger, randomness: Randomness = os.urandom) -> Planner:
    """What turns a submission into a plan; used by `receive` and, with a ledger that only reads, by `explain`."""
    settings, store = installation.settings, installation.store
    pseudo_recipient = parse_path(settings.ime.v1_address)
    return Planner(
        settings=settings,
        pseudo_recipient=pseudo_recipient,
        facts=FactGatherer(store.directory, store.containers),
        trace_key=trace_key(installation.master_key),
        containers=ContainerReader(store.containers, ledger, SignerBook(store.directory), pseudo_recipient, randomness),
    )


def build_relay(settings: Settings, randomness: Randomness) -> OutboundRelay:
    """The way to next hops of one worker; made inside its event loop."""
    return OutboundRelay(settings.smtp.hostname, settings.delivery, DnsExchangers(), randomness)


def build_deliverer(
    installation: Installation, queue: Queue, relay: Relay, owner: str, randomness: Randomness
) -> Deliverer:
    """The queue worker of one worker process; made inside its event loop."""
    store = installation.store
    return Deliverer(
        queue,
        store.spool,
        relay,
        store.directory,
        SystemClock(),
        randomness,
        installation.settings,
        owner,
    )


def build_receiver(
    installation: Installation,
    relay: Relay,
    handover: Handover,
    owner: str,
    queue: Queue,
    randomness: Randomness,
) -> Receiver:
    """The gateway behind the SMTP door of one worker."""
    store, settings = installation.store, installation.settings
    return Receiver(
        planner=build_planner(installation, store.containers, randomness),
        protector=Protector(store.spool, randomness, settings.smtp.hostname, trace_key(installation.master_key)),
        directory=store.directory,
        queue=queue,
        relay=relay,
        clock=SystemClock(),
        randomness=randomness,
        owner=owner,
        handover=handover,
        containers=ContainerReplies(
            store.containers, queue, store.spool, settings.smtp.hostname, randomness, SystemClock()
        ),
    )
