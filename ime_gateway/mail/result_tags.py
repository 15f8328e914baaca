"""Tags at the end of the subject, such as [secure], by which readers know what the gateway found; only ours may stand.

An outsider who writes one into the subject would borrow the gateway's word (threats C and 59). So forged ones are taken
out however they are written: in encoded words (RFC 2047) of any charset, in letters and brackets that only look like
those of the tag, with invisible characters inside, or so that the rest of a removed one makes another. What turns the
direction of letters goes, too: it shows a text backwards, a forged tag as well as ours behind it.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from ime_gateway.mail.headers import Field, HeaderBlock, decode_words, make_field, without_controls

_SHOWN_AS_SUBJECT: Final = frozenset(("subject", "thread-topic"))
"""Outlook shows the topic of a conversation in the place of its subject."""
_LOOKALIKES: Final = str.maketrans(
    {
        **dict.fromkeys("\u0430\u0251\u03b1", "a"),
        **dict.fromkeys("\u0435\u0454\u04bd\u03b5", "e"),
        **dict.fromkeys("\u043e\u03bf\u03c3\u05850", "o"),
        **dict.fromkeys("\u0441\u03f2\u217d", "c"),
        **dict.fromkeys("\u0455\ua7315$", "s"),
        **dict.fromkeys("\u0440\u03c1", "p"),
        **dict.fromkeys("\u0501\u0257", "d"),
        **dict.fromkeys("\u0578\u043f\u03b7\u0274", "n"),
        **dict.fromkeys("\u0261\u0581\u01e5", "g"),
        **dict.fromkeys("\u03c5\u057d\u0446\u028b\u03bc", "u"),
        **dict.fromkeys("\u0433\u0280", "r"),
        **dict.fromkeys("\u03bd\u0475\u1d20", "v"),
        **dict.fromkeys("\u03ba\u043a\u0138\u1d0b", "k"),
        **dict.fromkeys("\u0443\u04af\u03b3", "y"),
        **dict.fromkeys("\u0442\u03c4\u1d1b", "t"),
        **dict.fromkeys("\u04bb\u0570", "h"),
        **dict.fromkeys("\u0185\u042c", "b"),
        **dict.fromkeys("\u0456\u03b9\u0269\u0131\u04cf\u026al1|!\u01c0", "i"),
        **dict.fromkeys(
            "\u3010\u3014\u3016\u27e6\u2772\u298b\u2045\u2308\u230a\u23a1\u23a3\u300c\u300e\u3018\u301a", "["
        ),
        **dict.fromkeys(
            "\u3011\u3015\u3017\u27e7\u2773\u298c\u2046\u2309\u230b\u23a4\u23a6\u300d\u300f\u3019\u301b", "]"
        ),
    }
)
"""Characters that readers take for those of a tag; the tag itself goes through the same table."""
_IGNORED: Final = frozenset(("Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp", "Cn", "Co"))
"""Blanks, invisible characters and marks on top of letters."""
_FILLERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that show nothing."""
_OVERRIDES: Final = str.maketrans("", "", "\u202d\u202e")
"""LRO and RLO of UAX 9: no language is written with them; the marks and isolates of Arabic and Hebrew stay."""
_BLANK = re.compile(r"[\x00-\x20\x7f]+")
_LINE = 78
_LONGEST_LINE = 998


def without_tags(headers: HeaderBlock, tags: Sequence[str]) -> HeaderBlock:
    """The header without any of `tags` in what is shown as the subject; the block itself when none is there.

    Removed until none is left, in time linear in the subject. A field in which one stood is written anew.
    """
    patterns = tuple(dict.fromkeys(pattern for tag in tags if (pattern := _skeleton(tag))))
    if not patterns:
        return headers
    fields = [_cleaned(field, patterns) if field.key in _SHOWN_AS_SUBJECT else field for field in headers.fields]
    return headers if fields == list(headers.fields) else HeaderBlock(fields)


def with_tags(headers: HeaderBlock, tags: Sequence[str]) -> HeaderBlock:
    """The header with `tags` after the subject, whose own octets stay; of several subjects only the first is left."""
    words = " ".join(tag for tag in (without_controls(tag).strip() for tag in tags) if tag)
    if not words:
        return headers
    old = headers.first("subject")
    if old is None:
        return headers.append(make_field("Subject", words))
    start = old.raw.rstrip(b" \t\r\n")
    last = len(start) - (start.rfind(b"\n") + 1)
    if not words.isascii() or "=?" in words or last + len(words) + 1 > _LONGEST_LINE:
        return headers.replace("Subject", make_field("Subject", f"{without_controls(decode_words(old.text))} {words}"))
    fold = b" " if last + len(words) + 1 <= _LINE else b"\r\n "
    return headers.replace("Subject", Field(old.name, start + fold + words.encode("ascii") + b"\r\n"))


def same_subject(one: str, other: str, tags: Sequence[str]) -> bool:
    """Whether two subjects say the same to a reader, blanks, tags and the way they are encoded apart."""
    patterns = tuple(pattern for tag in tags if (pattern := _skeleton(tag)))
    bare = [" ".join(_without(decode_words(text), patterns).split()) for text in (one, other)]
    return bare[0] == bare[1]


def _cleaned(field: Field, patterns: Sequence[str]) -> Field:
    for text in dict.fromkeys((decode_words(field.text), decode_words(field.text, guess=True))):
        rest = _without(text.translate(_OVERRIDES), patterns)
        if rest != text:
            return make_field(field.name, without_controls(" ".join(rest.split())))
    return field


def _without(text: str, patterns: Sequence[str]) -> str:
    """Text without the patterns: each character is put on a pile, and a pattern on top of it is taken off, so that
    what stood before and behind it is looked at together."""
    looked = _skeleton(text)
    if not any(pattern in looked for pattern in patterns):
        return text  # nearly every subject
    pile: list[str] = []
    looks: list[str] = []
    """What the characters on the pile look like, one letter each."""
    places: list[int] = []
    """For each of `looks`, where its character lies on the pile."""
    ends = {pattern[-1] for pattern in patterns}
    for character in text:
        pile.append(character)
        for look in _look(character):
            looks.append(look)
            places.append(len(pile) - 1)
            if look in ends:
                _take_off(pile, looks, places, patterns)
    return "".join(pile)


def _take_off(pile: list[str], looks: list[str], places: list[int], patterns: Sequence[str]) -> None:
    for pattern in patterns:
        size = len(pattern)
        if len(looks) >= size and "".join(looks[-size:]) == pattern:
            del pile[places[-size] :]
            del looks[-size:], places[-size:]
            return


def _skeleton(text: str) -> str:
    """What a text looks like: without blanks, case and everything invisible."""
    if text.isascii():
        return _BLANK.sub("", text.lower().translate(_LOOKALIKES))
    return "".join(look for character in text for look in _look(character))


def _look(character: str) -> str:
    if character.isascii():
        return "" if character <= " " or character == "\x7f" else character.lower().translate(_LOOKALIKES)
    plain = unicodedata.normalize("NFKD", character).casefold().translate(_LOOKALIKES)
    return "".join(c.lower() for c in plain if _is_visible(c))


def _is_visible(character: str) -> bool:
    return not (character.isspace() or character in _FILLERS or unicodedata.category(character) in _IGNORED)
