"""What an administrator reads when a directory refuses or goes away: what happened, what it holds now, what to do."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_publisher import LdapPublisher
from addin_sim.address_list.publisher import Action, Contact, Outcome
from addin_sim.address_list.settings import LdapSettings
from tests.ime_contact import contact_of
from tests.pki import make_user
from tests.servers.ad_world import (
    PEOPLE,
    PLACE,
    READER,
    READER_PASSWORD,
    SUFFIX,
    USERS,
    WRITER,
    WRITER_PASSWORD,
    as_admin,
    dns_below,
    read,
)
from tests.servers.slapd_ad import SlapdAd, user

DN = f"cn=_IME domain-confidentiality-authority,{PLACE}"
ACCOUNT: dict[str, Any] = {"base": SUFFIX, "place": PLACE, "user": WRITER, "password": WRITER_PASSWORD}
ODD, ODD_PASSWORD = f"CN=odd,{USERS}", "Pä²\u017f\u00a0ª \uff21I\u00ad"
"""A password that SASLprep (RFC 4013) would turn into another one."""


@pytest.fixture(scope="module")
def shared() -> Iterator[SlapdAd]:
    odd = user("odd", "odd@acme.example", USERS, userPassword=[ODD_PASSWORD])
    with SlapdAd(exchange=True, referral="ldap://dc9.elsewhere.example", entries=[odd]) as server:
        yield server


@pytest.fixture
def ad(shared: SlapdAd) -> Iterator[SlapdAd]:
    yield shared
    for dn in dns_below(shared, PLACE):
        with as_admin(shared) as connection:
            connection.delete(dn)


def settings(server: SlapdAd, **changes: Any) -> LdapSettings:
    return LdapSettings.model_validate(
        {
            "url": server.url,
            "ca_file": server.ca_file,
            **ACCOUNT,
            **changes,
        }
    )


def published(
    where: LdapSettings, contact: Contact, say: Callable[[str], None] = lambda _: None, *, remove: bool = False
) -> Outcome:
    with closing(LdapPublisher(where, say)) as publisher:
        return publisher.carry_out(publisher.plan_removal(contact) if remove else publisher.plan(contact))


def refusal(
    where: LdapSettings, contact: Contact, say: Callable[[str], None] = lambda _: None, *, remove: bool = False
) -> str:
    with pytest.raises(AddressListError) as refused:
        published(where, contact, say, remove=remove)
    return str(refused.value)


def when(word: str, action: Callable[[], object]) -> Callable[[str], None]:
    """A progress that acts when a step begins."""

    def say(sentence: str) -> None:
        if sentence.startswith(word):
            action()

    return say


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": "wrong"}, "user or password is wrong (invalidCredentials)"),
        ({"user": "CN=nobody,DC=ad,DC=ime,DC=test"}, "invalidCredentials"),
        ({"user": "imesvc@ad.ime.test"}, "that is no distinguished name"),
        ({"password": ""}, "needs a user and a password"),
        ({"user": ""}, "needs a user and a password"),
        ({"bind": "anonymous"}, "Anonymous users do not write"),
        ({"bind": "external"}, "Set client_certificate"),
        ({"bind": "gssapi"}, "gssapi"),
        ({"place": ""}, "Set place in [address_list.ldap]"),
        ({"place": f"OU=Nowhere,{SUFFIX}"}, f"There is no OU=Nowhere,{SUFFIX}"),
        ({"base": f"OU=Nowhere,{SUFFIX}"}, "there is no such entry (noSuchObject)"),
        ({"base": "DC=other,DC=test"}, "refers the search in DC=other,DC=test to ldap://dc9.elsewhere.example"),
        ({"user": READER, "password": READER_PASSWORD}, "no right"),
        ({"place": PEOPLE}, "no right"),
        ({"ca_file": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be used: No such file"),
        ({"ca_file": __file__}, "cannot be used: it holds no fit PEM"),
    ],
)
def test_a_refusal_says_why_and_what_is_there(ad: SlapdAd, changes: dict[str, str], words: str) -> None:
    said = refusal(settings(ad, **changes), contact_of())
    assert words in said and said.endswith(".") and "\n" not in said
    assert "Nothing was changed" in said or "The directory holds no" in said, said
    assert WRITER_PASSWORD not in said and READER_PASSWORD not in said
    assert dns_below(ad, PLACE) == dns_below(ad, PEOPLE) == []


def test_a_password_is_sent_as_it_is(ad: SlapdAd) -> None:
    with closing(LdapPublisher(settings(ad, user=ODD, password=ODD_PASSWORD), lambda _: None)) as publisher:
        assert publisher.plan(contact_of()).action is Action.ADD


@pytest.mark.parametrize(
    "address", ["*", "*)(mail=*", "od*@acme.example", "odd@acme.example)(!(mail=x)", "\\2a", "\x00"]
)
def test_no_address_becomes_a_filter(ad: SlapdAd, address: str) -> None:
    where = settings(ad)
    other = contact_of("other@acme.example")
    published(where, other)
    assert published(where, contact_of(address), remove=True).action is Action.NOTHING
    assert published(where, contact_of(address)).action is Action.ADD
    assert published(where, contact_of(address), remove=True).action is Action.REMOVE
    assert len(dns_below(ad, PLACE)) == 1 and read(ad, DN)["userCertificate"] == [other.certificate]


def test_a_contact_that_lost_its_address_is_known_by_where_its_mail_goes(ad: SlapdAd) -> None:
    first, second = contact_of(), contact_of()
    published(settings(ad), first)
    with as_admin(ad) as connection:
        connection.modify(DN, {"mail": [("MODIFY_DELETE", [])], "proxyAddresses": [("MODIFY_DELETE", [])]})
    assert published(settings(ad), second).action is Action.CHANGE
    assert len(dns_below(ad, PLACE)) == 1
    assert read(ad, DN)["mail"] == [second.address.encode()]


@pytest.mark.parametrize("bind", ["simple", "external", "gssapi"])
def test_nothing_is_said_to_a_server_without_tls(ad: SlapdAd, bind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"ldap://127.0.0.1:{listening.getsockname()[1]}"
        changes = {"url": url, "starttls": False, "bind": bind, "client_certificate": ad.client_certificate}
        said = refusal(settings(ad, **changes), contact_of())
        assert "without TLS" in said and "Nothing was changed" in said
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has come
            listening.accept()


@pytest.mark.parametrize("secured", ["url", "plain_url"])
@pytest.mark.parametrize("fault", ["another ca", "no ca", "another name"])
def test_no_password_goes_to_a_server_that_is_not_the_right_one(ad: SlapdAd, secured: str, fault: str) -> None:
    url = getattr(ad, secured)
    changes = {
        "another ca": {"url": url, "ca_file": ad.other_ca_file},
        "no ca": {"url": url, "ca_file": None},
        "another name": {"url": url.replace("127.0.0.1", "127.1")},
    }[fault]
    before = ad.log().count(" BIND ")
    said = refusal(settings(ad, **changes), contact_of())
    assert ("is for another name" if fault == "another name" else "is not signed by") in said
    assert "the password was not sent" in said and "Nothing was changed" in said
    assert ad.log().count(" BIND ") == before


def test_a_port_that_speaks_no_tls_and_one_that_nobody_listens_at(ad: SlapdAd, free_port: int) -> None:
    said = refusal(settings(ad, url=ad.plain_url.replace("ldap:", "ldaps:")), contact_of())
    assert "does not begin TLS" in said and "Nothing was changed" in said
    said = refusal(settings(ad, url=f"ldaps://127.0.0.1:{free_port}"), contact_of())
    assert "cannot be reached: Connection refused" in said and "Nothing was changed" in said


def test_the_server_is_killed_before_the_change(ad: SlapdAd) -> None:
    try:
        said = refusal(settings(ad), contact_of(), when("Adding", ad.kill))
    finally:
        ad.resume()
    assert "it is not known whether the change was made" in said and "Run the same command again" in said
    assert dns_below(ad, PLACE) == []


def test_the_server_is_killed_while_it_is_read(ad: SlapdAd) -> None:
    try:
        said = refusal(settings(ad), contact_of(), when("Reading the schema", ad.kill))
    finally:
        ad.resume()
    assert "Nothing was changed" in said


def test_the_server_answers_nothing_any_more(ad: SlapdAd) -> None:
    try:
        said = refusal(settings(ad, timeout_seconds=2), contact_of(), when("Adding", ad.freeze))
    finally:
        ad.thaw()
    assert "it does not answer in time" in said and "it is not known whether the change was made" in said


def test_a_right_that_is_missing_leaves_the_old_certificate_and_says_so(ad: SlapdAd) -> None:
    first = contact_of()
    published(settings(ad), first)
    said = refusal(settings(ad, user=READER, password=READER_PASSWORD), contact_of())
    assert f"{DN} has certificate {first.thumbprint}".lower() in said.lower() and "no right" in said
    with pytest.raises(AddressListError, match=r"refuses the removal of .* has certificate sha256:"):
        published(settings(ad, user=READER, password=READER_PASSWORD), first, remove=True)
    assert read(ad, DN)["userCertificate"] == [first.certificate]


def test_a_read_only_copy_refers_to_the_server_that_is_not_followed(free_port: int) -> None:
    original = f"ldap://127.0.0.1:{free_port}"
    with SlapdAd(copy_of=original) as copy:
        said = refusal(settings(copy), contact_of())
        assert dns_below(copy, PLACE) == []
    assert f"refers the addition of {DN}".lower() in said.lower() and f"to {original}/" in said
    assert "The directory holds no" in said and "name that server as url" in said


def test_a_server_whose_certificate_has_expired_gets_no_password(tmp_path: Path) -> None:
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    old = make_user("dc1", kind="p256", expired=True, ku=None, eku=None, san=False, extra=[(here, False)])
    (tmp_path / "old.pem").write_bytes(old.pem + old.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "old.pem")

    def shake_hands(client: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(client, server_side=True) as secured:
            heard.append(secured.recv(65536))

    heard: list[bytes] = []
    with one_client(shake_hands) as port:
        where = LdapSettings(url=f"ldaps://127.0.0.1:{port}", ca_file=tmp_path / "old.pem", **ACCOUNT)
        said = refusal(where, contact_of())
    assert "is out of time (certificate has expired)" in said and "the password was not sent" in said
    assert not any(heard)


def test_whoever_strips_starttls_gets_no_password() -> None:
    def refuse_tls(client: socket.socket) -> None:
        heard.append(client.recv(65536))
        number = heard[0][2 : 4 + heard[0][3]]
        answer = number + bytes.fromhex("78070a010204000400")  # ExtendedResponse: protocolError
        client.sendall(bytes([0x30, len(answer)]) + answer)
        while data := client.recv(65536):
            heard.append(data)

    heard: list[bytes] = []
    with one_client(refuse_tls) as port:
        said = refusal(LdapSettings(url=f"ldap://127.0.0.1:{port}", **ACCOUNT), contact_of())
    assert "refuses the StartTLS" in said and "protocolError" in said and "Nothing was changed" in said
    assert b"1.3.6.1.4.1.1466.20037" in heard[0]  # StartTLS, RFC 4511 section 4.14.1
    assert WRITER_PASSWORD.encode() not in b"".join(heard) and WRITER.encode() not in b"".join(heard)


def test_a_change_that_cannot_be_read_back_says_that_it_was_made(ad: SlapdAd) -> None:
    contact = contact_of()
    try:
        said = refusal(settings(ad), contact, when("Reading it back", ad.kill))
    finally:
        ad.resume()
    assert "The change was made, but could not be read again" in said and "Run the same command again" in said
    assert read(ad, DN)["userCertificate"] == [contact.certificate]


def test_of_two_who_publish_at_once_the_later_one_learns_what_is_there(ad: SlapdAd) -> None:
    first, second = contact_of(), contact_of()
    said = refusal(settings(ad), second, when("Adding", lambda: published(settings(ad), first)))
    assert "an entry of this name exists already" in said and f"has certificate {first.thumbprint}" in said
    assert read(ad, DN)["userCertificate"] == [first.certificate]
    assert published(settings(ad), second).action is Action.CHANGE


def test_a_server_that_shows_another_state_than_it_took_is_not_believed(ad: SlapdAd) -> None:
    first = contact_of()
    published(settings(ad), first)
    with closing(LdapPublisher(settings(ad), lambda _: None)) as publisher:
        elsewhere = replace(publisher.plan(contact_of()), place=f"CN=another,{PLACE}")
        with pytest.raises(AddressListError, match="took the change and shows another state: The directory holds no"):
            publisher.carry_out(elsewhere)


@contextmanager
def one_client(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which `talk` has the first who comes."""

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            talk(client)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=20)


class Wire:
    """A connection in the middle that can be cut: on the way there, or on the way back."""

    def __init__(self, target: int) -> None:
        self.cut = ""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"ldaps://127.0.0.1:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for way, source, sink in (("there", client, server), ("back", server, client)):
                    self._threads.append(threading.Thread(target=self._pass, args=(way, source, sink)))
                    self._threads[-1].start()

    def _pass(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.cut == way:
                    self.cut = ""
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=20)
        for one in self._open:
            one.close()


@pytest.fixture
def wire(ad: SlapdAd) -> Iterator[Wire]:
    with closing(Wire(ad.tls_port)) as made:
        yield made


@pytest.mark.parametrize("step", ["adding", "changing", "removing"])
def test_an_answer_that_is_lost_is_looked_up(ad: SlapdAd, wire: Wire, step: str) -> None:
    if step != "adding":
        published(settings(ad), contact_of())
    contact = contact_of()
    cut = when(step.capitalize(), lambda: setattr(wire, "cut", "back"))
    outcome = published(settings(ad, url=wire.url), contact, cut, remove=step == "removing")
    assert "the change is there" in outcome.remarks[-1]
    assert outcome.action in (Action.ADD, Action.CHANGE, Action.REMOVE)
    assert read(ad, DN).get("userCertificate") == (None if step == "removing" else [contact.certificate])


@pytest.mark.parametrize("step", ["adding", "changing", "removing"])
def test_a_request_that_is_lost_leaves_what_was_there(ad: SlapdAd, wire: Wire, step: str) -> None:
    first = contact_of()
    if step != "adding":
        published(settings(ad), first)
    cut = when(step.capitalize(), lambda: setattr(wire, "cut", "there"))
    said = refusal(settings(ad, url=wire.url), contact_of(), cut, remove=step == "removing")
    there = "The directory holds no" if step == "adding" else f"has certificate {first.thumbprint}"
    assert "broke during the" in said and there in said and "Run the same command again" in said
    assert read(ad, DN).get("userCertificate") == (None if step == "adding" else [first.certificate])
