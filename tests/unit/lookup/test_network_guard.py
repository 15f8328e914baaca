"""Which addresses a certificate may make us ask: public ones only, in whatever clothes the others come."""

import ipaddress
import socket

import pytest

from ime_gateway.lookup.network_guard import Forbidden, permitted, resolve, target

PRIVATE = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9"),
    *("224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1"),
    *("64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "100::1"),
    *("3fff::1", "3fff:fff::1", "::ffff:168.63.129.16", "64:ff9b::a83f:8110"),
    *("localhost", "", "1.2.3", "0x7f000001"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_never_asked(address: str) -> None:
    assert not permitted(address, ())


@pytest.mark.parametrize(
    "address",
    ["9.9.9.9", "168.63.129.17", "3ffe::1", "2620:fe::fe", "::ffff:9.9.9.9", "2002:909:909::1", "64:ff9b::909:909"],
)
def test_public_ones_are_asked(address: str) -> None:
    assert permitted(address, ())


def test_what_an_administrator_allows() -> None:
    inside = (ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:1::/32"))
    for address in ("10.20.1.1", "::ffff:10.20.1.1", "fd00:1::5"):
        assert permitted(address, inside)
    for address in ("10.21.1.1", "127.0.0.1", "fd00:2::5", "::1"):
        assert not permitted(address, inside)


def test_names_are_judged_by_every_address_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*addresses: str) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    answer("10.0.0.1", "127.0.0.1")
    with pytest.raises(Forbidden, match=r"crl\.example \(10\.0\.0\.1, 127\.0\.0\.1\)"):
        resolve("crl.example", 80, ())
    answer("10.0.0.1", "9.9.9.9")
    assert resolve("crl.example", 80, ()) == [(socket.AF_INET, ("9.9.9.9", 80))], "never the private one of the two"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://x.example/", "file:///etc/passwd", "gopher://x.example/", "//x.example/", "x", "http:///x", "http://"),
        *("http://user@x.example/", "http://u:p@x.example/", "http://x.example:25/", "http://x.example:99999/"),
        *("http://x.example:389/", "http://x.example/\r\nHost: y", "http://x.example/ü", "http://[::1/", "ldap://x/"),
    ],
)
def test_urls_that_are_not_asked(url: str) -> None:
    with pytest.raises(Forbidden):
        target(url, ("http", "https"))


def test_ports() -> None:
    assert target("HTTP://x.example/a", ("http", "https"))[1:] == ("x.example", 80)
    assert target("https://x.example:443/a", ("http", "https"))[1:] == ("x.example", 443)
    assert target("http://x.example:8080/a", ("http", "https"))[1:] == ("x.example", 8080)
    with pytest.raises(Forbidden, match="port 0 is not asked"):
        target("http://x.example:0/", ("http",))
