"""What a header line pretends to be: the name that a careless program would read in it.

RFC 5322 section 2.2 allows printable ASCII in field names and nothing before or inside them.
Programs are laxer than that (they trim, decode, ignore), and an attacker picks the laxest one.
"""

import re
import unicodedata

from ime_gateway.mail.encoded_words import decode_words

_LONGEST_NAME = 200


def apparent_name(raw: bytes) -> str:
    """The name in a raw header line, lower case, without blanks, controls and invisible characters.

    Letters beyond ASCII stay (compatibility forms are mapped), so that the caller can take them
    for any letter. A line without a colon is taken from its start.
    """
    line = raw[:_LONGEST_NAME].partition(b":")[0].decode("utf-8", "replace")
    text = unicodedata.normalize("NFKC", decode_words(line)).lower()
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf"))


def disguise_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern for `apparent_name`s that begin with one of the names, foreign letters standing for any."""
    return re.compile("|".join("".join(f"(?:{re.escape(c)}|[^\\x00-\\x7f])" for c in name) for name in names))
