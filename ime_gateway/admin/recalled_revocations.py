"""What the store knows about revocations, for the verdicts that administrators see.

Listings must say of a certificate what mail says of it (P4), and must not ask the network: so they judge by the book of
mail, whose answers are read out of the transaction one by one, as a verdict needs them.
"""

from ime_gateway.certs.known_revocations import (
    KnownRevocations,
    OwnAuthorities,
    RevocationMemory,
    StoredAnswer,
    answer_keys,
    held_answer,
)
from ime_gateway.certs.revocation import Finding, Link, RevocationMode
from ime_gateway.ports.registry import RegistryTransaction
from ime_gateway.settings.site import Policy


class RecalledRevocations:
    """The RevocationBook of one open transaction; useless once that is closed."""

    def __init__(self, live: RegistryTransaction, policy: Policy, *, mail_will_ask: bool = False) -> None:
        """mail_will_ask: what nobody was asked about yet counts as good. With `hard-fail` it would else look as if
        mail were refused, when the first mail will ask."""
        self._mail_will_ask = mail_will_ask
        self._stored = live.revocations
        self._memory = RevocationMemory()
        self._known = KnownRevocations(
            policy.revocation,
            policy.revocation_stale_hours * 3600,
            self._memory,
            OwnAuthorities() if policy.revocation == "off" else live.revocations.own_authorities(),
        )

    @property
    def mode(self) -> RevocationMode:
        """As policy wants it."""
        return self._known.mode

    def finding(self, link: Link, moment: float) -> Finding:
        """What mail knows about a link at `moment` (seconds since 1970 UTC). May raise StoreUnavailable."""
        if link.issuer.thumbprint not in self._known.own.authorities:
            for kind, name in answer_keys(link):
                held = self._memory.get(kind, name)
                if held is None or not held.is_fresh(moment):
                    row = self._stored.answers(kind, [name]).get(name) or StoredAnswer(kind, name)
                    self._memory.put(held_answer(row, moment))
        finding = self._known.finding(link, moment)
        if finding.state == "unasked" and self._mail_will_ask:
            return Finding("good", "not asked yet", finding.until)
        return finding
