"""Windows' order of names, as far as it is played: the vendor's advice about the leading `_` rests on it."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addin_sim.address_list.windows_sort import STRETCHES, sort_key, stretch_of

_PLACE = {stretch.label: place for place, stretch in enumerate(STRETCHES)}


def in_order(*names: str) -> list[str]:
    return sorted(names, key=sort_key)


@pytest.mark.parametrize(
    "names",
    [
        ["_IME", "1st floor", "Contact 059"],  # slapd puts digits first, Samba puts _ after letters
        ["(new)", "_IME", "~x", "+49", "0", "a"],
        ["Aegir", "Ægir", "Azra"],
        ["coop", "co-op", "coops"],
        ["ol", "Öl", "olaf"],
        ["strasse", "straße", "Strassen"],
        ["'t Hart", "Thea"],
        ["anna", "Anna", "ANNA", "Annabel"],
        ["zebra", "жук"],
    ],
    ids=str,
)  # fmt: skip
def test_the_order(names: list[str]) -> None:
    assert in_order(*reversed(names)) == names


def test_punctuation_digits_letters_other_scripts() -> None:
    assert in_order("жук", "b", "Ä", "7", "_", "#", "½") == ["#", "_", "½", "7", "Ä", "b", "жук"]


def test_a_digit_of_no_decimal_system_is_no_obstacle() -> None:
    assert in_order("፩", "b", "7", "٣") == ["٣", "7", "b", "፩"]


def test_case_and_accents_decide_only_between_equal_names() -> None:
    assert in_order("Zoë A", "zoe b", "Zoe", "zoe", "Zoë") == ["zoe", "Zoe", "Zoë", "Zoë A", "zoe b"]


def test_hyphen_and_apostrophe_do_not_count() -> None:
    assert in_order("cop", "co-op", "coon") == ["coon", "co-op", "cop"]
    assert stretch_of("'t Hart") == stretch_of("-Tom") == "t"


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_stretches_follow_the_order(one: str, other: str) -> None:
    if _PLACE[stretch_of(one)] < _PLACE[stretch_of(other)]:
        assert sort_key(one) < sort_key(other)


def test_every_initial_is_asked_for_in_one_stretch_only() -> None:
    initials = [initial for stretch in STRETCHES for initial in stretch.initials]
    assert len(initials) == len(set(initials))
    assert not STRETCHES[-1].initials


@pytest.mark.parametrize("stretch", STRETCHES, ids=lambda stretch: stretch.label)
def test_a_server_that_normalises_finds_no_more_than_the_initial(stretch: object) -> None:
    for initial in getattr(stretch, "initials"):  # noqa: B009
        if getattr(stretch, "label") == "punctuation":  # noqa: B009
            assert unicodedata.normalize("NFKC", initial) == initial
        elif initial.isalpha():
            assert stretch_of(initial) == getattr(stretch, "label")  # noqa: B009
