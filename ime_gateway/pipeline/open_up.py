"""Incoming mail opened for whom it is for: each recipient's version, its verdicts, and what must be remembered.

For each recipient only their own keys and those of their own domain are tried (P8), chosen by the names in the message
(RFC 5652 section 6.2); IME, CA and other people's keys never are. Whatever cannot be opened goes on as it came, and
nothing that depends on the outcome of opening unproved ciphertext changes the reply (threats 28, 31 and 32).
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.trust import Anchors
from ime_gateway.mail.author import read_author
from ime_gateway.mail.result_tags import without_tags
from ime_gateway.pipeline.ciphertext_memory import CiphertextMemory, with_message_ids
from ime_gateway.pipeline.harvest import harvest
from ime_gateway.pipeline.incoming_policy import (
    bound_certificates,
    is_bound,
    partner_certificates,
    partners_among,
    partners_of_certificates,
    unbound,
)
from ime_gateway.pipeline.incoming_versions import (
    Arrived,
    Judged,
    came_encrypted,
    in_clear,
    judge_signatures,
    may_be_layered,
    outermost_envelope,
    seal_again,
    with_versions,
)
from ime_gateway.pipeline.older_keys import older_keys
from ime_gateway.pipeline.owned_keys import owned_key
from ime_gateway.pipeline.prepared import Prepared, Version
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.signature_verdicts import Sender, signer_thumbprints
from ime_gateway.pipeline.verdict_headers import own_tags
from ime_gateway.ports.directory import Directory, SiteView
from ime_gateway.ports.incoming import IncomingRecord
from ime_gateway.ports.keyring import KeptKey, Keyring
from ime_gateway.smime.decrypt import LegacyPolicy
from ime_gateway.smime.layers import LayerLimits, Opened, open_layers
from ime_gateway.smime.owned_key import OwnedKey, addressed
from ime_gateway.smime.structures import Enveloped

MOST_OPENED_BYTES: Final = 536_870_912
"""So much is opened for one message: its size for each recipient with keys of their own."""
_KEPT_KEYS: Final = 5_000
_KeptFor = Mapping[Certificate, tuple[str, ...]]
"""As `partners_of_certificates` gives it."""


@dataclass(slots=True)
class Opener:
    """Opens incoming mail; keeps what can be kept for one generation of live data."""

    keyring: Keyring
    directory: Directory
    memory: CiphertextMemory
    revocations: Revocations
    randomness: Callable[[int], bytes]
    limits: LayerLimits = field(default_factory=LayerLimits)
    _generation: int = -1
    _anchors: Anchors = field(default_factory=lambda: Anchors(()))
    _bound: frozenset[Certificate] = frozenset()
    _kept_for: _KeptFor = field(default_factory=dict, repr=False)
    _owned: dict[str, OwnedKey] = field(default_factory=dict, repr=False)

    async def open(self, prepared: Prepared, view: SiteView, moment: float) -> Prepared | Refused:
        """The same mail with the version of each recipient; refused where policy says so. moment: seconds since 1970
        UTC. Raises StoreUnavailable when keys or memory cannot be asked."""
        anchors, bound, kept_for = await self._renew(view)
        arrived = await self._arrive(prepared, view, moment, anchors, kept_for)
        first = await self._opened(arrived, ())
        if not came_encrypted(first):
            judged = await self._judged(arrived, [first]) if first.layers else {id(first): ()}
            found = in_clear(arrived, first, judged)
        else:
            opened = await self._for_everybody(arrived, first)
            if isinstance(opened, Refused):
                return opened
            judged = await self._judged(arrived, [first, *opened.values()])
            found = await asyncio.to_thread(with_versions, arrived, first, opened, judged)
            if not isinstance(found, Refused):
                found = await self._remembered(arrived, found, bound)
                domains = sorted({entry.address.domain for entry in prepared.recipients})
                kept = [key for keys in (await self.keyring.of_domains(domains)).values() for key in keys]
                found = replace(found, older_keys=older_keys(opened.values(), kept))
        return found if isinstance(found, Refused) else _with_candidates(arrived, found)

    async def _renew(self, view: SiteView) -> tuple[Anchors, frozenset[Certificate], _KeptFor]:
        """Trust, bound certificates and partners of certificates of this very generation, whatever other messages
        bring meanwhile."""
        if view.generation != self._generation:
            self._anchors = await self.revocations.anchors(view)
            self._bound = bound_certificates(view)
            self._kept_for = partners_of_certificates(view)
            self._owned.clear()
            self._generation = view.generation
        return self._anchors, self._bound, self._kept_for

    async def _arrive(
        self, prepared: Prepared, view: SiteView, moment: float, anchors: Anchors, kept_for: _KeptFor
    ) -> Arrived:
        tags = own_tags(view.policy)
        message = prepared.message.with_headers(without_tags(prepared.message.headers, tags))
        try:
            author = read_author(message.headers)
        except UnreadableMail:
            author = None  # reports of old systems: nobody's signature matches
        people = tuple(one.address for one in author.from_) if author is not None else ()
        keys = tuple(one.key for one in people)
        domains = {one.domain for one in people}
        certificates = partner_certificates(domains, view)
        personal = await self.directory.certificates(view, keys) if may_be_layered(message) and keys else {}
        return Arrived(
            prepared=replace(prepared, message=message),
            view=view,
            moment=moment,
            authors=frozenset() if author is None else author.keys,
            sender=Sender(people, message.headers, certificates, tags, partners_among(domains, view), kept_for),
            known=(*certificates, *(one for key in keys for one in personal.get(key, ()))),
            anchors=anchors,
        )

    async def _for_everybody(self, arrived: Arrived, first: Opened) -> Mapping[str, Opened] | Refused:
        """For each recipient (`Address.key`) the mail as far as their keys open it; those of one domain share what
        the domain's keys open."""
        addresses = [entry.address for entry in arrived.prepared.recipients]
        of_domains = await self.keyring.of_domains(sorted({address.domain for address in addresses}))
        of_people = await self.keyring.of_people(sorted({address.key for address in addresses}))
        envelope = await asyncio.to_thread(outermost_envelope, first, self.limits)
        named_domains = {name for name, keys in of_domains.items() if self._names(envelope, keys)}
        named_people = {name for name, keys in of_people.items() if self._names(envelope, keys)}
        room = MOST_OPENED_BYTES // max(1, arrived.prepared.message.size) - len(named_domains)
        if room < len(named_people):  # told by what everybody sees, whatever opening would bring
            return Refused(Reason.TOO_LARGE, "it is too large to be opened for so many people; send it to fewer")
        by_domain = {name: await self._opened(arrived, of_domains[name]) for name in sorted(named_domains)}
        found: dict[str, Opened] = {}
        for address in addresses:
            one, own = by_domain.get(address.domain, first), of_people.get(address.key, ())
            inside = one.encrypted and one.for_others and room > 0
            if own and one.end != "open" and (address.key in named_people or inside):
                room -= 1
                one = await self._opened(arrived, (*of_domains.get(address.domain, ()), *own))
            found[address.key] = one
        return found

    def _names(self, envelope: Enveloped | None, keys: Sequence[KeptKey]) -> bool:
        """Whether the outermost encryption is for one of these keys."""
        return envelope is not None and any(addressed(envelope.recipients, [self._owned_key(one) for one in keys]))

    async def _judged(self, arrived: Arrived, opened: Sequence[Opened]) -> Judged:
        """All signatures with verdicts; what the network can tell about revocations is asked once for all of them."""
        distinct = {id(one): one for one in opened}.values()
        arrived = await self._with_owners(arrived, distinct)
        judged = await asyncio.to_thread(judge_signatures, arrived, distinct)
        links = [link for found in judged.values() for one in found for link in one.trust.unasked]
        if not links:
            return judged
        await self.revocations.learn(links, arrived.anchors, arrived.moment)
        return await asyncio.to_thread(judge_signatures, arrived, distinct)

    async def _with_owners(self, arrived: Arrived, opened: Iterable[Opened]) -> Arrived:
        """Knowing for whom those signers were imported whom the trust list allows: nobody else checked their names."""
        signers = {thumbprint for one in opened for thumbprint in signer_thumbprints(one)}
        trust = arrived.view.trust
        allowed = sorted(one for one in signers if one in trust and trust[one].verdict == "allow")
        if not allowed:
            return arrived
        owners = await self.directory.owners(arrived.view, allowed)
        return replace(arrived, sender=replace(arrived.sender, imported_for=owners))

    async def _opened(self, arrived: Arrived, keys: Sequence[KeptKey]) -> Opened:
        """In a thread: what hides in the layers of even a small mail can be large."""
        owned = [self._owned_key(one) for one in keys]
        allowed = arrived.view.policy.legacy_decryption
        message = arrived.prepared.as_it_came or arrived.prepared.message
        if not keys and not may_be_layered(message):
            return Opened((), message, "open")
        return await asyncio.to_thread(
            open_layers,
            message,
            owned,
            self.limits,
            self.randomness,
            known=arrived.known,
            moment=arrived.moment,
            legacy=LegacyPolicy(triple_des=allowed, rc2=allowed, short_rsa=allowed),
        )

    def _owned_key(self, kept: KeptKey) -> OwnedKey:
        found = self._owned.get(kept.certificate.thumbprint)
        if found is None:
            found = owned_key(kept.certificate, kept.private_key)
            while len(self._owned) >= _KEPT_KEYS:
                self._owned.pop(next(iter(self._owned)))
            self._owned[kept.certificate.thumbprint] = found
        return found

    async def _remembered(self, arrived: Arrived, prepared: Prepared, bound_by: frozenset[Certificate]) -> Prepared:
        """What may not be opened for a recipient is sealed again; of the rest a record is made."""
        versions = prepared.versions
        bound = {
            address
            for address, version in versions.items()
            if version.content is not None
            and (
                # Who signed what is left unread in it, nobody can tell: it may be the mail of such a partner.
                (bound_by and version.unread) or is_bound(arrived.authors, version.signatures, bound_by, arrived.view)
            )
        }
        faults = {address: why for address in sorted(bound) if (why := _unbound(address, versions[address]))}
        free = {address: one.opened for address, one in versions.items() if one.opened and address not in faults}
        faults |= await self.memory.reused(free, bound=bound)
        prepared = seal_again(prepared, faults, arrived.view.policy)
        prepared = replace(prepared, versions=with_message_ids(prepared.versions, self.randomness))
        opened = {address: one.opened for address, one in prepared.versions.items() if one.opened}
        # Each object once: a mail to many people has few versions.
        shown = {id(one): one for one in prepared.versions.values() if one.opened}.values()
        inside = {id(one.content): one.content for one in shown if one.content is not None}.values()
        headers = [one.headers for one in (prepared.message, *inside, *(version.message for version in shown))]
        return replace(prepared, incoming=self.memory.record(opened, headers, bound=bound - faults.keys()))


def _unbound(address: str, version: Version) -> str:
    return unbound(address, version.inside, version.signatures)


def _with_candidates(arrived: Arrived, prepared: Prepared) -> Prepared:
    """The certificates that its signatures brought are remembered along with it."""
    if len(arrived.sender.people) != 1:
        return prepared
    found = prepared.message.headers.first("message-id")
    shown = {id(one): one for version in prepared.versions.values() for one in version.signatures}
    candidates = harvest(
        (*prepared.signatures, *shown.values()),
        arrived.sender.people[0],
        arrived.view,
        sender=prepared.sender,
        message_id=found.text.strip()[:998] if found is not None else "",
        moment=arrived.moment,
    )
    if not candidates:
        return prepared
    record = prepared.incoming or IncomingRecord()
    return replace(prepared, incoming=replace(record, candidates=candidates))
