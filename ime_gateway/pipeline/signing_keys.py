"""Which keys could sign a message, judged: those of its author on this gateway, and the current one of the domain.

The author is who sent it (Sender if present, else From) and must be the envelope sender for their own key to be used:
anybody inside can write any From, and only the mail server's envelope says who really sent it. The domain's key
vouches for the domain alone, so it serves every author in it (RFC 3183 section 3.1.1, domain signatures).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ime_gateway.base.errors import UnreadableCertificate, UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.capabilities import own_capabilities
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fault import Fault
from ime_gateway.certs.fitness import time_fault
from ime_gateway.certs.path import TrustedPath, find_path
from ime_gateway.certs.revocation import path_revocation
from ime_gateway.certs.signing_fitness import signing_fault
from ime_gateway.certs.trust import Anchors
from ime_gateway.mail.address import Address
from ime_gateway.mail.author import read_author
from ime_gateway.pipeline.prepared import Prepared
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.pipeline.sign_outgoing import Signer
from ime_gateway.policy.facts import Candidate, RecipientFacts, SigningFacts
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.keyring import KeptKey, Keyring
from ime_gateway.settings.inheritance import sender_settings
from ime_gateway.smime.sign import SigningKey

_MOST_LINKS = 8
"""CA certificates that go along with a signature; real chains have two."""
_MOST_KEYS = 1_000
"""Signing keys that are kept ready; reading one costs more than signing with it."""


@dataclass(slots=True)
class _Ready:
    """Keys that were read in one generation of live data, by thumbprint; a word instead when one cannot sign."""

    generation: int
    anchors: Anchors
    signers: dict[str, Signer | str] = field(default_factory=dict, repr=False)


class SigningKeys:
    """Finds the keys that may sign; holds them ready for one generation of live data."""

    def __init__(self, keyring: Keyring, revocations: Revocations) -> None:
        self._keyring = keyring
        self._revocations = revocations
        self._ready = _Ready(-1, Anchors(()))

    async def gather(
        self, prepared: Prepared, recipients: tuple[RecipientFacts, ...], view: SiteView, moment: float
    ) -> tuple[SigningFacts, Mapping[str, Signer]]:
        """What decides about signing, and the signers that the facts name by thumbprint.

        moment: seconds since 1970 UTC. Raises StoreUnavailable. Costs nothing where nobody wants a signature.
        """
        if prepared.direction == "incoming":
            return SigningFacts(), {}
        author = _author(prepared)
        settings = sender_settings(view.managed, view.addresses, author.key if author is not None else "")
        mode = settings.sign_outgoing
        facts = SigningFacts(
            mode.value,
            mode.origin,
            prepared.wants_signature,
            prepared.desktop != "none",
            is_report=prepared.sender is None,
        )
        bound = any(one.bound for one in recipients)
        if not bound and not facts.asked and facts.mode != "always":
            return facts, {}
        return await self._with_keys(facts, prepared, author, view, moment)

    async def _with_keys(
        self, facts: SigningFacts, prepared: Prepared, author: Address | None, view: SiteView, moment: float
    ) -> tuple[SigningFacts, Mapping[str, Signer]]:
        missing = _may_not_sign(author, prepared.sender, view)
        if missing or author is None:
            return SigningFacts(
                facts.mode, facts.origin, facts.asked, facts.protected_already, facts.is_report, missing=missing
            ), {}
        ready = await self._renew(view)
        personal: tuple[KeptKey, ...] = ()
        if prepared.sender is not None and prepared.sender.key == author.key:
            personal = (await self._keyring.of_people([author.key])).get(author.key, ())
        shared = (await self._keyring.of_domains([author.domain])).get(author.domain, ())
        current = [key for key in shared if key.state == "current"]
        revoked = await self._revoked((*personal, *current), ready.anchors, moment)
        signers: dict[str, Signer] = {}
        ours = [_candidate(key, "personal", ready, revoked, moment, signers) for key in _newest_first(personal)]
        domains = [_candidate(key, "domain", ready, revoked, moment, signers) for key in current]
        return SigningFacts(
            facts.mode,
            facts.origin,
            facts.asked,
            facts.protected_already,
            facts.is_report,
            tuple(sorted(ours, key=lambda one: not one.usable)),
            tuple(domains),
            f"neither {author} nor {author.domain} has a key on this gateway",
        ), signers

    async def _revoked(self, keys: Sequence[KeptKey], anchors: Anchors, moment: float) -> dict[str, Fault]:
        """Those of our keys that are known to be revoked, by thumbprint: known to this worker or to the store, as every
        listing shows them; the network is not asked for it."""
        foreign = {key.certificate.thumbprint: key.certificate for key in keys if not key.certificate.self_issued}
        paths = {thumbprint: find_path(one, anchors, moment) for thumbprint, one in foreign.items()}
        chains = {thumbprint: path.chain for thumbprint, path in paths.items() if isinstance(path, TrustedPath)}
        book = anchors.revocation
        unasked = [link for chain in chains.values() for link in path_revocation(chain, book, moment).unasked]
        if unasked:
            await self._revocations.recall(unasked, moment)
        known = {thumbprint: path_revocation(chain, book, moment).fault for thumbprint, chain in chains.items()}
        return {name: fault for name, fault in known.items() if fault and fault.reason is Reason.CERTIFICATE_REVOKED}

    async def _renew(self, view: SiteView) -> _Ready:
        """Of this very generation, whatever other messages bring meanwhile."""
        ready = self._ready
        if view.generation != ready.generation or len(ready.signers) > _MOST_KEYS:
            ready = self._ready = _Ready(view.generation, await self._revocations.anchors(view))
        return ready


def _candidate(
    key: KeptKey,
    kind: str,
    ready: _Ready,
    revoked: Mapping[str, Fault],
    moment: float,
    signers: dict[str, Signer],
) -> Candidate:
    certificate = key.certificate
    signer = ready.signers.get(certificate.thumbprint)
    if signer is None:
        signer = _read(key, kind, ready.anchors)
        ready.signers[certificate.thumbprint] = signer
    name = f"{certificate.subject or 'certificate without a name'} ({certificate.thumbprint[:19]})"
    fault = _fault(certificate, ready.anchors, moment) or revoked.get(certificate.thumbprint)
    if isinstance(signer, str):
        fault = fault or Fault(Reason.CERTIFICATE_UNFIT, signer)
    else:
        signers[certificate.thumbprint] = signer
    if fault is not None:
        return Candidate(certificate.thumbprint, False, fault.reason, f"{name}: {fault.detail}")
    reason = Reason.PERSONAL_CERTIFICATE if kind == "personal" else Reason.DOMAIN_CERTIFICATE
    return Candidate(certificate.thumbprint, True, reason, name)


def _author(prepared: Prepared) -> Address | None:
    """Who is responsible for the mail; None when its From cannot be read (reports of old systems)."""
    try:
        return read_author(prepared.message.headers).responsible
    except UnreadableMail:
        return None


def _may_not_sign(author: Address | None, sender: Address | None, view: SiteView) -> str:
    """Why nothing of ours may vouch for this author, for people; empty: it may."""
    if author is None:
        return "the author of the mail cannot be read"
    if author.domain not in view.managed:
        return f"its author {author} is in no domain of ours"
    if sender is not None and sender.domain != author.domain:
        return f"its author {author} is in another domain than its envelope sender {sender}"
    return ""


def _fault(certificate: Certificate, anchors: Anchors, moment: float) -> Fault | None:
    """What speaks against signing with a key of ours, beside a revocation; that its certificate leads to a root that we
    trust ourselves is not asked for, as partners decide whom they trust."""
    return anchors.denial(certificate) or signing_fault(certificate) or time_fault(certificate, moment)[0]


def _newest_first(keys: tuple[KeptKey, ...]) -> list[KeptKey]:
    return sorted(keys, key=lambda key: (-key.certificate.not_before, key.certificate.thumbprint))


def _read(key: KeptKey, kind: str, anchors: Anchors) -> Signer | str:
    """The key ready to sign; what is wrong with it, for people, when it cannot."""
    try:
        signing = SigningKey.from_pkcs8(key.certificate, key.private_key, _chain(key.certificate, anchors))
    except UnreadableCertificate as error:
        return str(error)
    # What a person's programs open only that person's own signatures say; for the domain we open everything.
    return Signer(signing, own_capabilities() if kind == "domain" else None)


def _chain(certificate: Certificate, anchors: Anchors) -> tuple[Certificate, ...]:
    """The known CA certificates above it without roots: readers without them could not find the path."""
    above = [one for one in anchors.named_above(certificate) if not anchors.is_root(one) and not one.self_issued]
    return tuple(above[:_MOST_LINKS])
