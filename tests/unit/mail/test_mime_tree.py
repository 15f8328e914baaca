"""The MIME tree as places in the bytes; Python's email package is the second opinion on the corpora."""

import csv
import re
from pathlib import Path

import pytest

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.mail import mime_tree
from ime_gateway.mail.message import parse_message
from ime_gateway.mail.mime_tree import Part, walk

A = "Content-Type: multipart/a; boundary=b\n\n"
RFC822 = "Content-Type: message/rfc822\n\n"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("latin-1")


def tree(parts: list[Part], top: Part | None = None) -> str:
    """The tree in the notation of vectors/cpython-email/expected.csv."""
    top = top or parts[0]
    inside = ", ".join(tree(parts, part) for part in parts if part.parent is top)
    return top.media_type + (f"({inside})" if inside else "")


def shape(text: str) -> str:
    return tree(walk(parse_message(crlf(text))))


def bodies(text: str) -> list[bytes]:
    message = parse_message(crlf(text))
    return [bytes(message.body[part.start : part.end]) for part in walk(message)]


def test_plain_text_is_one_part() -> None:
    (part,) = walk(parse_message(b"Subject: x\r\n\r\nbody"))
    assert (part.media_type, part.header_start, part.start, part.end, part.depth, part.parent) == (
        "text/plain",
        0,
        0,
        4,
        0,
        None,
    )


def test_parts_are_places_in_the_body() -> None:
    text = (
        "Content-Type: multipart/mixed; boundary=outer\n\npreamble\n--outer\n"
        'Content-Type: multipart/alternative; boundary="in ner"\n\n'
        "--in ner\n\nplain\n--in ner  \t\nContent-Type: text/html\n\n<b>\n--in ner--\nepilogue\n"
        "--outer\nContent-Type: message/rfc822\n\nSubject: inside\n\ntext\n--outer--\nepilogue\n"
    )
    assert shape(text) == "multipart/mixed(multipart/alternative(text/plain, text/html), message/rfc822(text/plain))"
    found = bodies(text)
    assert found[2:4] == [b"plain", b"<b>"]
    assert found[4] == b"Subject: inside\r\n\r\ntext"
    assert found[5] == b"text"
    message = parse_message(crlf(text))
    for part in walk(message)[1:]:
        block = part.headers.to_bytes()
        assert bytes(message.body[part.header_start : part.header_start + len(block)]) == block
        assert bytes(message.body[part.start - 2 : part.start]) == b"\r\n"
    assert [part.depth for part in walk(message)] == [0, 1, 2, 2, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # no closing boundary, inner or outer
        (A + "--b\n\nx\n", "multipart/a(text/plain)"),
        (
            A + "--b\nContent-Type: multipart/c; boundary=d\n\n--d\n\nx\n--b\n\ny\n--b--\n",
            "multipart/a(multipart/c(text/plain), text/plain)",
        ),
        # no boundary at all, an empty one, one that never comes
        ("Content-Type: multipart/a\n\n--b\n\nx\n--b--\n", "multipart/a"),
        ('Content-Type: multipart/a; boundary=""\n\n--\n\nx\n----\n', "multipart/a"),
        (A + "--c\n\nx\n", "multipart/a"),
        # one boundary begins like the other, or ends like a closing one
        (
            A + "--b\nContent-Type: multipart/c; boundary=bb\n\n--bb\n\nx\n--bb--\n--b--\n",
            "multipart/a(multipart/c(text/plain))",
        ),
        (A + "--bx\n\nx\n--b\n\ny\n--b--\n", "multipart/a(text/plain)"),
        ('Content-Type: multipart/a; boundary="b--"\n\n--b--\n\nx\n--b----\n', "multipart/a(text/plain)"),
        # empty parts, headers only, a boundary inside a header
        (A + "--b\n--b\n\n--b--\n", "multipart/a(text/plain, text/plain)"),
        (A + "--b\nContent-Type: text/x\n--b--\n", "multipart/a(text/x)"),
        (A + "--b\nContent-Type: text/x", "multipart/a(text/x)"),
        (A + "--b", "multipart/a(text/plain)"),
        # digests, messages in messages, messages of headers only
        (
            "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b--\n",
            "multipart/digest(message/rfc822(text/plain))",
        ),
        (
            RFC822 + "Content-Type: message/global\n\nA: b\n\nx",
            "message/rfc822(message/global(text/plain))",
        ),
        (RFC822 + "\nx", "message/rfc822(text/plain)"),
        (RFC822 + "Content-Type: text/html", "message/rfc822(text/html)"),
        ("Content-Type: text/rfc822-headers\n\nSubject: x\n", "text/rfc822-headers(text/plain)"),
        ("Content-Type: message/partial; id=x\n\nSubject: x\n\ny", "message/partial(text/plain)"),
        ("Content-Type: message/delivery-status\n\nA: b\n\nC: d\n", "message/delivery-status"),
        # a message inside that ends in its header, cut by the boundary outside
        (
            A + "--b\n" + RFC822 + "Content-Type: text/x\n--b\n\n--b--\n",
            "multipart/a(message/rfc822(text/x), text/plain)",
        ),
        # a message inside that never comes, because the boundary outside closes before it
        (A + "--b\nContent-Type: message/rfc822\n--b--\nSubject: x\n\ny", "multipart/a(message/rfc822)"),
        # a part after the closing boundary: some readers show it
        (A + "--b\n\nx\n--b--\n--b\n\ny\n", "multipart/a(text/plain, text/plain)"),
        # the same boundary again inside
        (
            A + "--b\nContent-Type: multipart/c; boundary=b\n\n--b\n\nx\n--b--\n",
            "multipart/a(multipart/c, text/plain)",
        ),
        # the structured one of two types
        (
            "Content-Type: text/plain\nContent-Type: multipart/a; boundary=b\n\n--b\n\nx\n--b--\n",
            "multipart/a(text/plain)",
        ),
        # dashes in text
        (A + "--b\n\n-- \n--b.\n--x--\n---b\n--b--\n", "multipart/a(text/plain)"),
    ],
)
def test_odd_structures(text: str, expected: str) -> None:
    assert shape(text) == expected


def test_end_of_a_part_is_before_the_line_break_of_its_boundary() -> None:
    text = A + "--b\n\nx\n\n--b\n\n--b--"
    assert bodies(text)[1:] == [b"x\r\n", b""]


def test_a_multipart_ends_with_its_parent() -> None:
    text = A + "--b\nContent-Type: multipart/c; boundary=d\n\n--d\n\nx\n--d--\nafter\n--b\n\ny\n--b--\n"
    assert bodies(text)[1] == b"--d\r\n\r\nx\r\n--d--\r\nafter"


def test_encoding_and_parameters_of_a_part() -> None:
    (part,) = walk(
        parse_message(b"Content-Type: text/plain; charset=x\r\nContent-Transfer-Encoding: BASE64 ; y\r\n\r\n")
    )
    assert part.encoding == "base64"
    assert part.parameters == {"charset": "x"}
    assert walk(parse_message(b"A: 1\r\n\r\n"))[0].encoding == "7bit"


def nested(depth: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: x\r\n\r\nbody"


def test_depth_has_a_limit() -> None:
    assert len(walk(parse_message(nested(50)))) == 51
    with pytest.raises(UnreadableMail, match="deeper"):
        walk(parse_message(nested(51)))
    with pytest.raises(UnreadableMail, match="deeper"):
        walk(parse_message(nested(3)), max_depth=2)


def test_parts_have_a_limit() -> None:
    data = b"Content-Type: multipart/a; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 9 + b"--b--\r\n"
    assert len(walk(parse_message(data), max_parts=10)) == 10
    with pytest.raises(UnreadableMail, match="more than 9 parts"):
        walk(parse_message(data), max_parts=9)


def test_header_fields_in_all_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mime_tree, "MAX_FIELDS_IN_ALL", 10)
    data = b"Content-Type: multipart/a; boundary=b\r\n\r\n" + b"--b\r\nA:\r\nB:\r\n\r\n" * 5 + b"--b--\r\n"
    assert len(walk(parse_message(data))) == 6
    with pytest.raises(UnreadableMail, match="header fields"):
        walk(parse_message(data.replace(b"B:\r\n\r\n--b--", b"B:\r\nC:\r\n\r\n--b--")))


def test_header_of_a_part_has_a_limit() -> None:
    data = b"Content-Type: message/rfc822\r\n\r\nA: " + b"x" * (1 << 20) + b"\r\n\r\n"
    with pytest.raises(UnreadableMail, match="larger"):
        walk(parse_message(data))


def test_no_byte_is_searched_twice_for_the_end_of_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = 0
    pattern = mime_tree._EMPTY_LINE

    class Counting:
        def search(self, body: memoryview, start: int) -> re.Match[bytes] | None:
            nonlocal searched
            found = pattern.search(body, start)
            searched += (found.end() if found else len(body)) - start
            return found

    monkeypatch.setattr(mime_tree, "_EMPTY_LINE", Counting())
    data = crlf(A + "--b\nA: 1\n" * 500)
    assert len(walk(parse_message(data))) == 501
    assert 0 < searched <= len(data)


def test_cpython_trees(vectors: Path) -> None:
    """Where our tree is another one, it is because we look at more than Python does."""
    differs = {
        "msg_14.txt": "application/octet-stream",  # no type can be read; Python falls back to text
        "msg_15.txt": "multipart/mixed(multipart/alternative, text/plain, text/html, image/gif)",  # text after it
    }
    with (vectors / "cpython-email" / "expected.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) > 40
    for row in rows:
        data = (vectors / "cpython-email" / row["file"]).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if row["file"] in ("msg_37.txt", "msg_39.txt"):  # boundaries used twice, text after closing lines
            assert len(walk(parse_message(data))) >= row["tree"].count("/"), row["file"]
            continue
        # Python shows the fields of a delivery report as parts and headers for themselves as text.
        expected = re.sub(r"(message/delivery-status)\([^)]*\)", r"\1", row["tree"])
        actual = re.sub(r"(text/rfc822-headers)\([^)]*\)", r"\1", tree(walk(parse_message(data))))
        assert actual == differs.get(row["file"], expected), row["file"]


def test_crispins_torture_mail(vectors: Path) -> None:
    data = (
        (vectors / "flanker" / "messages" / "torture.eml").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    )
    parts = walk(parse_message(data))
    assert len(parts) == 52
    assert max(part.depth for part in parts) >= 5


@pytest.mark.parametrize("name", ["Content-Type: text/plain", "Content-Disposition: attachment"])
def test_parameters_of_all_parts_have_one_limit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is counted here: beyond the limit no part's type is read any more."""
    read: list[int] = []
    before = mime_tree.content_type_of
    monkeypatch.setattr(mime_tree, "content_type_of", lambda *given: read.append(1) or before(*given))  # type: ignore[func-returns-value]
    part = f"--b\n{name}{'; a=b' * 100}\n\nx\n"
    assert len(walk(parse_message(crlf(A + part * 450)))) == 451
    read.clear()
    with pytest.raises(UnreadableMail, match="parameters"):
        walk(parse_message(crlf(A + part * 4_000)))
    assert len(read) == 500


def test_header_bytes_of_all_parts_have_one_limit() -> None:
    part = "--b\nX: " + "x" * 1_000_000 + "\n\nx\n"
    assert len(walk(parse_message(crlf(A + part * 8)))) == 9
    with pytest.raises(UnreadableMail, match="headers of all parts"):
        walk(parse_message(crlf(A + part * 9)))
