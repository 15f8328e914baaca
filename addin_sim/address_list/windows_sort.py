"""The order of the address list in Outlook, made by the client, because every directory server sorts in its own.

The add-in reads the list from its top at each start of Outlook, so the place of the IME contact decides how long
that takes; a name that begins with `_` stands before digits and letters (reference: the vendor's advice for the
contact). slapd compares code points and Samba puts `_` after letters, so nobody is asked to sort.

An approximation of Windows' word sort (CompareString, [MS-UCODEREF] section 3.1.5), by the order that Microsoft
publishes for its Office programs: punctuation, symbols, digits, letters; case and accents decide only between equal
names; hyphen and apostrophe do not count. Left out: contractions of single languages (Danish aa, Spanish ch), the
weights of scripts other than Latin (by code point), and a blank at the very front.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

_PUNCTUATION = ' !"#$%&()*,./:;?@[\\]^_`{|}~+<=>'
"""In this order."""

_NOT_COUNTED = "-'\u00ad\u2010\u2011"
"""Hyphens and the apostrophe: `co-op` stands beside `coop`."""

_FURTHER_PUNCTUATION = "¡¢£¤¥¦§©«¬®°±¶·»¿×÷‘’‚“”„†‡•‰‹›€–—"  # noqa: RUF001
"""None of which a server would compare as something else (an ellipsis would be three dots)."""

_WRITTEN_OUT = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "ħ": "h", "ŋ": "n"}
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Weights = tuple[tuple[int, int], ...]
SortKey = tuple[Weights, str, str, str, str]
"""What counts, accents, hyphens (a name with one comes after the same name without), case, the name itself."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the list, complete: every name that begins with one of `initials`; without any: all other names."""

    label: str
    initials: tuple[str, ...]


def sort_key(name: str) -> SortKey:
    """Sorts names as Windows does, nearly."""
    weights: list[tuple[int, int]] = []
    accents: list[str] = []
    hyphens: list[str] = []
    for character in unicodedata.normalize("NFKD", name.casefold()):
        if unicodedata.combining(character):
            accents.append(character)
        elif character in _NOT_COUNTED:
            hyphens.append(character)
        else:
            weights += [_weight(one) for one in _WRITTEN_OUT.get(character, character)]
    return tuple(weights), "".join(accents), "".join(hyphens), name.swapcase(), name


def stretch_of(name: str) -> str:
    """The label of the stretch that a name stands in."""
    weights = sort_key(name)[0]
    if not weights:
        return STRETCHES[0].label
    kind, value = weights[0]
    match kind:
        case 0 | 1:
            return STRETCHES[0].label
        case 2:
            return STRETCHES[1].label
        case 3:
            return chr(value)
        case _:
            return STRETCHES[-1].label


@cache
def _weight(character: str) -> tuple[int, int]:
    if (place := _PUNCTUATION.find(character)) >= 0:
        return 0, place
    if character.isdecimal():
        return 2, unicodedata.decimal(character)
    if character in _LETTERS:
        return 3, ord(character)
    if unicodedata.category(character)[0] in "PSZC":
        return 1, ord(character)
    return 4, ord(character)


def _stretches() -> Iterator[Stretch]:
    blank_last = (*_PUNCTUATION[1:], *_NOT_COUNTED[:2], *_FURTHER_PUNCTUATION)
    yield Stretch("punctuation", blank_last)
    yield Stretch("digits", tuple(_DIGITS))
    accented: dict[str, list[str]] = {letter: [letter] for letter in _LETTERS}
    for code in range(0xDF, 0x250):
        character = chr(code)
        if character == "ß" or (character.isalpha() and character.casefold() == character):
            first = _first_letter(character)
            if first in accented:
                accented[first].append(character)
    for letter, variants in accented.items():
        yield Stretch(letter, tuple(variants))
    yield Stretch("other letters", ())


def _first_letter(character: str) -> str:
    return chr(sort_key(character)[0][0][1]) if sort_key(character)[0] else ""


STRETCHES = tuple(_stretches())
"""The whole list, in its order."""
