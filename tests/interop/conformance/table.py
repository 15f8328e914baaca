"""docs/conformance.md, made from the outcomes of all cases; without dates, so that it changes only when they do."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.interop.conformance.judging import PASSED, TAKEN, Case, Outcome

TABLE = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
HEAD = """\
# Conformance
What others' test data says of our S/MIME, and where we differ and why. Written by `make conformance`; the tests run
every case again and fail when this page is not what they found.

A case *passes* when we answer as its makers say. It is *refused, excused* when we refuse, cleanly and by name, what
this version does not do. It is *taken, though refused by its makers* where we believe what they do not: no pass either.
Every case that does not pass has its reason below; no case comes out otherwise than this page says.
The data are not part of this repository; tests/README.md says where they come from.

| suite | cases | passed | refused, excused | taken, though refused by its makers |
|---|---:|---:|---:|---:|
"""


def render(outcomes: Mapping[Case, Outcome]) -> str:
    """The page."""
    suites: dict[str, Outcome] = {}
    where: dict[str, Counter[str]] = {}
    for case, outcome in outcomes.items():
        suites.setdefault(case.suite, Counter()).update(outcome)
        for reason, count in outcome.items():
            if reason != PASSED:
                where.setdefault(reason, Counter())[case.suite] += count
    lines = [_row(name, outcome) for name, outcome in sorted(suites.items())]
    lines.append(_row("**all**", sum(suites.values(), Counter())))
    reasons = [_reason(reason, where[reason]) for reason in sorted(where)]
    return (
        HEAD
        + "\n".join(lines)
        + "\n\n## Not passed, with the reason\n| reason | cases |\n|---|---|\n"
        + "\n".join(reasons)
        + "\n"
    )


def _row(name: str, outcome: Outcome) -> str:
    passed, total = outcome[PASSED], outcome.total()
    taken = sum(outcome[reason] for reason in TAKEN)
    return f"| {name} | {total} | {passed} | {total - passed - taken} | {taken} |"


def _reason(reason: str, suites: Counter[str]) -> str:
    places: Iterable[str] = (f"{suite}: {count}" for suite, count in sorted(suites.items()))
    return f"| {reason} | {', '.join(places)} |"
