"""Choose among a recipient's certificates the one to encrypt with.

People have several: last year's, this year's, one from another CA. The newest usable one is the one
that their mail program has for sure; encrypting to all of them would only keep old keys alive.
"""

from collections.abc import Iterable

from ime_gateway.certs.certificate import Certificate
from ime_gateway.keys.usable import Verdict

Judged = tuple[Certificate, Verdict]


def order(candidates: Iterable[Judged]) -> list[Judged]:
    """Best first: usable before unusable, then the newest start, then the latest end.

    The first unusable one, when none is usable, carries the reason worth showing: that of the newest
    certificate. Equal ones are ordered by thumbprint, so that every worker chooses alike.
    """
    return sorted(candidates, key=_rank)


def _rank(judged: Judged) -> tuple[bool, float, float, str]:
    certificate, verdict = judged
    return not verdict.usable, -certificate.not_before, -certificate.not_after, certificate.thumbprint
