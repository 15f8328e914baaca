"""Content-Transfer-Encodings as readers undo them, patient ones included."""

import base64

import pytest

from ime_gateway.mail.transfer_encoding import decode_transfer


@pytest.mark.parametrize(
    ("encoding", "data", "content"),
    [
        ("base64", base64.encodebytes(b"x" * 100), b"x" * 100),
        ("base64", b"eHg\r\n!=\r\neHk=", b"xxxy"),  # content behind padding, strangers between
        ("base64", b"eHh", b"xx"),
        ("base64", b"eHh4e", b"xxx"),
        ("base64", b"", b""),
        ("quoted-printable", b"a=3Db=\r\nc", b"a=bc"),
        ("quoted-printable", b"a=ZZ", b"a=ZZ"),
        ("x-uuencode", b"begin 644 x\r\n#86)C\r\n`\r\nend\r\n", b"abc"),
        ("x-uuencode", b"\xff\xff\r\n", b""),
        ("7bit", b"as it is", b"as it is"),
        ("unheard-of", b"as it is", b"as it is"),
    ],
)
def test_decoding(encoding: str, data: bytes, content: bytes) -> None:
    assert decode_transfer(memoryview(data), encoding) == content
