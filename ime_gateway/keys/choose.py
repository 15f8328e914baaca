"""Choose among a recipient's certificates the one to encrypt with.

People have several: last year's, this year's, one from another CA. The newest usable one is the one
that their mail program has for sure; encrypting to all of them would only keep old keys alive.
"""

from collections.abc import Iterable

from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Verdict

Judged = tuple[Certificate, Verdict]


def order(candidates: Iterable[Judged], preferred: str = "") -> list[Judged]:
    """Best first: usable before unusable, then the preferred, then the newest start, then the latest end.

    preferred: thumbprint of the one that its owner asked for (RFC 8551 section 2.5.3); it makes nothing usable.

    The first unusable one, when none is usable, carries the reason worth showing: that of the newest
    certificate. Equal ones are ordered by thumbprint, so that every worker chooses alike.
    """
    return sorted(candidates, key=lambda judged: _rank(judged, preferred))


def _rank(judged: Judged, preferred: str) -> tuple[bool, bool, float, float, str]:
    certificate, verdict = judged
    asked_for = verdict.usable and certificate.thumbprint == preferred
    return not verdict.usable, not asked_for, -certificate.not_before, -certificate.not_after, certificate.thumbprint
