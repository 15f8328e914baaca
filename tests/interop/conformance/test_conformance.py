"""Every case of others' conformance data, and the page that tells of them (docs/conformance.md).

`make conformance` (WRITE_CONFORMANCE=1) writes the page; without it, a page that says something else fails.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.interop.conformance import (
    suite_asn1crypto,
    suite_gnupg,
    suite_openssl_certs,
    suite_pkits,
    suite_pqc,
    suite_rfc4134,
    suite_rfc9216,
    suite_rfc9788,
    suite_thunderbird,
    suite_wycheproof,
)
from tests.interop.conformance.judging import PASSED, Case, Excuse, Outcome
from tests.interop.conformance.table import TABLE, render
from tests.vectors import vectors_folder

SUITES = (
    suite_rfc4134, suite_rfc9216, suite_rfc9788, suite_thunderbird, suite_asn1crypto,
    suite_gnupg, suite_openssl_certs, suite_pqc, suite_wycheproof, suite_pkits,
)  # fmt: skip
pytestmark = pytest.mark.xdist_group("conformance")


@cache
def all_cases() -> tuple[Case, ...]:
    folder = vectors_folder()
    return tuple(case for suite in SUITES for case in suite.cases(folder)) if folder.is_dir() else ()


@cache
def outcome_of(case: Case) -> Outcome:
    """Each case runs once, for its own test and for the table."""
    return case.outcome()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        missing = pytest.param(None, id="no-data", marks=pytest.mark.skip(f"no conformance data at {vectors_folder()}"))
        metafunc.parametrize("case", [pytest.param(case, id=case.id) for case in all_cases()] or [missing])


def test_case(case: Case) -> None:
    outcome_of(case)


def test_the_page_says_what_was_found(vectors: Path) -> None:
    page = render({case: outcome_of(case) for case in all_cases()})
    if os.environ.get("WRITE_CONFORMANCE"):
        TABLE.write_text(page, encoding="utf-8")
    assert TABLE.read_text(encoding="utf-8") == page, "run `make conformance` and look at the difference"


def test_cases_have_names_of_their_own(vectors: Path) -> None:
    names = [case.id for case in all_cases()]
    assert len(set(names)) == len(names) > 400


def test_every_excuse_is_needed(vectors: Path) -> None:
    used = {reason for case in all_cases() for reason in outcome_of(case)}
    assert used - {PASSED} == set(Excuse)


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    yield
    outcome_of.cache_clear()
