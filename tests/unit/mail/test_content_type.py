"""Content-Type: parameters by RFC 2045 and RFC 2231, contradictions refused."""

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail.content_type import (
    MAX_PARAMETERS,
    MAX_VALUE_BYTES,
    content_type_of,
    file_names,
    parse_content_type,
    parse_parameters,
)
from ime_gateway.mail.headers import parse_fields


@pytest.mark.parametrize(
    ("value", "media_type", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("TEXT/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ('multipart/mixed; boundary="a;b \\" c"', "multipart/mixed", {"boundary": 'a;b " c'}),
        ("multipart/mixed; boundary=----=_Part:1?/x", "multipart/mixed", {"boundary": "----=_Part:1?/x"}),
        ("multipart/mixed; boundary=abc (a comment)", "multipart/mixed", {"boundary": "abc"}),
        ("multipart/mixed (never closed; boundary=abc", "multipart/mixed", {"boundary": "abc"}),
        ("multipart/mixed; boundary=abc (never closed\\", "multipart/mixed", {"boundary": "abc (never closed\\"}),
        ('multipart/mixed; boundary="abc (a comment)', "multipart/mixed", {"boundary": "abc"}),
        ('multipart/mixed; boundary="abc (never closed\\', "multipart/mixed", {"boundary": "abc (never closed\\"}),
        ('multipart/mixed; boundary="a(b)c"', "multipart/mixed", {"boundary": "a(b)c"}),
        ("multipart (x) / mixed;;boundary=a", "multipart/mixed", {"boundary": "a"}),
        ("multipart/mixed;boundary = a", "multipart/mixed", {"boundary": "a"}),
        ('multipart/mixed; boundary="abc', "multipart/mixed", {"boundary": "abc"}),
        ("multipart/mixed; boundary*0=ab; boundary*1=cd", "multipart/mixed", {"boundary": "abcd"}),
        ("multipart/mixed; boundary*1=cd; boundary*0=ab", "multipart/mixed", {"boundary": "abcd"}),
        ("message/x; name*0*=us-ascii'en'a%20; name*1=%20", "message/x", {"name": "a %20"}),  # RFC 2231 section 4.1
        ("message/x; name*=us-ascii''a%20b", "message/x", {"name": "a b"}),
        ("", "application/octet-stream", {}),
        ("text", "application/octet-stream", {}),
        ('; name="a.zip"', "application/octet-stream", {"name": "a.zip"}),
        ("text/plain charset=x", "text/plain", {}),
    ],
)
def test_reading(value: str, media_type: str, parameters: dict[str, str]) -> None:
    read = parse_content_type(value)
    assert (read.media_type, dict(read.parameters), read.conflicting) == (media_type, parameters, frozenset())


def test_parameters_of_a_disposition() -> None:
    assert parse_parameters('attachment; filename="winmail.dat"')[0] == {"filename": "winmail.dat"}


@pytest.mark.parametrize(
    "value",
    [
        "a/b; boundary=x; boundary=y",
        "a/b; boundary=x; boundary*=''y",
        "a/b; boundary*0=x; boundary*0=y",
        "a/b; Boundary=x; boundary=X",
    ],
)
def test_contradicting_parameters_are_named(value: str) -> None:
    assert parse_content_type(value).conflicting == {"boundary"}


def test_the_same_thing_twice_is_no_contradiction() -> None:
    assert parse_content_type("a/b; boundary=x; boundary=x").conflicting == frozenset()


def test_of_several_fields_the_structured_one_counts() -> None:
    headers = parse_fields(b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=a\r\n")
    assert content_type_of(headers).media_type == "multipart/mixed"
    twice = parse_fields(b"Content-Type: multipart/mixed; boundary=a\r\nContent-Type: multipart/mixed; boundary=a\r\n")
    assert content_type_of(twice).parameters["boundary"] == "a"


@pytest.mark.parametrize(
    "block",
    [
        b"Content-Type: multipart/mixed; boundary=a\r\nContent-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Type: multipart/mixed; boundary=a\r\ncontent-type : message/rfc822\r\n",
        b"Content-Type: multipart/mixed; boundary=a; boundary=b\r\n",
    ],
)
def test_two_structures_are_refused(block: bytes) -> None:
    with pytest.raises(UnreadableMail):
        content_type_of(parse_fields(block))


def test_no_field_gives_the_default() -> None:
    assert content_type_of(parse_fields(b"A: 1\r\n"), "message/rfc822").media_type == "message/rfc822"


def test_many_parameters_are_read_and_too_many_refused() -> None:
    """Refused, not cut off: what stands behind the limit might be the boundary or the name."""
    honest = "a/b" + "".join(f"; name*{n}=x" for n in range(MAX_PARAMETERS))
    assert parse_content_type(honest).parameters == {"name": "x" * MAX_PARAMETERS}
    for flood in (honest + "; c=d", "a/b" + "; a=b" * 100_000, "a/b; n=" + "x" * MAX_VALUE_BYTES):
        with pytest.raises(UnreadableMail):
            parse_content_type(flood)
        with pytest.raises(UnreadableMail):
            parse_parameters(flood)


def test_file_names_of_both_fields() -> None:
    block = b'Content-Disposition: a; filename*0="b."; filename*1=eml\r\nContent-Type: a/b; name=" c "\r\n'
    assert file_names(parse_fields(block)) == ["c", "b.eml"]
    assert file_names(parse_fields(b"Content-Type: a/b\r\nContent-Disposition: inline\r\n")) == []
    sections = b"".join(b"; filename*%d=x" % n for n in range(MAX_PARAMETERS + 1))
    with pytest.raises(UnreadableMail):
        file_names(parse_fields(b"Content-Disposition: attachment" + sections + b"\r\n"))
