"""The production server on a real socket: it names nobody, and bounds what strangers send."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from tests.doubles.admin_site import AdminSite
from tests.servers.site import serving


@pytest.fixture
def port(site: AdminSite) -> Iterator[int]:
    with serving(site.app) as number:
        yield number


def test_it_serves_and_does_not_introduce_itself(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("Server") is None
    assert b'"status":"ok"' in answer.read()
    connection.close()


def test_forwarded_headers_of_strangers_are_dropped(port: int) -> None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"X-Forwarded-Host": "evil.example", "Host": "evil.example"})
    answer = connection.getresponse()
    assert answer.getheader("Location") == "/login", "never an absolute address made of what the visitor sent"
    answer.read()
    connection.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 40_000 + b"\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
def test_endless_and_garbled_requests_end(port: int, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
        stranger.sendall(request_bytes)
        answer = stranger.recv(4096)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert b"waitress" not in answer.lower() and b"Traceback" not in answer
