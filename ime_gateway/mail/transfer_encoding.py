"""Undoes a Content-Transfer-Encoding (RFC 2045 section 6), to look at what a reader would see.

Only for recognising: what is delivered keeps its encoding.
"""

import binascii
import quopri
import re

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")


def decode_transfer(data: memoryview, encoding: str) -> bytes:
    """The content behind the encoding; bytes that the encoding does not allow are skipped.

    encoding: lower case; an unknown one leaves the bytes as they are. Never raises.
    """
    if encoding == "base64":
        # Some readers stop at padding, some go on behind it: going on shows what both see.
        return b"".join(_decode_base64(run) for run in _NOT_BASE64.sub(b"", data).split(b"=") if run)
    if encoding == "quoted-printable":
        return quopri.decodestring(bytes(data))
    if encoding in ("x-uuencode", "uuencode", "x-uue"):
        return _decode_uu(bytes(data))
    return bytes(data)


def _decode_base64(letters: bytes) -> bytes:
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _decode_uu(data: bytes) -> bytes:
    lines: list[bytes] = []
    for line in data.splitlines():
        if line.startswith((b"begin ", b"end")):
            continue
        try:
            lines.append(binascii.a2b_uu(line)[: len(line)])  # a short line may claim 45 bytes of nothing
        except binascii.Error:
            continue
    return b"".join(lines)
