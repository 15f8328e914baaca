"""Choice among several certificates of one person."""

import itertools

from ime_gateway.base.reasons import Reason
from ime_gateway.keys.choose import order
from ime_gateway.keys.usable import Verdict
from tests.pki import DAY, NOW, make_user

YES = Verdict(True, Reason.PERSONAL_CERTIFICATE, "", 0.0)
NO = Verdict(False, Reason.CERTIFICATE_EXPIRED, "", 0.0)


def test_usable_before_newest_before_longest_and_always_the_same() -> None:
    def made(start: int, end: int) -> object:
        return make_user("a@acme.example", not_before=NOW + start * DAY, not_after=NOW + end * DAY).certificate

    newest_unusable = (made(-1, 900), NO)
    newest_long, newest_short, old = (made(-2, 500), YES), (made(-2, 400), YES), (made(-300, 900), YES)
    old_unusable = (made(-900, -600), NO)
    expected = [newest_long, newest_short, old, newest_unusable, old_unusable]
    for shuffled in itertools.permutations(expected):
        assert order(shuffled) == expected  # type: ignore[arg-type]


def test_twins_are_ordered_alike_everywhere() -> None:
    twins = [(make_user("a@acme.example", not_before=NOW, not_after=NOW + DAY).certificate, YES) for _ in range(3)]
    first = order(twins)
    assert all(order(shuffled) == first for shuffled in itertools.permutations(twins))
    assert [one.thumbprint for one, _ in first] == sorted(one.thumbprint for one, _ in twins)
