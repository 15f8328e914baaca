"""RFC 2047: reading with patience, writing by the rule; Python's email package judges the writing."""

from email.header import decode_header, make_header

import pytest

from ime_gateway.mail.encoded_words import decode_words, encode_words


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        ("=?iso-8859-1?Q?a?=", "a"),  # the examples of RFC 2047 section 8
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?= \r\n    =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?us-ascii*en-US?q?Keith?=", "Keith"),  # RFC 2231 section 5
        ("=?utf-8?b?w7w?=", "ü"),  # no padding
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),  # a character cut in two
        ("x=?utf-8?q?=C3=BC?=y", "xüy"),
        ("=?unknown-8bit?q?=FC?=", "=?unknown-8bit?q?=FC?="),
        ("=?idna?q?=FC?=", "=?idna?q?=FC?="),
        ("=?unicode_escape?q?=5Cx?=", "=?unicode_escape?q?=5Cx?="),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?q?", "=?utf-8?q?"),
        ("=??q??=", "=??q??="),
        ("=?utf-8?q??= =?utf-8?q?a?=", "a"),
        ("=?utf-8?q?=FC?=", "\ufffd"),
    ],
)
def test_decoding(written: str, meant: str) -> None:
    assert decode_words(written) == meant


def test_line_ends_and_nul_inside_words_become_blanks() -> None:
    assert decode_words("=?utf-8?q?a=00b=0D=0Ac=C2=85d=E2=80=A8e?=") == "a b  c d e"


@pytest.mark.parametrize(
    "text", ["Grüße", "ü" * 300, "a b  c", "日本語のとても長い件名" * 9, "🎉" * 40, "=?utf-8?q?x?=", "ä" + "b" * 200]
)
def test_encoding_is_read_back_by_python_and_by_us(text: str) -> None:
    words = list(encode_words(text, 60))
    assert all(len(word) <= 75 for word in words)
    assert len(words[0]) <= 60
    joined = "\r\n ".join(words)
    assert str(make_header(decode_header(joined))) == text
    assert decode_words(joined) == text
