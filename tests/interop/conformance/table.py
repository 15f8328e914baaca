"""docs/conformance.md, made from the outcomes of all cases; without dates, so that it changes only when they do."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.interop.conformance.judging import PASSED, Case, Outcome

TABLE = Path(__file__).resolve().parents[3] / "docs" / "conformance.md"
HEAD = """\
# Conformance
What others' test data says of our S/MIME, and where we differ and why. Written by `make conformance`; the tests run
every case again and fail when this page is not what they found.

A case *passes* when we answer as its makers say. It is *excused* when we refuse, cleanly and by name, what this version
does not do; where something is taken that its makers refuse (revocation, policies), the reason says so. No case fails.
The data are not part of this repository (tests/README.md).

| suite | cases | passed | excused |
|---|---:|---:|---:|
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
        + "\n\n## Excused, with the reason\n| reason | cases |\n|---|---|\n"
        + "\n".join(reasons)
        + "\n"
    )


def _row(name: str, outcome: Outcome) -> str:
    passed, total = outcome[PASSED], outcome.total()
    return f"| {name} | {total} | {passed} | {total - passed} |"


def _reason(reason: str, suites: Counter[str]) -> str:
    places: Iterable[str] = (f"{suite}: {count}" for suite, count in sorted(suites.items()))
    return f"| {reason} | {', '.join(places)} |"
