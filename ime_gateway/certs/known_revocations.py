"""What is known about revocations: stored answers in the form in which they can be asked, and a book out of them.

Mail, `cert check` and every listing judge by this one book, so that they say the same of a certificate. A verdict must
cost microseconds, so lists are parsed and indexed once and kept, the least used going first. Every few minutes what is
kept counts as unasked again: then the store is looked at, where another worker may have put a newer list.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.crl import Crl, crl_finding
from ime_gateway.certs.fault import timestamp
from ime_gateway.certs.ocsp import OcspAnswer, question_name
from ime_gateway.certs.revocation import Finding, Link, RevocationMode, combined, sources

RECHECK_SECONDS: Final = 600.0
"""How long an answer is used before the store is asked whether there is a newer one."""
RETRY_SECONDS: Final = 120.0
"""How long after an attempt that brought nothing useful the network is left alone."""
PENDING_SECONDS: Final = 30.0
"""How long a verdict holds while an answer is on its way."""
_KEPT_BYTES = 67_108_864
_KEPT_ANSWERS = 50_000
_ANSWER_BYTES = 4096
"""What an OCSP answer, or the memory of a failure, counts."""

AnswerKind = Literal["crl", "ocsp"]


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The newest usable answer of one source, and how the last attempt to get a newer one ended."""

    kind: AnswerKind
    name: str
    """The URL of a CRL, or the question to a responder (`certs.ocsp.question_name`)."""
    der: bytes | None = field(default=None, repr=False)
    """As it came; None: none came yet."""
    fetched_at: float | None = None
    """When it came, seconds since 1970 UTC."""
    next_update: float | None = None
    """When a newer one should be there, seconds since 1970 UTC."""
    tried_at: float = 0.0
    """When the last attempt ended, seconds since 1970 UTC."""
    fault: str = ""
    """Why the last attempt brought nothing; empty: it did."""
    wanted_at: float = 0.0
    """When mail last asked for it (to the day), seconds since 1970 UTC: what nobody wants is not renewed."""


@dataclass(frozen=True, slots=True)
class OwnAuthorities:
    """What our own CAs say, without any network."""

    authorities: frozenset[str] = frozenset()
    """Thumbprints of our own CA certificates."""
    revoked: Mapping[tuple[str, int], tuple[float, str]] = field(default_factory=dict)
    """By thumbprint of the CA and serial number: since when (seconds since 1970 UTC) and for which reason (the word of
    RFC 5280 section 5.3.1)."""


@dataclass(frozen=True, slots=True)
class Held:
    """One source as this worker knows it."""

    row: StoredAnswer
    checked_at: float
    """When the store, or the network, was asked for it, seconds since 1970 UTC."""
    crl: Crl | None = None
    answer: OcspAnswer | None = None

    def is_fresh(self, moment: float) -> bool:
        """Whether it may be used without looking into the store again; a clock that was set back starts anew."""
        return abs(moment - self.checked_at) < RECHECK_SECONDS

    def may_be_tried(self, moment: float) -> bool:
        """Whether the network may be asked: not right after an attempt."""
        return abs(moment - self.row.tried_at) >= RETRY_SECONDS

    def should_be_renewed(self, moment: float) -> bool:
        """Half of its life is over."""
        row = self.row
        if row.der is None or row.fetched_at is None or row.next_update is None:
            return False
        return moment >= row.fetched_at + (row.next_update - row.fetched_at) / 2


def held_answer(row: StoredAnswer, moment: float) -> Held:
    """A stored answer, looked up at `moment` (seconds since 1970 UTC), in the form that can be asked; one that cannot
    be read any more counts as none."""
    if row.der is None:
        return Held(row, moment)
    try:
        if row.kind == "crl":
            return Held(row, moment, crl=Crl.read(row.der))
        return Held(row, moment, answer=OcspAnswer.read(row.der))
    except UnreadableCertificate as error:
        return Held(replace(row, der=None, fault=str(error)), moment)


def answer_keys(link: Link) -> list[tuple[AnswerKind, str]]:
    """Kind and name of every stored answer that could tell about a link."""
    found = sources(link.certificate)
    keys: list[tuple[AnswerKind, str]] = [("crl", url) for url in found.crls]
    return [*keys, ("ocsp", question_name(link))] if found.responders else keys


class RevocationMemory:
    """Held answers by kind and name, within a limit of octets."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._limit = kept_bytes
        self._held: dict[tuple[AnswerKind, str], Held] = {}
        self._bytes = 0

    def get(self, kind: AnswerKind, name: str) -> Held | None:
        """What is held under a name."""
        return self._held.get((kind, name))

    def put(self, held: Held) -> None:
        """Hold an answer; the ones that were held longest give way."""
        key = (held.row.kind, held.row.name)
        before = self._held.pop(key, None)
        self._bytes += _size(held) - (_size(before) if before else 0)
        self._held[key] = held
        while len(self._held) > 1 and (self._bytes > self._limit or len(self._held) > _KEPT_ANSWERS):
            self._bytes -= _size(self._held.pop(next(iter(self._held))))


def _fault(row: StoredAnswer) -> str:
    """Why asking failed, with whom was asked; OCSP responders are named in the fault itself."""
    return f"{row.name}: {row.fault}" if row.kind == "crl" else row.fault


def _size(held: Held) -> int:
    return (held.crl.size if held.crl is not None else 0) + _ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class KnownRevocations:
    """The RevocationBook of mail: what is in memory, judged by the policy of one generation of live data."""

    mode: RevocationMode
    stale_seconds: float
    """How long after its next update an answer still counts."""
    memory: RevocationMemory
    own: OwnAuthorities = field(default_factory=OwnAuthorities)

    def finding(self, link: Link, moment: float) -> Finding:
        """What is known about a link at `moment` (seconds since 1970 UTC)."""
        if link.issuer.thumbprint in self.own.authorities:
            return self._own_finding(link)
        found = sources(link.certificate)
        if not found.crls and not found.responders:
            words = "it names neither a CRL nor an OCSP responder that could be asked"
            return Finding("unknown", words, link.certificate.not_after)
        parts = []
        if found.crls:
            parts.append(self._by_crl(link, [self.memory.get("crl", url) for url in found.crls], moment))
        if found.responders:
            parts.append(self._by_ocsp(link, self.memory.get("ocsp", question_name(link)), moment))
        return combined(parts)

    def _own_finding(self, link: Link) -> Finding:
        since = self.own.revoked.get((link.issuer.thumbprint, link.certificate.serial))
        if since is None:
            return Finding("good", "our own CA has not revoked it", float("inf"))
        at, reason = since
        return Finding("revoked", f"our own CA revoked it {timestamp(at)}, {reason or 'unspecified'}", float("inf"))

    def _by_crl(self, link: Link, held: Sequence[Held | None], moment: float) -> Finding:
        fresh = [one for one in held if one is not None and one.is_fresh(moment)]
        lists = [one.crl for one in fresh if one.crl is not None]
        finding = crl_finding(link, lists, moment, self.stale_seconds)
        return self._settled(finding, fresh, len(fresh) < len(held), moment)

    def _by_ocsp(self, link: Link, held: Held | None, moment: float) -> Finding:
        if held is None or not held.is_fresh(moment):
            return self._settled(Finding("unknown", "not asked yet", moment), [], True, moment)
        finding = Finding("unknown", "no OCSP answer", moment)
        if held.answer is not None:
            finding = held.answer.finding(link, moment, self.stale_seconds)
        return self._settled(finding, [held], False, moment)

    def _settled(self, finding: Finding, held: Sequence[Held], missing: bool, moment: float) -> Finding:
        """The finding with its time and, where nothing is known, why; unasked if asking could help."""
        if finding.state != "unknown":
            until = min(finding.until, *(one.checked_at + RECHECK_SECONDS for one in held))
            return Finding(finding.state, finding.detail, until)
        faults = dict.fromkeys(_fault(one.row) for one in held if one.row.fault)
        if missing or any(one.may_be_tried(moment) for one in held):
            return Finding("unasked", "; ".join(["no answer yet", *faults]), moment + PENDING_SECONDS)
        words = "; ".join([finding.detail, *faults])
        return Finding("unknown", words, moment + PENDING_SECONDS)
