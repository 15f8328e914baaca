import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ime_gateway.smtp.data_reader import ChunkReader, ContentFault, DotReader, MessageContent
from ime_gateway.smtp.line_scan import BLOCK, scan

# Streams made of the octets that matter, so that their combinations are met.
STREAMS = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\0", b"\r\n.", b"bcd"]), max_size=14).map(
    b"".join
)
CUTS = st.lists(st.integers(1, 6), max_size=20)


def pieces(data: bytes, cuts: list[int]) -> list[bytearray]:
    result, start = [], 0
    for cut in cuts:
        result.append(bytearray(data[start : start + cut]))
        start += cut
    return [piece for piece in [*result, bytearray(data[start:])] if piece]


def read_dots(data: bytes, cuts: list[int], *, normalise: bool, limit: int = 10**6) -> tuple[object, bytes | None]:
    """What a message reads as (its fault, or its bytes), and what followed it (None: no end was seen)."""
    content = MessageContent(limit, normalise=normalise)
    reader = DotReader(content)
    parts = pieces(data, cuts)
    for index, part in enumerate(parts):
        rest = reader.feed(part)
        if rest is not None:
            return content.fault or bytes(content.take()), bytes(rest) + b"".join(parts[index + 1 :])
    return None, None


def model(data: bytes, *, normalise: bool) -> tuple[object, bytes | None]:
    """The rule of RFC 5321 section 4.5.2, said another way: split at CRLF, end at the line that is one dot."""
    lines = data.split(b"\r\n")[:-1]
    if b"." not in lines:
        return None, None
    end = lines.index(b".")
    rest = data[sum(len(line) + 2 for line in lines[: end + 1]) :]
    message = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:end])
    if normalise:
        return re.sub(rb"\r\n|\r|\n", b"\r\n", message).replace(b"\0", b""), rest
    if re.search(rb"\r(?!\n)|(?<!\r)\n", message):
        return ContentFault.BARE_NEWLINE, rest
    return (ContentFault.NUL if b"\0" in message else message), rest


@given(STREAMS, CUTS, st.booleans())
@settings(max_examples=1500)
def test_data_reads_as_the_rule_says_wherever_it_is_cut(stream: bytes, cuts: list[int], normalise: bool) -> None:
    data = stream + b"\r\n.\r\nQUIT\r\n"
    got, rest = read_dots(data, cuts, normalise=normalise)
    expected, expected_rest = model(data, normalise=normalise)
    assert rest == expected_rest
    if isinstance(expected, ContentFault) and isinstance(got, ContentFault):
        # Which of two faults is named may depend on where the pieces end; that it is refused may not.
        assert got in (ContentFault.BARE_NEWLINE, ContentFault.NUL)
    else:
        assert got == expected


@given(STREAMS, CUTS)
@settings(max_examples=500)
def test_without_a_true_end_the_data_goes_on(stream: bytes, cuts: list[int]) -> None:
    data = stream.replace(b"\r\n.\r\n", b"") + b"a"
    if (b"\r\n" + data).find(b"\r\n.\r\n") < 0:
        assert read_dots(data, cuts, normalise=True) == (None, None)


def test_an_empty_message_ends_at_its_first_line() -> None:
    assert read_dots(b".\r\nNOOP\r\n", [], normalise=False) == (b"", b"NOOP\r\n")


def test_exactly_the_limit_is_taken_and_one_byte_more_is_not() -> None:
    assert read_dots(b"12345678\r\n.\r\n", [3], normalise=False, limit=10) == (b"12345678\r\n", b"")
    assert read_dots(b"123456789\r\n.\r\n", [3], normalise=False, limit=10) == (ContentFault.TOO_LARGE, b"")
    # RFC 1870 section 3: dots added for transparency do not count.
    assert read_dots(b"..2345678\r\n.\r\n", [1], normalise=False, limit=10) == (b".2345678\r\n", b"")


def test_an_oversized_message_is_not_kept_in_memory() -> None:
    content = MessageContent(100, normalise=False)
    reader = DotReader(content)
    for _ in range(50):
        assert reader.feed(bytearray(b"x" * 78 + b"\r\n")) is None
    assert content.size == 0
    assert reader.feed(bytearray(b".\r\n")) == b""
    assert content.fault is ContentFault.TOO_LARGE


def read_chunks(chunks: list[bytes], cuts: list[int], *, normalise: bool) -> object:
    content = MessageContent(10**6, normalise=normalise)
    reader = ChunkReader(content)
    for chunk in chunks:
        reader.expect(len(chunk))
        rests = [reader.feed(piece) for piece in pieces(chunk, cuts)]
        assert rests[:-1] == [None] * (len(rests) - 1)
        assert not rests or rests[-1] == b""
    reader.finish()
    return content.fault or bytes(content.take())


@given(st.lists(STREAMS, max_size=4), CUTS)
@settings(max_examples=500)
def test_chunks_read_the_same_wherever_they_are_cut(chunks: list[bytes], cuts: list[int]) -> None:
    whole = re.sub(rb"\r\n|\r|\n", b"\r\n", b"".join(chunks)).replace(b"\0", b"")
    expected = whole if not whole or whole.endswith(b"\r\n") else whole + b"\r\n"
    assert read_chunks(chunks, cuts, normalise=True) == expected
    strict = read_chunks(chunks, cuts, normalise=False)
    clean = not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", b"".join(chunks))
    assert strict == expected if clean else isinstance(strict, ContentFault)


def test_what_follows_a_chunk_is_given_back() -> None:
    reader = ChunkReader(MessageContent(100, normalise=False))
    reader.expect(3)
    assert reader.feed(bytearray(b"a\r\nNOOP\r\n")) == b"NOOP\r\n"


@pytest.mark.parametrize("place", [0, 1, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK + 5])
@pytest.mark.parametrize(
    ("pair", "dot_line", "bare", "nul"),
    [
        (b"\r\n", False, False, False),
        (b"\rx", False, True, False),
        (b"x\n", False, True, False),
        (b"\n.", True, True, False),
        (b"\r\n.", True, False, False),
        (b"\0", False, False, True),
        (b".", False, False, False),
    ],
)
def test_scan_sees_everything_at_every_place(place: int, pair: bytes, dot_line: bool, bare: bool, nul: bool) -> None:
    piece = b"x" * place + pair + b"x" * (3 * BLOCK - place)
    seen = scan(piece)
    assert (seen.dot_line, seen.bare_newline, seen.nul) == (dot_line, bare, nul)


def test_scan_does_not_judge_a_last_cr() -> None:
    assert not scan(b"abc\r").bare_newline
    assert not scan(b"").bare_newline
    assert scan(b"\n").bare_newline


def test_real_mail_is_kept_byte_for_byte(vectors: Path) -> None:
    files = [file for file in (vectors / "mailsploit").rglob("*") if file.suffix == ".eml"]
    files += list((vectors / "cpython-email").glob("*.txt"))
    assert len(files) > 20
    for file in files:
        mail = re.sub(rb"\r\n|\r|\n", b"\r\n", file.read_bytes()).replace(b"\0", b"").removesuffix(b"\r\n") + b"\r\n"
        stuffed = re.sub(rb"(?m)^\.", b"..", mail) + b".\r\n"
        for size in (1, 7, 4096):
            assert read_dots(stuffed, [size] * (len(stuffed) // size), normalise=False) == (mail, b""), file
