from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.smtp.command_lines import MAX_LINE, CommandLines, LineFault


def read(*parts: bytes) -> list[bytes | LineFault]:
    lines, result = CommandLines(), []
    for part in parts:
        lines.append(part)
        while (line := lines.next()) is not None:
            result.append(line)
    return result


def test_only_crlf_ends_a_line() -> None:
    assert read(b"NOOP\r\nRSET\r\nQU") == [b"NOOP", b"RSET"]
    assert read(b"NOOP\r", b"\nRSET\r\n") == [b"NOOP", b"RSET"]


def test_a_line_that_others_read_as_two_is_one_fault() -> None:
    assert read(b"NOOP\nRSET\r\nQUIT\r\n") == [LineFault.BARE_NEWLINE, b"QUIT"]
    assert read(b"NOOP\rRSET\r\nQUIT\r\n") == [LineFault.BARE_NEWLINE, b"QUIT"]
    assert read(b"NOOP\n", b"RSET\r", b"\nQUIT\r\n") == [LineFault.BARE_NEWLINE, b"QUIT"]


def test_control_characters_are_faults_and_utf8_is_not() -> None:
    assert read(b"a\0b\r\na\tb\r\na\x7fb\r\nj\xc3\xbcrg\r\n") == [LineFault.CONTROL] * 3 + ["jürg".encode()]


def test_the_longest_line_is_taken_and_a_longer_one_told_once() -> None:
    longest = b"x" * (MAX_LINE - 2)
    assert read(longest + b"\r\n") == [longest]
    assert read(longest, b"\r", b"\n") == [longest]
    assert read(longest + b"x\r\nQUIT\r\n") == [LineFault.TOO_LONG, b"QUIT"]
    assert read(*[b"y" * 500] * 100, b"\r\nQUIT\r\n") == [LineFault.TOO_LONG, b"QUIT"]


def test_an_endless_line_takes_no_memory() -> None:
    lines = CommandLines()
    for _ in range(100):
        lines.append(b"z" * 1000)
        lines.next()
    assert lines.waiting <= MAX_LINE


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"A", b"BC", b"\0"]), max_size=15).map(b"".join), st.data())
def test_no_cut_makes_a_good_line_of_a_bad_one(stream: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(stream)))
    good = [line for line in stream.split(b"\r\n")[:-1] if not set(line) & {0, 10, 13}]
    assert [line for line in read(stream[:cut], stream[cut:]) if isinstance(line, bytes)] == good
