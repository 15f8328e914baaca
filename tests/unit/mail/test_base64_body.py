"""Bodies in base64 as mail programs and attackers write them; Python's own decoder judges."""

import base64
import random

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.base64_body import decode_base64_body

OCTETS = random.Random(7).randbytes(70_001)


def lines(octets: bytes, length: int, end: bytes = b"\r\n") -> bytes:
    text = base64.b64encode(octets)
    return end.join(text[at : at + length] for at in range(0, len(text), length)) + end


def decode(text: bytes) -> bytes:
    return bytes(decode_base64_body(memoryview(text)))


@pytest.mark.parametrize("length", [76, 64, 75, 1, 3, 998, 200_000])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 57 * 512, 57 * 512 + 1, 70_001])
def test_lines_of_any_length(length: int, size: int) -> None:
    assert decode(lines(OCTETS[:size], length)) == OCTETS[:size]


def test_line_feeds_and_other_blanks() -> None:
    assert decode(lines(OCTETS, 76, b"\n")) == OCTETS
    assert decode(lines(OCTETS, 76, b" \t \r\n")) == OCTETS
    assert decode(b"\r\n\r\n" + lines(OCTETS, 76) + b"\r\n \r\n") == OCTETS


def test_one_odd_line_among_even_ones() -> None:
    text = lines(OCTETS, 76)
    at = 78 * 600
    assert decode(text[:at] + b"\r\n" + text[at:]) == OCTETS
    assert decode(text[: at - 40] + b"\r\n" + text[at - 40 :]) == OCTETS


def test_missing_padding_is_forgiven_at_the_end_only() -> None:
    assert decode(b"QUI") == b"AB"
    assert decode(b"QQ\r\n") == b"A"
    with pytest.raises(UnreadableMail):
        decode(b"Q")


@pytest.mark.parametrize(
    "text",
    [
        b"QUJD!",
        b"QUJD\r\n-- \r\nA mailing list",
        b"QUI=QUJD",
        b"QUI=\r\n\r\nQUJD",
        b"=QUJD",
        b"QUI=A",
        b"QUJD\0",
        b"QUI====",
        "QUJDä".encode(),
        lines(OCTETS, 76).replace(b"\r\n", b"\r\n=", 1),
        base64.b64encode(OCTETS[: 65_536 // 4 * 3 - 1]) + b"QUJD",
        lines(OCTETS[:1], 4) + lines(OCTETS, 76),
        lines(OCTETS[: 57 * 512 + 1], 76) + lines(OCTETS, 76),
        lines(OCTETS[: 57 * 512 + 1], 76) + b"\r\n" * 100_000 + b"x",
    ],
)
def test_what_readers_see_differently_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableMail):
        decode(text)
