"""A message as bytes: the header block parsed, the body a view that nobody copies.

Mail that no rule changes must leave byte for byte as it came (P7), and a 50 MiB attachment must
not be held twice; so only the header is read, the body stays where it was received.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.base.octets import Buffer
from ime_gateway.mail.headers import MAX_BLOCK_BYTES, HeaderBlock, parse_fields

_FIRST_LOOK = 16 * 1024  # nearly every header ends within; only then is more searched


@dataclass(frozen=True, slots=True)
class Message:
    """Header, empty line, body (RFC 5322 section 2.1)."""

    headers: HeaderBlock
    body: memoryview
    ends_in_header: bool = False
    """The bytes ended before any empty line; kept so that the message leaves as it came."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The whole message in order, the body as one view without a copy."""
        yield self.headers.to_bytes()
        if not self.ends_in_header or self.body:
            yield b"\r\n"
        if self.body:
            yield self.body

    def with_headers(self, headers: HeaderBlock) -> "Message":
        """The same body under other headers."""
        return Message(headers, self.body, self.ends_in_header)

    @property
    def size(self) -> int:
        """Size in bytes as sent, before dot-stuffing."""
        return sum(map(len, self.chunks()))


def parse_message(data: Buffer) -> Message:
    """Split canonical (CRLF) mail into header fields and body; the body is not copied.

    Raises UnreadableMail when the header holds NUL, a bare CR or a bare LF (programs would see
    different fields), or is larger than a header may be.
    """
    view = memoryview(data)
    start = bytes(view[:_FIRST_LOOK])
    if start.startswith(b"\r\n"):
        return Message(HeaderBlock(), view[2:])
    end = start.find(b"\r\n\r\n")
    if end < 0 and len(view) > _FIRST_LOOK:
        start = bytes(view[: MAX_BLOCK_BYTES + 4])
        end = start.find(b"\r\n\r\n")
        if end < 0 and len(view) > MAX_BLOCK_BYTES:
            raise UnreadableMail(f"the header is larger than {MAX_BLOCK_BYTES} bytes")
    block = start if end < 0 else start[: end + 2]
    ends = block.count(b"\r\n")
    if block.count(b"\n") != ends or block.count(b"\r") != ends:
        raise UnreadableMail("the header holds a bare CR or LF")
    if b"\0" in block:
        raise UnreadableMail("the header holds a NUL character")
    if end < 0:
        return Message(parse_fields(block), view[:0], ends_in_header=True)
    return Message(parse_fields(block), view[end + 4 :])
