"""Fetching from strangers: bounded in time, size, redirects and reach. Real sockets on loopback."""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ime_gateway.lookup.fetch import Fetcher
from ime_gateway.ports.revocation import Unfetched
from tests.pki import Entity, make_ca, make_user
from tests.revocation import WebServer, send

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
LIMIT = 100_000


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def get(url: str, *, seconds: float = 20.0, allowed: tuple[ipaddress.IPv4Network, ...] = LOOPBACK) -> bytes | str:
    got = asyncio.run(Fetcher(seconds, LIMIT, allowed).fetch(url))
    return got.why if isinstance(got, Unfetched) else got


def test_the_connection_goes_to_the_address_that_was_judged(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose answer changes between the look and the leap (DNS rebinding) is asked for once only."""
    answers = [
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", web.port))],
        [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", web.port))],
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.pop(0))
    web.give("/a", b"octets")
    assert get(f"http://crl.example:{web.port}/a") == b"octets"
    assert len(answers) == 1 and web.headers[0]["host"] == f"crl.example:{web.port}"


def over_tls(folder: Path, ca: Entity) -> WebServer:
    """One that is crl.example, says a CA."""
    names = x509.SubjectAlternativeName([x509.DNSName("crl.example")])
    made = make_user(
        "crl.example", ca, kind="p256", san=False, eku=(ExtendedKeyUsageOID.SERVER_AUTH,), extra=[(names, False)]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made.write(folder, "web"))
    return WebServer(context)


def test_https_is_checked_by_the_name_in_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = make_ca("Web CA", kind="p256")
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(ca.pem)
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more))
    server = over_tls(tmp_path, ca)
    server.give("/a", b"octets")
    try:
        assert "CERTIFICATE_VERIFY_FAILED" in str(get(f"https://crl.example:{server.port}/a")), "a CA of nobody's"
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert get(f"https://crl.example:{server.port}/a") == b"octets"
        assert "CERTIFICATE_VERIFY_FAILED" in str(get(f"https://other.example:{server.port}/a"))
        assert server.asked == ["/a"]
    finally:
        server.close()


def test_get_and_post(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    web.give("/a?b=c", b"octets")
    assert get(web.url("/a?b=c")) == b"octets"
    assert not web.headers[0].keys() & {"authorization", "cookie", "proxy-authorization", "referer"}
    fetcher = Fetcher(20.0, LIMIT, LOOPBACK)
    web.give("/ocsp", b"answer")
    assert asyncio.run(fetcher.fetch(web.url("/ocsp"), b"question", "application/ocsp-request")) == b"answer"
    assert web.bodies[-1] == b"question" and web.headers[-1]["content-type"] == "application/ocsp-request"


def test_loopback_is_not_asked_by_any_name(web: WebServer) -> None:
    web.give("/", b"secret")
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0"):
        told = get(f"http://{host}:{web.port}/", allowed=())
        assert isinstance(told, str) and "allow_networks" in told, (host, told)
    assert web.asked == []


def redirect(url: str, status: int = 302) -> "object":
    return lambda handler: send(handler, b"", status, Location=url)


def test_redirects_are_judged_anew(web: WebServer) -> None:
    web.give("/end", b"octets")
    web.paths["/relative"] = redirect("end")  # type: ignore[assignment]
    assert get(web.url("/relative")) == b"octets"
    for place in ("http://127.0.0.2/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "//10.0.0.1/"):
        web.paths["/away"] = redirect(place)  # type: ignore[assignment]
        assert "allow_networks" in str(get(web.url("/away"))), place
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/", "ldap://127.0.0.1/", "gopher://127.0.0.1/"):
        web.paths["/away"] = redirect(place)  # type: ignore[assignment]
        assert "only http and https" in str(get(web.url("/away"))), place
    web.paths["/away"] = redirect(web.url("/end").replace("//", "//user:password@"))  # type: ignore[assignment]
    assert "a user" in str(get(web.url("/away")))


def test_three_redirects_and_no_more(web: WebServer) -> None:
    for number in range(5):
        web.paths[f"/{number}"] = redirect(f"/{number + 1}")  # type: ignore[assignment]
    web.give("/5", b"octets")
    assert get(web.url("/2")) == b"octets"
    assert get(web.url("/1")) == "more than 3 redirects"
    web.paths["/round"] = redirect("/round")  # type: ignore[assignment]
    assert get(web.url("/round")) == "more than 3 redirects"


def test_a_post_is_not_sent_on_as_something_else(web: WebServer) -> None:
    fetcher = Fetcher(20.0, LIMIT, LOOPBACK)
    web.give("/end", b"octets")
    for status, expected in ((302, Unfetched("HTTP status 302")), (307, b"octets")):
        web.paths["/ocsp"] = redirect("/end", status)  # type: ignore[assignment]
        assert asyncio.run(fetcher.fetch(web.url("/ocsp"), b"question", "x/y")) == expected
    assert web.bodies[-1] == b"question"


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for _ in range(10_000):
        handler.wfile.write(b"400\r\n" + bytes(0x400) + b"\r\n")


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(65_536))


def test_size_is_limited_whatever_is_announced(web: WebServer) -> None:
    web.give("/just", bytes(LIMIT))
    web.give("/more", bytes(LIMIT + 1))
    web.paths["/chunked"], web.paths["/endless"] = chunked, endless
    assert get(web.url("/just")) == bytes(LIMIT)
    assert f"at most {LIMIT}" in str(get(web.url("/more")))
    assert f"more than {LIMIT}" in str(get(web.url("/chunked"))) and f"more than {LIMIT}" in str(
        get(web.url("/endless"))
    )


def test_other_answers(web: WebServer) -> None:
    web.paths["/gone"] = lambda handler: send(handler, b"no", 410)
    web.paths["/zip"] = lambda handler: send(handler, b"bomb", 200, Content_Encoding="gzip")
    web.paths["/headers"] = lambda handler: send(handler, b"", 200, **{f"X_{number}": "y" for number in range(200)})
    assert get(web.url("/gone")) == "HTTP status 410"
    assert "compressed" in str(get(web.url("/zip")))
    assert isinstance(get(web.url("/headers")), str)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    assert "refused" in str(get(f"http://127.0.0.1:{port}/"))
    assert "TLS" in str(get(f"https://127.0.0.1:{web.port}/"))


OK = b"HTTP/1.0 200 OK\r\n"


@pytest.mark.parametrize("drip", [b"", b"H", OK + b"X: ", OK + b"Content-Length: 9999\r\n\r\n"])
def test_a_slow_peer_costs_its_time_and_no_more(drip: bytes) -> None:
    """It says nothing, or one octet now and then, so that no single wait ever ends by itself."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(drip)
                while drip and not stop.wait(0.05):
                    try:
                        peer.sendall(b"a")
                    except OSError:
                        return
                stop.wait(30)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        told = get(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=0.4)
        assert told == "no answer within 0.4 s"
        stop.set()
        thread.join()


def test_cancelling_breaks_the_connection_off() -> None:
    async def go() -> None:
        gone = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            asked.set()
            while await reader.read(1000):
                pass
            gone.set()
            writer.close()

        asked = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        task = asyncio.create_task(Fetcher(60.0, LIMIT, LOOPBACK).fetch(f"http://127.0.0.1:{port}/"))
        await asked.wait()
        task.cancel()
        await asyncio.wait_for(gone.wait(), 30)
        server.close()
        await server.wait_closed()

    asyncio.run(go())


def test_troubles_of_the_network_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        refused = get(f"http://127.0.0.1:{taken.getsockname()[1]}/a.crl")
    assert refused == "the server refused the connection"

    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert get("http://crl.example/a.crl") == "the name of the server cannot be resolved"
