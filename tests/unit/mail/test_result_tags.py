"""Tags in the subject: forged ones go however they are written, ours are added without touching what stands there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ime_gateway.mail.headers import HeaderBlock, decode_words, make_field, parse_fields
from ime_gateway.mail.result_tags import same_subject, with_tags, without_tags

TAGS = ("[secure]", "[signed OK]", "[signed INVALID]")


def block(subject: str, name: str = "Subject") -> HeaderBlock:
    return parse_fields(f"From: a@b.example\r\n{name}: {subject}\r\n".encode())


def subject_of(headers: HeaderBlock, name: str = "Subject") -> str:
    found = headers.first(name)
    assert found is not None
    return decode_words(found.text)


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("[secure]", ""),
        ("a [SECURE] b", "a b"),
        ("a [ signed\t ok ] b", "a b"),
        ("=?utf-8?q?a_=5Bsecure=5D_b?=", "a b"),
        ("=?utf-8?q?a_=5Bsec?= =?utf-8?b?dXJlXSBi?=", "a b"),
        ("a [sec=?utf-8?q?ure?=] b", "a b"),
        ("a \uff3b\uff53\uff45\uff43\uff55\uff52\uff45\uff3d b", "a b"),
        ("a [\u0455\u0435\u0441ur\u0435] b", "a b"),
        ("a [s\u200be\u00adcure] b", "a b"),
        ("a [s\u0301ecure\u0332] b", "a b"),
        ("a \u3010secure\u3011 b", "a b"),
        ("a [signed 0K] b", "a b"),
        ("a [slgned OK] b", "a b"),
        ("a [sec[secure]ure] b", "a b"),
        ("a [sec[signed [secure]OK]ure] b", "a b"),
        ("[signed OK][secure] [signed INVALID]", ""),
        ("a =?ks_c_5601-1987?q?=5Bsecure=5D?= b", "a b"),
        ("=?windows-874?b?W3NlY3VyZV0=?=", ""),
        ("=?x-none?q?=5Bsecure=5D?=", ""),
        ("=?utf-8?b?W3M=ZWN1cmVd?=", ""),
        ("=?utf-8?q?=5Bsecure=5D\u00e9?=", "\u00e9"),
        ("a [sec\u3164ure\u115f] b", "a b"),
        ("\u202e[eruces]", "[eruces]"),
        ("=?utf-8?b?4oCuW2VydWNlc13igKw=?= hello", "[eruces]\u202c hello"),
    ],
)
def test_a_forged_tag_goes(written: str, left: str) -> None:
    assert subject_of(without_tags(block(written), TAGS)) == left


@pytest.mark.parametrize(
    "written",
    [
        "numbers",
        "(secure)",
        "[secured]",
        "[signed]",
        "secure",
        "[\u043f\u0440\u0438\u0432\u0435\u0442]",
        "=?x-none?q?secure?=",
        "\u200f\u05e9\u05dc\u05d5\u05dd\u200f (\u2067secure\u2069)",
        "[]",
    ],
)
def test_what_is_no_tag_stays_to_the_octet(written: str) -> None:
    headers = block(written)
    assert without_tags(headers, TAGS) is headers


def test_our_tag_is_not_shown_backwards() -> None:
    """RLO (UAX 9) without an end would turn what we write behind it, too."""
    cleaned = without_tags(block("pay now \u202e"), TAGS)
    assert subject_of(with_tags(cleaned, ("[signed INVALID]",))) == "pay now [signed INVALID]"


def test_outlook_shows_the_topic_in_its_place() -> None:
    assert subject_of(without_tags(block("a [secure]", "Thread-Topic"), TAGS), "Thread-Topic") == "a"
    headers = block("[secure]", "X-Comment")
    assert without_tags(headers, TAGS) is headers


def test_every_subject_field_is_cleaned() -> None:
    twice = block("a [secure]").append(make_field("SUBJECT", "b [signed OK]"))
    assert [decode_words(field.text) for field in without_tags(twice, TAGS).all("subject")] == ["a", "b"]


@given(st.text(alphabet="[]secur igndOK\u0455\u200b", max_size=60))
def test_nothing_that_looks_like_a_tag_is_left(text: str) -> None:
    cleaned = without_tags(block(text), TAGS)
    assert without_tags(cleaned, TAGS) == cleaned
    bare = "".join(subject_of(cleaned).lower().split()).replace("\u0455", "s").replace("\u200b", "")
    assert not any("".join(tag.lower().split()) in bare for tag in TAGS)


def test_tags_are_added_behind_the_octets_that_are_there() -> None:
    headers = block("=?iso-8859-1?q?Gr=FC=DFe?=")
    assert (
        with_tags(headers, ("[secure]", "[signed OK]"))
        .to_bytes()
        .endswith(b"Subject: =?iso-8859-1?q?Gr=FC=DFe?= [secure] [signed OK]\r\n")
    )
    assert with_tags(headers, ()) is headers
    assert with_tags(headers, ("",)) is headers


def test_a_long_line_is_folded() -> None:
    added = with_tags(block("word " * 13 + "end"), ("[secure]",))
    assert subject_of(added) == "word " * 13 + "end [secure]"
    assert all(len(line) <= 78 for line in added.to_bytes().splitlines())


def test_a_line_without_room_is_written_anew() -> None:
    added = with_tags(block("x" * 985), ("[signed INVALID]",))
    assert subject_of(added) == "x" * 985 + " [signed INVALID]"
    assert all(len(line) <= 998 for line in added.to_bytes().splitlines())


def test_a_mail_without_subject_gets_one_and_of_several_the_first_stays() -> None:
    assert subject_of(with_tags(parse_fields(b"From: a@b.example\r\n"), ("[secure]",))) == "[secure]"
    several = block("a").append(make_field("Subject", "b"))
    assert [field.text for field in with_tags(several, ("[secure]",)).all("subject")] == ["a [secure]"]


def test_a_tag_beyond_ascii_is_encoded() -> None:
    added = with_tags(block("a"), ("[sch\u00fctzt]",))
    assert added.to_bytes().isascii()
    assert subject_of(added) == "a [sch\u00fctzt]"


def test_subjects_are_compared_as_readers_see_them() -> None:
    assert same_subject("a  b", "=?utf-8?q?a_b?= [secure]", TAGS)
    assert not same_subject("a b", "a c", TAGS)
