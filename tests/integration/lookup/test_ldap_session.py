"""The gateway's own LDAP connection against a real slapd: TLS that is checked, searches, trouble in words."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ime_gateway.lookup.ldap_entries import LdapSession, LdapTrouble
from ime_gateway.settings.model import Ldap
from tests.pki import make_user
from tests.servers.gateway import free_port
from tests.servers.slapd import PASSWORD, READER, SUFFIX, Entry, Slapd

BOB = make_user("bob@acme.example", None)
EVERYTHING = "(objectClass=*)"
NAMES = ("cn", "mail", "userCertificate", "member")


def open_session(settings: Ldap, environment: Mapping[str, str], seconds: float) -> LdapSession:
    """The real one; imported here, as the gateway does, because only who has a directory needs its library."""
    from ime_gateway.lookup import ldap_session

    return ldap_session.open_session(settings, environment, seconds)


def entries() -> list[Entry]:
    people: list[Entry] = [
        (f"cn=p{number},{SUFFIX}", {"objectClass": ["inetOrgPerson"], "cn": [f"p{number}"], "sn": ["p"]})
        for number in range(8)
    ]
    bob = {"objectClass": ["inetOrgPerson"], "cn": ["Bob, Büro (1)"], "sn": ["b"], "mail": ["b*b@acme.example"]}
    return [(f"cn=bob,{SUFFIX}", {**bob, "cn": ["bob", "Bob, Büro (1)"], "userCertificate;binary": [BOB.der]}), *people]


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd(ad=False, entries=entries()) as server:
        yield server


def directory(slapd: Slapd, **changes: object) -> Ldap:
    values = {
        "name": "corp",
        "url": f"ldaps://127.0.0.1:{slapd.tls_port}",
        "ca_file": slapd.ca_file,
        "base": SUFFIX,
        "bind_dn": READER,
        "password": PASSWORD,
        "groups": True,
    }
    return Ldap.model_validate({**values, **changes})


@pytest.mark.parametrize("starttls", [False, True])
def test_over_tls_from_the_start_or_by_starttls(slapd: Slapd, starttls: bool) -> None:
    changes = {"url": f"ldap://127.0.0.1:{slapd.port}", "starttls": True} if starttls else {}
    session = open_session(directory(slapd, **changes), {}, 10.0)
    found = session.search(SUFFIX, "(mail=b\\2ab@acme.example)", "subtree", NAMES, 10)
    assert [one.dn for one in found] == [f"cn=bob,{SUFFIX}"]
    assert found[0].attributes["usercertificate;binary"] == (BOB.der,)
    assert set(found[0].attributes["cn"]) == {b"bob", "Bob, Büro (1)".encode()}
    assert "member" not in found[0].attributes
    session.close()


def test_bases_that_are_not_there_and_limits(slapd: Slapd) -> None:
    session = open_session(directory(slapd), {}, 10.0)
    assert session.search(f"cn=gone,{SUFFIX}", EVERYTHING, "base", NAMES, 1) == []
    with pytest.raises(LdapTrouble, match="noSuchObject"):
        session.search("dc=other", EVERYTHING, "subtree", NAMES, 1)
    assert len(session.search(SUFFIX, "(sn=p)", "subtree", NAMES, 3)) == 3
    assert len(session.search("", EVERYTHING, "base", ("supportedCapabilities",), 1)) == 1
    session.close()


def test_a_filter_that_is_none_and_a_base_that_is_none(slapd: Slapd) -> None:
    session = open_session(directory(slapd), {}, 10.0)
    with pytest.raises(LdapTrouble):
        session.search(SUFFIX, "(mail=b", "subtree", NAMES, 1)
    with pytest.raises(LdapTrouble):
        session.search("no name", EVERYTHING, "base", NAMES, 1)
    session.close()


def test_a_certificate_of_nobody_we_trust_is_refused(slapd: Slapd, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(BOB.pem)
    for changes in ({"ca_file": other}, {"ca_file": None}):
        for way in ({}, {"url": f"ldap://127.0.0.1:{slapd.port}", "starttls": True}):
            with pytest.raises(LdapTrouble, match=r"(?i)certificate|ssl|tls"):
                open_session(directory(slapd, **changes, **way), {}, 10.0)


def test_a_certificate_for_another_name_is_refused(slapd: Slapd) -> None:
    with pytest.raises(LdapTrouble, match=r"(?i)certificate|ssl|tls|address"):
        open_session(directory(slapd, url=f"ldaps://127.1:{slapd.tls_port}"), {}, 10.0)
    open_session(directory(slapd, url=f"ldaps://localhost:{slapd.tls_port}"), {}, 10.0).close()


def test_a_wrong_password_says_so_and_shows_none(slapd: Slapd) -> None:
    with pytest.raises(LdapTrouble) as caught:
        open_session(directory(slapd, password="Wr0ng.Secret"), {}, 10.0)
    assert "Wr0ng.Secret" not in str(caught.value) and "redential" in str(caught.value)


def test_passwords_from_a_file_and_from_the_environment(slapd: Slapd, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nrest\n")
    open_session(directory(slapd, password="", password_file=file), {}, 10.0).close()
    open_session(directory(slapd, password="", password_env="LDAP_PW"), {"LDAP_PW": PASSWORD}, 10.0).close()
    for changes in ({"password_file": tmp_path / "none"}, {"password_env": "LDAP_PW"}):
        with pytest.raises(LdapTrouble, match="password"):
            open_session(directory(slapd, password="", **changes), {}, 10.0)


def test_nobody_there_is_trouble() -> None:
    settings = {"name": "corp", "url": f"ldap://127.0.0.1:{free_port()}", "base": SUFFIX, "groups": True}
    with pytest.raises(LdapTrouble):
        open_session(Ldap.model_validate(settings), {}, 5.0)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"0\x84\xff\xff\xff\xff",
        b"0\x80\0\0",
        b"0\x0c\2\1\1a\7\n\1\0\4\0\4\0",
        os.urandom(300),
    ],
)
def test_nonsense_is_trouble(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
        settings = Ldap.model_validate({"name": "corp", "url": url, "base": SUFFIX, "groups": True})
        try:
            with pytest.raises(LdapTrouble), closing(open_session(settings, {}, 5.0)) as session:
                session.search(SUFFIX, EVERYTHING, "subtree", NAMES, 1)
        finally:
            thread.join(30)


BOUND = b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
"""BindResponse: success."""


def answer_to(request: bytes, operation: bytes) -> bytes:
    """An LDAPMessage (RFC 4511 section 4.1.1) with the request's id, which ldap3 counts for the whole process."""
    at = 2 if request[1] < 0x80 else 2 + request[1] - 0x80
    inside = request[at : at + 2 + request[at + 1]] + operation
    return b"0" + bytes([len(inside)]) + inside


def test_a_referral_is_not_followed() -> None:
    """A whole answer by hand: success to the bind, then a referral to a server that records who comes."""
    with socket.create_server(("127.0.0.1", 0)) as trap, socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        trap.settimeout(0.5)
        target = f"ldap://127.0.0.1:{trap.getsockname()[1]}/dc=x".encode()
        uris = b"\x04" + bytes([len(target)]) + target
        body = b"\x0a\x01\x0a\x04\x00\x04\x00\xa3" + bytes([len(uris)]) + uris
        done = b"\x65" + bytes([len(body)]) + body

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                bind = peer.recv(1000)
                peer.sendall(answer_to(bind, BOUND))
                asked = peer.recv(1000)
                peer.sendall(answer_to(asked, done))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
        session = open_session(Ldap.model_validate({"name": "c", "url": url, "base": SUFFIX, "groups": True}), {}, 5.0)
        with closing(session), pytest.raises(LdapTrouble, match="referral"):
            session.search(SUFFIX, EVERYTHING, "subtree", NAMES, 1)
        thread.join(30)
        with pytest.raises(TimeoutError):
            trap.accept()


def test_no_password_goes_to_a_server_that_does_not_begin_tls() -> None:
    """It answers StartTLS with protocolError (RFC 4511 section 4.14.2), as one that was told not to offer it."""
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                said.append(peer.recv(1000))
                peer.sendall(answer_to(said[0], b"\x78\x07\x0a\x01\x02\x04\x00\x04\x00"))
                said.append(peer.recv(1000))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
        values = {"name": "c", "url": url, "starttls": True, "base": SUFFIX, "bind_dn": READER, "password": PASSWORD}
        with pytest.raises(LdapTrouble, match=r"(?i)tls"):
            open_session(Ldap.model_validate(values), {}, 5.0)
        thread.join(30)
    assert b"1.3.6.1.4.1.1466.20037" in said[0] and PASSWORD.encode() not in b"".join(said)


def test_cutting_ends_a_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)
        asked = threading.Event()

        def serve() -> None:
            peer, _ = listening.accept()
            bind = peer.recv(1000)
            peer.sendall(answer_to(bind, BOUND))
            peer.recv(1000)
            asked.set()
            peer.recv(1000)
            peer.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
        session = open_session(Ldap.model_validate({"name": "c", "url": url, "base": SUFFIX, "groups": True}), {}, 60.0)
        cutting = threading.Thread(daemon=True, target=lambda: (asked.wait(30), session.cut()))
        cutting.start()
        with closing(session), pytest.raises(LdapTrouble):
            session.search(SUFFIX, EVERYTHING, "subtree", NAMES, 1)
        cutting.join(30)
        thread.join(30)


def test_a_server_that_drips_while_it_lets_us_in_is_cut() -> None:
    """Each octet comes in time, the answer never ends: the thread must not be lost for good."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def drip() -> None:
            peer, _ = listening.accept()
            with peer, suppress(OSError):
                peer.recv(4096)
                peer.sendall(b"\x30\x84\x00\xff\xff\xff")
                while not over.wait(0.05):
                    peer.sendall(b"\x02")

        server = threading.Thread(target=drip, daemon=True)
        server.start()
        settings = Ldap.model_validate(
            {"name": "drips", "url": f"ldap://127.0.0.1:{port}", "base": SUFFIX, "starttls": False}
        )
        ended: list[BaseException] = []

        def connect() -> None:
            try:
                open_session(settings, {}, 0.4)
            except LdapTrouble as error:
                ended.append(error)

        client = threading.Thread(target=connect, daemon=True)
        client.start()
        client.join(6)
        over.set()
        server.join(5)
        assert ended, "it gave up by itself"


def test_openssl_agrees_that_the_server_is_who_it_says(slapd: Slapd) -> None:
    """What the refusals above rest on: the same server is fine for whoever has its CA."""
    context = ssl.create_default_context(cafile=str(slapd.ca_file))
    with socket.create_connection(("127.0.0.1", slapd.tls_port)) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()
