import ipaddress

import pytest

from ime_gateway.smtp.proxy_protocol import ProxyHeader, ProxyHeaderError, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + bytes((0x20 | command, family)) + len(addresses).to_bytes(2, "big") + addresses


V4 = ipaddress.ip_address("192.0.2.7").packed + ipaddress.ip_address("198.51.100.1").packed + bytes(4)
V6 = ipaddress.ip_address("2001:db8::7").packed + ipaddress.ip_address("2001:db8::1").packed + bytes(4)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 5 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 5 25\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", ""),
        (v2(1, 0x11, V4), "192.0.2.7"),
        (v2(1, 0x21, V6 + b"some tlv"), "2001:db8::7"),
        (v2(0, 0x00, b""), ""),
        (v2(1, 0x31, bytes(216)), ""),
    ],
)
def test_headers_are_read_whenever_they_are_whole(header: bytes, client: str) -> None:
    for length in range(len(header)):
        assert read_header(header[:length]) is None
    assert read_header(header + b"EHLO x\r\n") == ProxyHeader(client, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 nonsense 198.51.100.1 5 25\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY UDP4 192.0.2.7 198.51.100.1 5 25\r\n",
        b"PROXY TCP4 " + b"1" * 100,
        v2(1, 0x11, V4[:8]),
        v2(2, 0x11, V4),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_header(data)
