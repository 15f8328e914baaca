"""The BER walker: each header form, each bound, each limit."""

import pytest

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.ber import END, Walker
from ime_gateway.smime.structures import CmsLimits
from tests.ber_forms import integer, streamed, tlv


def walker(data: bytes, **limits: int) -> Walker:
    return Walker(data, CmsLimits(**limits))


def test_walks_into_and_out_of_both_length_forms() -> None:
    for outer in (tlv, streamed):
        at = walker(outer(0x30, integer(5), outer(0xA0, tlv(0x04, b"x"))) + b"behind")
        at.enter(0x30)
        assert at.primitive(0x02) == b"\5"
        at.enter(0xA0)
        assert at.primitive(0x04) == b"x"
        assert at.peek() == END
        at.leave()
        assert at.peek() == END
        at.leave()
        assert bytes(at.rest()) == b"behind"


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_reads_long_lengths_with_leading_zeros(count: int) -> None:
    at = walker(tlv(0x04, b"abc", length_octets=count))
    assert at.primitive(0x04) == b"abc" and at.peek() == END


@pytest.mark.parametrize(
    "data",
    [
        b"\x04",
        b"\x04\x01",
        b"\x04\x81",
        b"\x04\x82\x01",
        b"\x04\x84\xff\xff\xff\xff",
        b"\x04\x88\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x04\x89" + bytes(8) + b"\x01x",
        b"\x04\xff" + bytes(127),
        b"\x04\x80x\x00\x00",
        b"",
    ],
)
def test_refuses_lengths_that_are_cut_off_or_lie(data: bytes) -> None:
    with pytest.raises(UnreadableCms):
        walker(data).primitive(0x04)
    with pytest.raises(UnreadableCms):
        walker(data).octets(0x04)
    with pytest.raises(UnreadableCms):
        walker(data).skip()
    with pytest.raises(UnreadableCms):
        walker(data).raw()


@pytest.mark.parametrize("opening", [b"\x30\x04", b"\x30\x80"])
def test_nothing_is_longer_than_what_encloses_it(opening: bytes) -> None:
    at = walker(tlv(0x30, opening + b"\x04\x03ab") + b"c\x00\x00")
    at.enter(0x30)
    at.enter(0x30)
    with pytest.raises(UnreadableCms):
        at.primitive(0x04)


def test_an_indefinite_element_ends_inside_the_definite_one_around_it() -> None:
    at = walker(tlv(0x30, b"\xa0\x80" + integer(1)) + b"\x00\x00")
    at.enter(0x30)
    at.enter(0xA0)
    at.primitive(0x02)
    with pytest.raises(UnreadableCms):
        at.leave()
    at = walker(tlv(0x30, b"\xa0\x80" + integer(1)) + b"\x00\x00")
    at.enter(0x30)
    with pytest.raises(UnreadableCms):
        at.skip()


@pytest.mark.parametrize("inside", [b"\x00\x00", b"\x00\x01x", b"\x00"])
def test_end_of_contents_stands_only_where_something_ends(inside: bytes) -> None:
    at = walker(tlv(0x30, inside))
    at.enter(0x30)
    with pytest.raises(UnreadableCms):
        at.peek()
    at = walker(b"\x30\x80\x00\x01x\x00\x00")
    at.enter(0x30)
    with pytest.raises(UnreadableCms):
        at.peek()
    with pytest.raises(UnreadableCms):
        walker(b"\x30\x80\x00\x01x\x00\x00").skip()
    with pytest.raises(UnreadableCms):
        walker(b"\x30\x80\x00").skip()


def test_leaving_early_is_refused() -> None:
    for outer in (tlv, streamed):
        at = walker(outer(0x30, integer(1)))
        at.enter(0x30)
        with pytest.raises(UnreadableCms):
            at.leave()


def test_the_tag_must_be_the_one_that_was_asked_for() -> None:
    with pytest.raises(UnreadableCms):
        walker(tlv(0x31)).enter(0x30)
    with pytest.raises(UnreadableCms):
        walker(tlv(0x02, b"\1")).primitive(0x04)
    with pytest.raises(UnreadableCms):
        walker(tlv(0x24, b"")).primitive(0x24)
    with pytest.raises(UnreadableCms):
        walker(tlv(0x04, b"")).enter(0x04)


def test_tags_of_several_octets_are_skipped_and_never_entered() -> None:
    data = b"\xbf\x87\x01\x03abc"
    at = walker(data + integer(1))
    at.skip()
    assert at.peek() == 0x02
    with pytest.raises(UnreadableCms):
        walker(data).enter(0xBF)
    with pytest.raises(UnreadableCms):
        walker(b"\x9f\x07\x01a").primitive(0x9F)
    for cut in (b"\xbf", b"\xbf\x87", b"\xbf\x87\x01", b"\xbf" + b"\x80" * 6 + b"\x01\x00", b"\xbf\x87\x87"):
        with pytest.raises(UnreadableCms):
            walker(cut).skip()
    at = walker(b"\xbf\x87\x01\x80" + integer(1) + b"\x00\x00" + integer(2))
    at.skip()
    assert at.primitive(0x02) == b"\2"


def test_octets_are_segments_of_the_message_itself() -> None:
    data = streamed(
        0xA0, tlv(0x04, b"ab"), streamed(0x24, tlv(0x04, b"cd"), tlv(0x24, tlv(0x04, b""), tlv(0x04, b"e"))), tlv(0x24)
    )
    at = walker(data + integer(9))
    pieces = at.octets(0x80)
    assert [bytes(piece) for piece in pieces] == [b"ab", b"cd", b"e"]
    assert all(piece.obj is data or piece.obj == data + integer(9) for piece in pieces)
    assert at.primitive(0x02) == b"\x09"


@pytest.mark.parametrize("data", [tlv(0x04), tlv(0x24), streamed(0x24), streamed(0x24, tlv(0x04), streamed(0x24))])
def test_octets_of_nothing_are_no_segments(data: bytes) -> None:
    assert walker(data).octets(0x04) == ()


@pytest.mark.parametrize(
    "data",
    [
        tlv(0x24, integer(1)),
        tlv(0x24, tlv(0x30, tlv(0x04, b"x"))),
        tlv(0x24, tlv(0x80, b"x")),
        tlv(0x24, b"\x00\x00"),
        streamed(0x24, b"\x00\x02ab"),
        b"\x24\x80" + tlv(0x04, b"x"),
        b"\x24\x80" + tlv(0x04, b"x") + b"\x00",
        tlv(0x24, b"\x24\x80" + tlv(0x04, b"x")) + b"\x00\x00",
        tlv(0x24, b"\x04\x02a") + b"b",
        tlv(0x05),
    ],
)
def test_octets_refuse_what_is_no_octet_string(data: bytes) -> None:
    with pytest.raises(UnreadableCms):
        walker(data).octets(0x04)


def test_raw_is_the_element_as_it_stands() -> None:
    element = tlv(0x30, integer(1), length_octets=4)
    at = walker(element + integer(2))
    assert bytes(at.raw() or b"") == element
    assert at.peek() == 0x02
    at = walker(streamed(0x30, integer(1)))
    assert at.raw() is None and at.at == 0


def test_depth_is_limited_without_recursion() -> None:
    deep = 100_000
    for data in (b"\x24\x80" * deep + bytes(2 * deep), b"\x24\x80" * deep):
        with pytest.raises(UnreadableCms, match="safely") as refused:
            walker(data).octets(0x04)
        assert "deep" in refused.value.evidence
        with pytest.raises(UnreadableCms) as refused:
            walker(data).skip()
        assert "deep" in refused.value.evidence
    at = walker(b"\x24\x80" * deep)
    with pytest.raises(UnreadableCms) as refused:
        while True:
            at.enter(0x24)
    assert "deep" in refused.value.evidence


def test_depth_at_the_limit_is_read() -> None:
    data = tlv(0x04, b"x")
    for _ in range(5):
        data = streamed(0x24, data)
    assert walker(data, depth=4).octets(0x04) == (b"x",)
    walker(data, depth=5).skip()
    with pytest.raises(UnreadableCms):
        walker(data, depth=3).octets(0x04)
    with pytest.raises(UnreadableCms):
        walker(data, depth=4).skip()


def test_elements_and_segments_are_counted() -> None:
    at = walker(integer(1) * 5, elements=4)
    for _ in range(4):
        at.primitive(0x02)
    assert at.steps == 4
    with pytest.raises(UnreadableCms) as refused:
        at.primitive(0x02)
    assert "too many" in refused.value.evidence
    data = streamed(0x24, tlv(0x04, b"x") * 5)
    assert len(walker(data, segments=5).octets(0x04)) == 5
    for pass_over in (lambda at: at.octets(0x04), lambda at: at.skip()):
        with pytest.raises(UnreadableCms) as refused:
            pass_over(walker(data, segments=4))
        assert "too many" in refused.value.evidence


def test_segments_are_counted_over_all_strings() -> None:
    at = walker(streamed(0x24, tlv(0x04, b"x") * 3) * 2, segments=5)
    at.octets(0x04)
    with pytest.raises(UnreadableCms):
        at.octets(0x04)


def test_large_objects_may_have_more_segments() -> None:
    data = streamed(0x24, tlv(0x04, bytes(600)) * 100)
    assert len(walker(data, segments=1).octets(0x04)) == 100
    with pytest.raises(UnreadableCms):
        walker(streamed(0x24, tlv(0x04, bytes(400)) * 100), segments=1).octets(0x04)


def test_what_is_copied_is_counted() -> None:
    at = walker(b"", small_bytes=10, copied_bytes=25)
    at.copied(10)
    at.copied(10)
    with pytest.raises(UnreadableCms):
        at.copied(6)
    with pytest.raises(UnreadableCms):
        walker(b"", small_bytes=10).copied(11)
