"""`ports/registry.py` in memory: what the desks and the web pages are tested on without a database.

Transactions are real: what is changed inside one that fails is forgotten, and reads never change.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.queue import Event, HeldEvidence, QueueLine
from ime_gateway.ports.registry import AdminAccount, AuditLine, CertificateEnd, CertificateEntry
from ime_gateway.ports.revocation import AnswerKind, StoredAnswer
from ime_gateway.settings.site import AddressSettings, ManagedDomain, PartnerDomain, Policy
from tests.doubles.memory_authorities import AuthorityMemory, MemoryAuthorities
from tests.doubles.memory_ime import ImeMemory, MemoryImeTransaction
from tests.doubles.memory_partners import MemoryCandidates, MemoryChecks, MemoryDomainKeys, MemoryNotices, PartnerMemory
from tests.doubles.memory_revocations import MemoryAnswers


@dataclass
class _Live:
    """The small live data and the certificates; copied for each writing transaction."""

    generation: int = 1
    policy: Policy = field(default_factory=Policy)
    managed: dict[str, ManagedDomain] = field(default_factory=dict)
    partners: dict[str, PartnerDomain] = field(default_factory=dict)
    roots: tuple[Certificate, ...] = ()
    trust: dict[str, TrustEntry] = field(default_factory=dict)
    of_domains: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)
    entries: dict[str, CertificateEntry] = field(default_factory=dict)
    private_keys: dict[str, bytes] = field(default_factory=dict)
    audit: list[AuditLine] = field(default_factory=list)
    ime: ImeMemory = field(default_factory=ImeMemory)
    partnership: PartnerMemory = field(default_factory=PartnerMemory)
    authorities: AuthorityMemory = field(default_factory=AuthorityMemory)
    addresses: dict[str, AddressSettings] = field(default_factory=dict)
    additional: tuple[Certificate, ...] = ()
    revocations: dict[tuple[AnswerKind, str], StoredAnswer] = field(default_factory=dict)

    def copied(self) -> "_Live":
        return _Live(**{name: copy(value) for name, value in vars(self).items()})


class MemoryTransaction(MemoryImeTransaction):
    """One use case's view of the live data."""

    def __init__(self, live: _Live, now: float, *, write: bool) -> None:
        self._live, self._now, self._write = live, now, write
        self.changed = False
        memory = live.partnership
        self.authorities = MemoryAuthorities(live.authorities, now, self._change)
        self.revocations = MemoryAnswers(live.revocations, self.authorities.revocations)
        self.domain_keys = MemoryDomainKeys(memory, now, self._change)
        self.checks = MemoryChecks(memory, self._change)
        self.candidates = MemoryCandidates()
        self.notices = MemoryNotices(memory, self._change)

    def _change(self) -> _Live:
        if not self._write:
            raise PermissionError("this transaction only reads")
        self.changed = True
        return self._live

    def _ime(self, *, write: bool = False) -> ImeMemory:
        return self._change().ime if write else self._live.ime

    def view(self) -> SiteView:
        live = self._live
        intermediates = tuple(e.certificate for e in live.entries.values() if e.certificate.is_ca)
        return SiteView(
            live.generation, live.policy, dict(live.managed), dict(live.partners), live.roots,
            dict(live.trust), dict(live.of_domains), intermediates, dict(live.addresses), live.additional,
        )  # fmt: skip

    def put_policy(self, policy: Policy) -> None:
        self._change().policy = policy

    def put_managed_domain(self, domain: ManagedDomain, certificates: Sequence[Certificate]) -> None:
        self._change().managed[domain.name] = domain
        self._live.of_domains[domain.name] = tuple(certificates)

    def put_partner_domain(self, domain: PartnerDomain, certificates: Sequence[Certificate]) -> None:
        self._change().partners[domain.name] = domain
        self._live.of_domains[domain.name] = tuple(certificates)

    def delete_domain(self, name: str) -> bool:
        if name not in self._live.managed and name not in self._live.partners:
            return False
        live = self._change()
        live.managed.pop(name, None)
        live.partners.pop(name, None)
        live.of_domains.pop(name, None)
        return True

    def put_address(self, settings: AddressSettings) -> bool:
        self._change().addresses[settings.address] = settings
        return True

    def delete_address(self, address: str) -> bool:
        return self._change().addresses.pop(address, None) is not None

    def put_additional_certificates(self, certificates: Sequence[Certificate]) -> bool:
        self._change().additional = tuple(certificates)
        return True

    def put_certificate(self, certificate: Certificate, addresses: Sequence[str], private_key: bytes | None) -> bool:
        old = self._live.entries.get(certificate.thumbprint)
        known = old.addresses if old else ()
        merged = (*known, *(address for address in addresses if address not in known))
        has_key = private_key is not None or bool(old and old.has_private_key)
        if old and merged == known and has_key == old.has_private_key:
            return False
        imported_at = old.imported_at if old else self._now
        self._change().entries[certificate.thumbprint] = CertificateEntry(certificate, merged, has_key, imported_at)
        if private_key is not None:
            self._live.private_keys[certificate.thumbprint] = private_key
        return True

    def delete_certificate(self, thumbprint: str) -> bool:
        if thumbprint not in self._live.entries:
            return False
        del self._change().entries[thumbprint]
        self._live.private_keys.pop(thumbprint, None)
        return True

    def certificates(
        self, *, address: str = "", search: str = "", limit: int = 1000, offset: int = 0
    ) -> list[CertificateEntry]:
        def matches(entry: CertificateEntry) -> bool:
            words = (*entry.addresses, entry.certificate.subject, entry.certificate.thumbprint)
            found = not search or any(search.lower() in word.lower() for word in words)
            return found and (not address or address in entry.addresses)

        return [entry for entry in self._live.entries.values() if matches(entry)][offset : offset + limit]

    def people_ends(self, *, after: str = "", limit: int = 1000) -> list[CertificateEnd]:
        found = [
            CertificateEnd(name, entry.certificate.subject, entry.addresses, entry.certificate.not_after)
            for name, entry in sorted(self._live.entries.items())
            if name > after and not entry.certificate.is_ca
        ]
        return found[:limit]

    def certificate(self, thumbprint: str) -> CertificateEntry | None:
        found = [entry for name, entry in self._live.entries.items() if name.startswith(thumbprint)]
        return found[0] if len(found) == 1 else None

    def private_key(self, thumbprint: str) -> bytes | None:
        return self._live.private_keys.get(thumbprint)

    def put_root(self, certificate: Certificate) -> bool:
        if any(root.thumbprint == certificate.thumbprint for root in self._live.roots):
            return False
        live = self._change()
        live.roots = (*live.roots, certificate)
        return True

    def delete_root(self, thumbprint: str) -> bool:
        kept = tuple(root for root in self._live.roots if root.thumbprint != thumbprint)
        if len(kept) == len(self._live.roots):
            return False
        self._change().roots = kept
        return True

    def put_trust(self, entry: TrustEntry) -> bool:
        if self._live.trust.get(entry.thumbprint) == entry:
            return False
        self._change().trust[entry.thumbprint] = entry
        return True

    def delete_trust(self, thumbprint: str) -> bool:
        if thumbprint not in self._live.trust:
            return False
        del self._change().trust[thumbprint]
        return True

    def audit(self, actor: str, action: str, detail: str) -> None:
        if not self._write:
            raise PermissionError("this transaction only reads")
        self._live.audit.append(AuditLine(self._now, actor, action, detail))

    def audit_lines(self, limit: int = 100) -> list[AuditLine]:
        return self._live.audit[::-1][:limit]


class MemoryRegistry:
    """The whole registry; `broken = True` makes every method raise StoreUnavailable."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.broken = False
        self.all_events: list[Event] = []
        self.all_lines: list[QueueLine] = []
        self.all_held: list[HeldEvidence] = []
        self._live = _Live()
        self._admins: dict[str, AdminAccount] = {}

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the database is locked", evidence="test double")

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[MemoryTransaction]:
        self._check()
        transaction = MemoryTransaction(self._live.copied() if write else self._live, self.now, write=write)
        try:
            yield transaction
        finally:
            transaction.revocations.closed = True
        if write:
            self._live = transaction._live
            self._live.generation += transaction.changed

    def admin(self, name: str) -> AdminAccount | None:
        self._check()
        return self._admins.get(name)

    def admins(self) -> list[AdminAccount]:
        """All accounts, by name."""
        return [self._admins[name] for name in sorted(self._admins)]

    def put_admin(self, account: AdminAccount) -> None:
        self._check()
        self._admins[account.name] = account

    def delete_admin(self, name: str) -> None:
        """What the port has no word for yet: the account is gone."""
        del self._admins[name]

    def events(
        self,
        *,
        id: str = "",  # noqa: A002 - the contract's word
        message_id: str = "",
        sender: str = "",
        recipient: str = "",
        limit: int = 1000,
    ) -> list[Event]:
        self._check()
        wanted = {"id": id, "message_id": message_id, "sender": sender, "recipient": recipient}
        found = [e for e in self.all_events if all(not w or getattr(e, n) == w for n, w in wanted.items())]
        return sorted(found, key=lambda event: event.at)[-limit:]

    def queue_lines(self, *, id: str = "", limit: int = 1000, offset: int = 0) -> list[QueueLine]:  # noqa: A002
        self._check()
        return [line for line in self.all_lines if not id or line.id == id][offset : offset + limit]

    def queue_counts(self) -> dict[str, int]:
        self._check()
        counts: dict[str, int] = {}
        for line in self.all_lines:
            counts[line.state] = counts.get(line.state, 0) + 1
        return counts

    def _named(self, ids: Sequence[str], state: str) -> list[int]:
        return [
            position
            for position, line in enumerate(self.all_lines)
            if line.state == state and (not ids or line.row in ids or line.id in ids)
        ]

    def retry(self, ids: Sequence[str], actor: str) -> int:
        return self._move(self._named(ids, "deferred"), "queued", actor, "queue-retry")

    def hold(self, ids: Sequence[str], actor: str) -> int:
        named = self._named(ids, "queued") + self._named(ids, "deferred")
        return self._move(named, "held", actor, "queue-hold")

    def release(self, ids: Sequence[str], actor: str) -> int:
        return self._move(self._named(ids, "held"), "queued", actor, "queue-release")

    def _move(self, positions: Sequence[int], state: str, actor: str, action: str) -> int:
        self._check()
        for position in positions:
            line = self.all_lines[position]
            self.all_lines[position] = replace(line, state=state)
            self._live.audit.append(AuditLine(self.now, actor, action, line.row))
        return len(positions)

    def drop(self, ids: Sequence[str], actor: str, *, silent: bool) -> int:
        self._check()
        dropped = [line for line in self.all_lines if line.row in ids or line.id in ids]
        self.all_lines = [line for line in self.all_lines if line not in dropped]
        action = "queue-drop-silent" if silent else "queue-drop"
        self._live.audit += [AuditLine(self.now, actor, action, line.row) for line in dropped]
        return len(dropped)

    def held(self, limit: int = 100) -> list[HeldEvidence]:
        self._check()
        return sorted(self.all_held, key=lambda item: item.at, reverse=True)[:limit]

    def check_live_data(self) -> None:
        self._check()

    def check_write(self) -> None:
        self._check()
