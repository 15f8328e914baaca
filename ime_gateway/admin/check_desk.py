"""Comparing a thumbprint with its owner over another channel, and remembering who did it, how and when.

The one moment in which trust in a self-made certificate comes into being: the partner reads the digits aloud, the
administrator types what was heard, and what differs is named by its group. Years later the record says who it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.admin.domain_desk import check_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate, thumbprint_digits
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.directory import SiteView, TrustEntry
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.ports.thumbprint_checks import CheckMethod, ThumbprintCheck

_GROUP = 4
_LONGEST_PERSON = 200


@dataclass(frozen=True, slots=True)
class TrustFacts:
    """All that is known about why a certificate is believed or not."""

    thumbprint: str
    subject: str
    """Empty: the certificate itself is not stored."""
    used_by: tuple[str, ...]
    """Whose it is here, such as `partner partner.example`, `address a@x`, `root`; empty: nobody's."""
    entry: TrustEntry | None
    """Its line on the trust list."""
    checks: tuple[ThumbprintCheck, ...]
    """Newest first."""


class CheckDesk:
    """The desk of thumbprints. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def facts(self, thumbprint: str) -> TrustFacts:
        """What is known of a certificate by its whole thumbprint."""
        with self._registry.transaction(write=False) as live:
            view = live.view()
            subject, used_by = _owners(live, view, thumbprint)
            checks = tuple(live.checks.list(thumbprint))
            return TrustFacts(thumbprint, subject, used_by, view.trust.get(thumbprint), checks)

    def record(
        self, thumbprint: str, heard: str, *, person: str, method: CheckMethod, note: str, actor: str
    ) -> ThumbprintCheck:
        """Compare what was heard with the whole `thumbprint`, and record that it is the same. Raises UserError that
        names the groups that differ; then nothing is recorded."""
        person, note = person.strip(), note.strip()
        if not person:
            raise UserError("say with whom the thumbprint was compared: --with NAME")
        if len(person) > _LONGEST_PERSON or not (person + note).isprintable():
            raise UserError(f"--with and --note must be one line each, --with at most {_LONGEST_PERSON} characters")
        faults = differences(thumbprint, heard)
        if faults:
            raise UserError(
                f"the thumbprints are not the same: {'; '.join(faults)}. Nothing was recorded; let them read it again,"
                " and if it still differs do not use this certificate: ask them to send theirs"
            )
        check = ThumbprintCheck(thumbprint, self._clock.now(), actor, method, person, note)
        with self._registry.transaction(write=True) as live:
            if live.checks.put(check):
                live.audit(actor, "trust-verify", f"{thumbprint} {method} with {person}")
        return check


def differences(thumbprint: str, heard: str) -> list[str]:
    """What speaks against two spellings of a thumbprint being the same, one clause for each group of four digits that
    differs; none: they are the same. Blanks, colons and case do not count."""
    own, other = groups(thumbprint).split(), _heard_groups(heard)
    if not other:
        return ["nothing was given"]
    if len("".join(other)) != len("".join(own)):
        short = f"{len(''.join(other))} digits were given instead of {len(''.join(own))}"
        first = next((n for n, (a, b) in enumerate(zip(own, other, strict=False), 1) if a != b), len(other) + 1)
        return [f"{short}; look at group {min(first, len(own))}"]
    if all(mine != theirs for mine, theirs in zip(own, other, strict=True)):
        return [f"all {len(own)} groups differ: this is another certificate"]
    return [
        f"group {number} of {len(own)} is {mine} here, {theirs} was given"
        for number, (mine, theirs) in enumerate(zip(own, other, strict=True), 1)
        if mine != theirs
    ]


def trust_facts_json(facts: TrustFacts) -> dict[str, object]:
    """`trust show --json`."""
    entry = facts.entry
    return {
        "thumbprint": facts.thumbprint,
        "thumbprint_groups": groups(facts.thumbprint),
        "subject": facts.subject or None,
        "used_by": list(facts.used_by),
        "verdict": None if entry is None else entry.verdict,
        "allow_expired": entry is not None and entry.allow_expired,
        "note": "" if entry is None else entry.note,
        "checks": [check_json(check) for check in facts.checks],
    }


def _heard_groups(heard: str) -> list[str]:
    """Groups as they were given where each has four digits, else cut anew: a digit too few shows where it lacks."""
    digits = thumbprint_digits(heard.replace("-", " ")).upper()
    return [digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP)]


def _owners(live: RegistryTransaction, view: SiteView, thumbprint: str) -> tuple[str, tuple[str, ...]]:
    found: list[tuple[str, Certificate]] = [("root", one) for one in view.roots]
    found += [("CA", one) for one in view.intermediates]
    found += [("archive", one) for one in view.additional_certificates]
    for name, group in view.domain_certificates.items():
        found += [(f"{'managed' if name in view.managed else 'partner'} {name}", one) for one in group]
    found += [(f"domain key {key.domain} ({key.state})", key.certificate) for key in live.domain_keys.list()]
    found += [(f"IME key {key.domain}", key.certificate) for key in live.ime_keys()]
    stored = live.certificate(thumbprint)
    if stored is not None:
        found += [(f"address {address}", stored.certificate) for address in stored.addresses]
    mine: Sequence[tuple[str, Certificate]] = [(who, one) for who, one in found if one.thumbprint == thumbprint]
    subject = mine[0][1].subject if mine else stored.certificate.subject if stored else ""
    return subject, tuple(dict.fromkeys(who for who, _ in mine))
