"""Verdicts on certificates, each made once and kept for as long as it holds.

Judging costs a path and the look into a list, which is too much for every recipient of every message; so a verdict is
kept until time, what is learnt about revocations, or an administrator's change could turn it: a denied certificate is
dead with the next generation of live data. What must be asked of the network is asked for a whole message at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.revocation import Link
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import Kind, Verdict, judge
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.ports.directory import SiteView

_MAX_VERDICTS = 50_000


@dataclass(frozen=True, slots=True)
class Judging:
    """Verdicts of one generation of live data. Whoever holds it judges by that generation to the end, whatever other
    messages, older or newer, bring meanwhile: else a certificate that is denied by now would come back to life."""

    generation: int
    anchors: Anchors
    kept: dict[tuple[str, Kind], Verdict] = field(default_factory=dict, repr=False)

    def verdict(self, certificate: Certificate, kind: Kind, moment: float) -> Verdict:
        """Asks nobody: what was not prepared is judged by what is known."""
        found = self.kept.get((certificate.thumbprint, kind))
        if found is None or moment >= found.valid_until:
            found = judge(certificate, self.anchors, moment, kind)
            self.keep(certificate, kind, found)
        return found

    def keep(self, certificate: Certificate, kind: Kind, verdict: Verdict) -> None:
        """Remember a verdict, for other messages too."""
        if len(self.kept) > _MAX_VERDICTS:
            self.kept.clear()
        self.kept[certificate.thumbprint, kind] = verdict


class Verdicts:
    """Of one worker; one event loop uses it."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._judging = Judging(-1, Anchors(()))

    async def prepare(self, asked: Iterable[tuple[Certificate, Kind]], view: SiteView, moment: float) -> Judging:
        """Judge these certificates as of `view` and `moment` (seconds since 1970 UTC), asking the network where policy
        wants it. Raises StoreUnavailable; cancelled at any point, it has kept what it learnt."""
        judging = self._judging
        if view.generation != judging.generation:
            judging = self._judging = Judging(view.generation, await self._revocations.anchors(view))
        open_ones: list[tuple[Certificate, Kind]] = []
        links: list[Link] = []
        for certificate, kind in asked:
            kept = judging.kept.get((certificate.thumbprint, kind))
            if kept is not None and moment < kept.valid_until:
                continue
            verdict = judge(certificate, judging.anchors, moment, kind)
            if verdict.unasked:
                open_ones.append((certificate, kind))
                links.extend(verdict.unasked)
            else:
                judging.keep(certificate, kind, verdict)
        if links:
            await self._revocations.learn(links, judging.anchors, moment)
        for certificate, kind in open_ones:
            judging.keep(certificate, kind, judge(certificate, judging.anchors, moment, kind))
        return judging
