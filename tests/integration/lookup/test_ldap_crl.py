"""CRLs behind LDAP URLs, from a real slapd and from peers that are none: guarded, bounded, never sent elsewhere."""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from ime_gateway.lookup.fetch import Fetcher
from ime_gateway.lookup.revocations import NetworkRevocations
from ime_gateway.ports.revocation import Unfetched
from tests.pki import make_ca, make_user
from tests.revocation import make_crl
from tests.servers.slapd import SUFFIX, Entry, Slapd

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
ROOT = make_ca("Directory Root")
CRL = make_crl(ROOT, [make_user("gone@partner.example", ROOT)])
DN = f"cn=Root%20CA,{SUFFIX}"
ASKED = "certificateRevocationList;binary"


def entries() -> list[Entry]:
    cn: list[str | bytes] = ["Root CA"]
    root = {"objectClass": ["cRLDistributionPoint"], "cn": cn, "certificateRevocationList;binary": [CRL]}
    other: list[str | bytes] = ["elsewhere"]
    moved = {"objectClass": ["referral", "extensibleObject"], "cn": other, "ref": [f"ldap://127.0.0.1:9/cn=x,{SUFFIX}"]}
    return [(f"cn=Root CA,{SUFFIX}", root), (f"cn=elsewhere,{SUFFIX}", moved)]


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd(ad=False, entries=entries(), anonymous=True) as server:
        yield server


def fetch(url: str, *, max_bytes: int = 1_000_000, seconds: float = 20.0, allowed: bool = True) -> bytes | Unfetched:
    fetcher = Fetcher(seconds, max_bytes, LOOPBACK if allowed else ())
    return asyncio.run(NetworkRevocations(fetcher).crl(url))


@pytest.mark.parametrize(
    "query",
    [
        f"?{ASKED}?base?objectClass=cRLDistributionPoint",
        f"?{ASKED}",
        "?certificateRevocationList",
        "",
        f"?{ASKED}?BASE",
    ],
)
def test_a_list_as_it_lies_there(slapd: Slapd, query: str) -> None:
    assert fetch(f"ldap://127.0.0.1:{slapd.port}/{DN}{query}") == CRL


def why(got: bytes | Unfetched) -> str:
    assert isinstance(got, Unfetched)
    return got.why


def test_what_is_not_there_or_not_asked_for(slapd: Slapd) -> None:
    server = f"ldap://127.0.0.1:{slapd.port}"
    assert "noSuchObject" in why(fetch(f"{server}/cn=nobody,{SUFFIX}?{ASKED}"))
    assert "no such list: success" in why(fetch(f"{server}/{DN}?deltaRevocationList;binary"))
    assert "another attribute" in why(fetch(f"{server}/{DN}?userPassword"))
    assert "no entry" in why(fetch(f"{server}/?{ASKED}"))
    assert "single entry" in why(fetch(f"{server}/{SUFFIX}?{ASKED}?sub?(cn=*)"))
    assert "single entry" in why(fetch(f"{server}/{DN}?{ASKED}?base?cn=*?!x-odd"))
    assert "invalidDNSyntax" in why(fetch(f"{server}/no%20name?{ASKED}"))


def test_a_referral_is_not_followed(slapd: Slapd) -> None:
    assert "referral" in why(fetch(f"ldap://127.0.0.1:{slapd.port}/cn=elsewhere,{SUFFIX}?{ASKED}"))


def test_a_list_larger_than_the_limit(slapd: Slapd) -> None:
    assert "more than 100 bytes" in why(fetch(f"ldap://127.0.0.1:{slapd.port}/{DN}?{ASKED}", max_bytes=100))


def test_addresses_that_are_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for url in (f"ldap://127.0.0.1:{port}/{DN}", f"ldap://localhost:{port}/{DN}"):
            assert "allow_networks" in why(fetch(url, allowed=False))
        assert "port 25 is not asked" in why(fetch(f"ldap://127.0.0.1:25/{DN}"))
        assert "names no host, or a user" in why(fetch(f"ldap://me:pw@127.0.0.1:{port}/{DN}"))
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has come
            listening.accept()


def test_the_connection_goes_to_the_address_that_was_judged(slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose answer changes between the look and the leap is never asked for again; ldap3 resolves on its own."""
    real, names = socket.getaddrinfo, []

    def resolver(host: str, *rest: object, **options: object) -> object:
        names.append(host)
        return real("127.0.0.1" if host == "crl.example" else host, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    assert fetch(f"ldap://crl.example:{slapd.port}/{DN}") == CRL
    assert names.count("crl.example") == 1


def test_the_certificate_of_ldaps_is_checked(slapd: Slapd) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in why(fetch(f"ldaps://127.0.0.1:{slapd.tls_port}/{DN}?{ASKED}"))


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """A server on a free port that does with its one client what it is told."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def start(behave: Callable[[socket.socket], None]) -> int:
        def run() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):  # the gateway hung up, as it should
                behave(client)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    listener.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive(), "the connection was left open"


def test_a_peer_that_sends_without_end(peer: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def flood(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(b"\x30\x84\x7f\xff\xff\xff")  # an LDAP message of two gigabytes
        while True:
            client.sendall(bytes(65_536))

    port = peer(flood)
    assert "more than 100000 bytes" in why(fetch(f"ldap://127.0.0.1:{port}/{DN}", max_bytes=100_000))


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
def test_a_peer_that_never_answers(scheme: str, peer: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def wait(client: socket.socket) -> None:
        while client.recv(4096):
            pass

    port = peer(wait)
    assert why(fetch(f"{scheme}://127.0.0.1:{port}/{DN}", seconds=0.3)).startswith("no answer")


@pytest.mark.parametrize("junk", [b"\x30\x80\x00\x00", b"\x30\x05\x02\x01\x01\x60\x00", b"\xff" * 50, b""])
def test_a_peer_that_is_no_directory(junk: bytes, peer: Callable[[Callable[[socket.socket], None]], int]) -> None:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(junk)

    port = peer(answer)
    assert why(fetch(f"ldap://127.0.0.1:{port}/{DN}", seconds=5.0))
