"""Verdicts on certificates, each made once and kept for as long as it holds.

Judging costs a path and the look into a list, which is too much for every recipient of every message; so a verdict is
kept until time, what is learnt about revocations, or an administrator's change could turn it: a denied certificate is
dead with the next generation of live data. What must be asked of the network is asked for a whole message at once.
"""

from collections.abc import Iterable

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.revocation import Link
from ime_gateway.certs.trust import Anchors
from ime_gateway.keys.usable import Kind, Verdict, judge
from ime_gateway.pipeline.revocation import Revocations
from ime_gateway.ports.directory import SiteView

_MAX_VERDICTS = 50_000


class Verdicts:
    """Of one worker; one event loop uses it."""

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations
        self._generation = -1
        self._anchors = Anchors(())
        self._kept: dict[tuple[str, Kind], Verdict] = {}

    async def prepare(self, asked: Iterable[tuple[Certificate, Kind]], view: SiteView, moment: float) -> None:
        """Judge these certificates as of `view` and `moment` (seconds since 1970 UTC), asking the network where policy
        wants it. Raises StoreUnavailable; cancelled at any point, it has kept what it learnt."""
        if view.generation != self._generation:
            self._anchors = await self._revocations.anchors(view)
            self._generation = view.generation
            self._kept.clear()
        open_ones: list[tuple[Certificate, Kind]] = []
        links: list[Link] = []
        for certificate, kind in asked:
            kept = self._kept.get((certificate.thumbprint, kind))
            if kept is not None and moment < kept.valid_until:
                continue
            verdict = judge(certificate, self._anchors, moment, kind)
            if verdict.unasked:
                open_ones.append((certificate, kind))
                links.extend(verdict.unasked)
            else:
                self._keep(certificate, kind, verdict)
        if links:
            await self._revocations.learn(links, self._anchors, moment)
        for certificate, kind in open_ones:
            self._keep(certificate, kind, judge(certificate, self._anchors, moment, kind))

    def verdict(self, certificate: Certificate, kind: Kind, moment: float) -> Verdict:
        """The verdict of the generation that was prepared last; it asks nobody, and what was not prepared is judged by
        what is known."""
        kept = self._kept.get((certificate.thumbprint, kind))
        if kept is None or moment >= kept.valid_until:
            kept = judge(certificate, self._anchors, moment, kind)
            self._keep(certificate, kind, kept)
        return kept

    def _keep(self, certificate: Certificate, kind: Kind, verdict: Verdict) -> None:
        if len(self._kept) > _MAX_VERDICTS:
            self._kept.clear()
        self._kept[certificate.thumbprint, kind] = verdict
