"""The one building site: real adapters meet the workshop here and nowhere else."""

import hashlib
import hmac
import os

from ime_gateway.admin.announce_desk import AnnounceDesk
from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.admin.notice_desk import NoticeDesk
from ime_gateway.admin.partner_mail import Writer
from ime_gateway.app.domain_watch import watch_domains
from ime_gateway.app.installation import Installation
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.lookup.dns import DnsExchangers
from ime_gateway.lookup.fetch import Fetcher
from ime_gateway.lookup.ldap_directories import LdapDirectories
from ime_gateway.lookup.revocations import NetworkRevocations
from ime_gateway.mail.address import parse_path
from ime_gateway.pipeline.call_ahead import CallAhead
from ime_gateway.pipeline.ciphertext_memory import CiphertextMemory
from ime_gateway.pipeline.container.ledger import Ledger
from ime_gateway.pipeline.container.reader import ContainerReader
from ime_gateway.pipeline.container.replies import ContainerReplies
from ime_gateway.pipeline.container.signers import SignerBook
from ime_gateway.pipeline.deliver import Deliverer
from ime_gateway.pipeline.directory_candidates import DirectoryCandidates
from ime_gateway.pipeline.exchange.reader import ExchangeReader
from ime_gateway.pipeline.exchange.replies import ExchangeReplies
from ime_gateway.pipeline.gather_facts import FactGatherer
from ime_gateway.pipeline.open_up import Opener
from ime_gateway.pipeline.own_mail import QueuedOutbox
from ime_gateway.pipeline.planning import Planner
from ime_gateway.pipeline.protect import Protector
from ime_gateway.pipeline.protected_answers import ProtectedAnswers
from ime_gateway.pipeline.receive import Handover, Receiver
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.signing_keys import SigningKeys
from ime_gateway.pipeline.verdicts import Verdicts
from ime_gateway.ports.clock import Randomness
from ime_gateway.ports.queue import Queue
from ime_gateway.ports.recipient_probe import RecipientProbe
from ime_gateway.ports.relay import Relay
from ime_gateway.settings.model import Settings
from ime_gateway.smtp.outbound.recipient_probe import SmtpRecipientProbe
from ime_gateway.smtp.outbound.send import OutboundRelay


def trace_key(master_key: bytes) -> bytes:
    """The key of our trace headers: derived, so that a trace tells nothing of the master key."""
    return hmac.digest(master_key, b"trace header", hashlib.sha256)


def protected_ids_key(master_key: bytes) -> bytes:
    """The key of the hashes that are kept of Message-IDs: derived, so that they tell nothing without it."""
    return hmac.digest(master_key, b"protected Message-IDs", hashlib.sha256)


def build_planner(
    installation: Installation,
    ledger: Ledger,
    randomness: Randomness = os.urandom,
    directories: LdapDirectories | None = None,
) -> Planner:
    """What turns a submission into a plan; used by `receive` and, with a ledger that only reads, by `explain`."""
    settings, store = installation.settings, installation.store
    revocations = build_revocations(installation)
    pseudo_recipient = parse_path(settings.ime.v1_address)
    facts = FactGatherer(
        store.directory,
        store.containers,
        ProtectedAnswers(store.incoming, protected_ids_key(installation.master_key)),
        Verdicts(revocations),
    )
    return Planner(
        settings=settings,
        pseudo_recipient=pseudo_recipient,
        facts=facts,
        trace_key=trace_key(installation.master_key),
        containers=ContainerReader(
            store.containers, ledger, SignerBook(store.directory, revocations), pseudo_recipient, randomness
        ),
        signing=SigningKeys(store.keyring, revocations),
        exchange=ExchangeReader(store.keyring, randomness),
        opener=Opener(
            store.keyring,
            store.directory,
            CiphertextMemory(store.incoming, protected_ids_key(installation.master_key)),
            revocations,
            randomness,
        ),
        lookups=_lookups(facts, directories, settings.smtp.max_recipients),
    )


def _lookups(
    facts: FactGatherer, directories: LdapDirectories | None, most_recipients: int
) -> DirectoryCandidates | None:
    if directories is None:
        return None
    return DirectoryCandidates(facts, directories.certificates, directories.groups, most_recipients)


def build_directories(settings: Settings) -> LdapDirectories | None:
    """The directories of `[[ldap]]`, of one event loop; None where there are none."""
    if not settings.ldap:
        return None
    from ime_gateway.lookup.ldap_session import open_session  # its library is large, and few need it

    return LdapDirectories(settings.ldap, lambda directory, seconds: open_session(directory, os.environ, seconds))


def build_revocations(installation: Installation, patience: float | None = None) -> Revocations:
    """What learns about revocations, of one event loop. patience: seconds to wait for an answer that is needed;
    default: as long as a message may (`decide_seconds`)."""
    lookup = installation.settings.lookup
    fetcher = Fetcher(lookup.fetch_seconds, lookup.max_bytes, lookup.allow_networks)
    network = NetworkRevocations(fetcher)
    seconds, store = lookup.seconds, installation.store.revocations
    if patience is not None:
        return Revocations(store, network, SystemClock(), patience, patience)
    return Revocations(store, network, SystemClock(), seconds, installation.settings.smtp.decide_seconds)


def build_relay(settings: Settings, randomness: Randomness) -> OutboundRelay:
    """The way to next hops of one worker; made inside its event loop."""
    return OutboundRelay(settings.smtp.hostname, settings.delivery, DnsExchangers(), randomness)


def build_probe(settings: Settings) -> SmtpRecipientProbe | None:
    """What asks our mail servers about recipients, of one worker; None where that is switched off. Made inside its
    event loop."""
    if not settings.delivery.call_ahead:
        return None
    return SmtpRecipientProbe(settings.smtp.hostname, settings.delivery, settings.smtp.decide_seconds)


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
    probe: RecipientProbe | None = None,
    directories: LdapDirectories | None = None,
) -> Receiver:
    """The gateway behind the SMTP door of one worker; without `probe` nobody is asked about recipients."""
    store, settings = installation.store, installation.settings
    planner = build_planner(installation, store.containers, randomness, directories)
    return Receiver(
        planner=planner,
        protector=Protector(store.spool, randomness, settings.smtp.hostname, trace_key(installation.master_key)),
        directory=store.directory,
        queue=queue,
        relay=relay,
        clock=SystemClock(),
        randomness=randomness,
        owner=owner,
        handover=handover,
        exchange=ExchangeReplies(
            store.directory,
            store.registry,
            store.keyring,
            queue,
            QueuedOutbox(queue, store.spool, randomness),
            planner.opener.revocations,
            settings.smtp.hostname,
            randomness,
            settings.smtp.decide_seconds,
        ),
        containers=ContainerReplies(
            store.containers, queue, store.spool, settings.smtp.hostname, randomness, SystemClock()
        ),
        call_ahead=CallAhead(probe, SystemClock(), randomness) if probe is not None else None,
    )


async def watch_installation(installation: Installation, randomness: Randomness = os.urandom) -> None:
    """Change domain keys whose time has come, and warn of certificates that end. Raises StoreUnavailable."""
    registry, clock, hostname = installation.store.registry, SystemClock(), installation.settings.smtp.hostname
    outbox = build_outbox(installation, randomness)
    await watch_domains(
        DomainKeyDesk(registry, clock, randomness), ExpiryDesk(registry, outbox, clock, randomness, hostname)
    )


def build_outbox(installation: Installation, randomness: Randomness = os.urandom) -> QueuedOutbox:
    """Where commands put mail of the gateway itself; a worker of the running gateway delivers it."""
    return QueuedOutbox(installation.store.queue, installation.store.spool, randomness)


def build_announcements(installation: Installation, randomness: Randomness = os.urandom) -> AnnounceDesk:
    """What tells partners of next keys; for commands and housekeeping."""
    return AnnounceDesk(
        installation.store.registry, build_outbox(installation, randomness), build_writer(installation, randomness)
    )


def build_writer(installation: Installation, randomness: Randomness = os.urandom) -> Writer:
    """What writes mail of the gateway to partners."""
    return Writer(installation.store.registry, SystemClock(), randomness, installation.settings.smtp.hostname)


def build_notices(installation: Installation, randomness: Randomness = os.urandom) -> NoticeDesk:
    """What tells administrators by mail."""
    outbox = build_outbox(installation, randomness)
    hostname = installation.settings.smtp.hostname
    return NoticeDesk(installation.store.registry, outbox, SystemClock(), randomness, hostname)
