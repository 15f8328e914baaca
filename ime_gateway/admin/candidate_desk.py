"""Certificates that mail or directories brought: look, approve with the thumbprint in hand, reject.

Whoever sends a mail can put any certificate in it, and only its owner can say by another way whether it is the right
one. So approving takes the whole thumbprint as the owner reads it out, and keeps who compared it with whom, how and
when; nothing is in force before.
"""

from dataclasses import dataclass

from ime_gateway.admin.check_desk import differences
from ime_gateway.admin.judging import anchors_in, certificate_json, foreign_names, verdict_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import thumbprint_digits
from ime_gateway.keys.usable import Anchors, Verdict, judge
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.incoming import Candidate, CandidateKind
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.ports.thumbprint_checks import CheckMethod, ThumbprintCheck

_SHORTEST_BEGINNING = 6


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A candidate, and what would become of it."""

    candidate: Candidate
    verdict: Verdict
    """As mail would get it now if the candidate were in force."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an administrator made sure of a thumbprint."""

    groups: str
    """As the owner read them out: all 64 digits, in any spelling."""
    person: str = ""
    """With whom."""
    method: CheckMethod = "other"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """What approving changed."""

    candidate: Candidate
    kind: CandidateKind
    allowed: bool
    """It stands on the trust list now, because no path leads to a root."""
    before: bool = False
    """It had been approved before."""
    warnings: tuple[str, ...] = ()
    """What the administrator must know of it, one sentence each."""


class CandidateDesk:
    """The desk. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def rows(self, *, state: str = "pending", limit: int = 1000, offset: int = 0) -> list[CandidateRow]:
        """Candidates in one state (empty: any), the newest first."""
        moment = self._clock.now()
        with self._registry.transaction(write=False) as live:
            anchors = anchors_in(live)
            found = live.candidates.rows(state=state, limit=limit, offset=offset)
            return [CandidateRow(one, _verdict(one, one.kind, anchors, moment)) for one in found]

    def approve(
        self, thumbprint: str, comparison: Comparison, actor: str, *, owner: str = "", kind: CandidateKind | None = None
    ) -> Approved:
        """Put a candidate in force beside what its owner has. Raises UserError, and nothing is changed: for an
        unknown or ambiguous beginning, a thumbprint that differs, a certificate that cannot be used.

        kind: `domain` lets it stand for the whole domain of its owner, `person` for the owner alone; None: as it came.
        """
        moment = self._clock.now()
        with self._registry.transaction(write=True) as live:
            candidate = _one(live, thumbprint, owner)
            _require_same(comparison.groups, candidate.certificate.thumbprint)
            wanted = kind or candidate.kind
            view = live.view()
            if candidate.owner.rpartition("@")[2] in view.managed:
                raise UserError(f"{candidate.owner} is ours; its keys are made or imported here, never taken from mail")
            verdict = _verdict(candidate, wanted, anchors_in(live, view, mail_will_ask=True), moment)
            if not verdict.usable and verdict.reason is not Reason.CERTIFICATE_UNTRUSTED:
                raise UserError(f"it could not be used: {verdict.reason}: {verdict.detail}")
            _put_in_force(live, candidate, wanted, view)
            allowed = not verdict.usable
            if allowed:
                note = comparison.note or f"approved by {actor}, {rfc3339(moment)}; {candidate.evidence}"
                live.put_trust(TrustEntry(candidate.certificate.thumbprint, "allow", note=note[:500]))
            check = ThumbprintCheck(
                candidate.certificate.thumbprint,
                moment,
                actor,
                comparison.method,
                comparison.person or "not said",
                comparison.note,
            )
            live.checks.put(check)
            live.candidates.set_state(candidate.owner, candidate.certificate.thumbprint, "approved")
            live.audit(actor, "candidate-approve", f"{candidate.owner} {candidate.certificate.thumbprint} as {wanted}")
        domain = candidate.owner.rpartition("@")[2]
        warnings = foreign_names([candidate.certificate], domain) if wanted == "domain" else []
        return Approved(candidate, wanted, allowed, candidate.state == "approved", tuple(warnings))

    def reject(self, thumbprint: str, actor: str, *, owner: str = "") -> Candidate:
        """Never ask about this certificate for this owner again; who sends it again does not bring it back."""
        with self._registry.transaction(write=True) as live:
            candidate = _one(live, thumbprint, owner)
            if candidate.state == "approved":
                raise UserError(
                    f"{candidate.certificate.thumbprint} is in force; take it away with: ime-gateway trust deny"
                )
            live.candidates.set_state(candidate.owner, candidate.certificate.thumbprint, "rejected")
            live.audit(actor, "candidate-reject", f"{candidate.owner} {candidate.certificate.thumbprint}")
        return candidate


def _require_same(heard: str, thumbprint: str) -> None:
    """Raises UserError that names the groups of four digits that differ."""
    faults = differences(thumbprint, heard)
    if faults:
        raise UserError(
            f"this is not the thumbprint that the owner read: {'; '.join(faults)}. Nothing was changed; compare again,"
            " and if it still differs this is not their certificate: ime-gateway cert reject"
        )


def candidate_json(row: CandidateRow) -> dict[str, object]:
    """One row of `cert candidates --json`."""
    candidate = row.candidate
    return (
        certificate_json(candidate.certificate)
        | {
            "owner": candidate.owner,
            "kind": candidate.kind,
            "state": candidate.state,
            "origin": candidate.origin,
            "sender": candidate.sender,
            "message_id": candidate.message_id,
            "evidence": candidate.evidence,
            "at": rfc3339(candidate.at),
            "thumbprint_groups": groups(candidate.certificate.thumbprint),
        }
        | verdict_json(row.verdict)
    )


def _verdict(candidate: Candidate, kind: CandidateKind, anchors: Anchors, moment: float) -> Verdict:
    return judge(candidate.certificate, anchors, moment, "domain" if kind == "domain" else "personal")


def _put_in_force(live: RegistryTransaction, candidate: Candidate, kind: CandidateKind, view: SiteView) -> None:
    if kind == "person":
        if "@" not in candidate.owner:
            raise UserError(f"{candidate.owner} is a domain; approve it for the domain (--as domain)")
        live.put_certificate(candidate.certificate, (parse_path(candidate.owner).key,), None)
        return
    name = candidate.owner.rpartition("@")[2]
    partner = view.partners.get(name)
    if partner is None:
        raise UserError(
            f"{name} is no partner domain yet, so nothing can stand for it; first: ime-gateway domain add {name}"
        )
    known = view.domain_certificates.get(name, ())
    if candidate.certificate not in known:
        live.put_partner_domain(partner, (candidate.certificate, *known))


def _one(live: RegistryTransaction, thumbprint: str, owner: str) -> Candidate:
    digits = thumbprint_digits(thumbprint)
    if not set(digits) <= set("0123456789abcdef") or not _SHORTEST_BEGINNING <= len(digits) <= 64:
        raise UserError(f"{thumbprint!r} is no thumbprint; give it, or at least its first {_SHORTEST_BEGINNING} digits")
    found = live.candidates.rows(owner=owner.strip().lower(), thumbprint=f"sha256:{digits}", limit=10)
    if not found:
        raise UserError("no candidate has such a thumbprint; see: ime-gateway cert candidates --all")
    if len({one.certificate.thumbprint for one in found}) > 1:
        raise UserError(f"several candidates begin with {thumbprint}; give more digits")
    if len(found) > 1:
        owners = ", ".join(one.owner for one in found)
        raise UserError(f"it was brought for several owners ({owners}); say which: --owner OWNER")
    return found[0]
