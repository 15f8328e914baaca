"""A gateway with a directory: IME mail to a distribution group and to a person whose certificate only LDAP knows."""

import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.openssl import decrypt
from tests.pki import Entity, make_ca, make_user
from tests.servers.dovecot import Dovecot
from tests.servers.gateway import Gateway, free_port
from tests.servers.postfix import Postfix
from tests.servers.slapd import PASSWORD, READER, SUFFIX, Entry, Slapd
from tests.story.world import ime_mail

NAMES = ("anna", "bob", "carol")


@dataclass
class Office:
    gateway: Gateway
    dovecot: Dovecot
    slapd: Slapd
    people: dict[str, Entity]


def entries(people: dict[str, Entity]) -> list[Entry]:
    found: list[Entry] = [
        (
            f"cn={name},{SUFFIX}",
            {
                "objectClass": ["inetOrgPerson"],
                "cn": [name],
                "sn": [name],
                "mail": [f"{name}@acme.example"],
                "userCertificate;binary": [people[name].der],
            },
        )
        for name in NAMES
    ]
    group = {
        "objectClass": ["groupOfNames", "extensibleObject"],
        "cn": ["board"],
        "mail": ["board@acme.example"],
        "member": [f"cn=bob,{SUFFIX}", f"cn=carol,{SUFFIX}"],
    }
    return [*found, (f"cn=board,{SUFFIX}", group)]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder: Path = tmp_path_factory.mktemp("directory")
    root = make_ca("Acme Root CA")
    people = {name: make_user(f"{name}@acme.example", root) for name in NAMES}
    (folder / "root.pem").write_bytes(root.pem)
    users = [f"{name}@acme.example" for name in NAMES]
    with Dovecot(users) as dovecot, Slapd(ad=False, entries=entries(people)) as slapd:
        routes = {"imepseudodomain.local": free_port()}
        with Postfix(local_domains=["acme.example"], lmtp_port=dovecot.lmtp_port, routes=routes) as postfix:
            gateway = Gateway(folder)
            gateway.configure(next_hop=postfix.port, workers=1)
            with gateway.config.open("a") as config:
                config.write(
                    f"""[[ldap]]
name = "corp"
url = "ldaps://127.0.0.1:{slapd.tls_port}"
ca_file = "{slapd.ca_file}"
bind_dn = "{READER}"
password = "{PASSWORD}"
base = "{SUFFIX}"
certificates = "candidates"
groups = true
seconds = 10
"""
                )
            gateway.apply(
                f"""[[managed_domain]]
name = "acme.example"
deliver_to = "smtp://127.0.0.1:{postfix.port}"
[[root]]
file = "root.pem"
"""
            )
            gateway.start()
            try:
                yield Office(gateway, dovecot, slapd, people)
            finally:
                gateway.stop()


def send(office: Office, number: int, to: str) -> tuple[int, bytes]:
    with smtplib.SMTP("127.0.0.1", office.gateway.port, timeout=60) as client:
        client.ehlo("exchange.acme.example")
        client.mail("anna@acme.example")
        client.rcpt("ime@imepseudodomain.local")
        return client.data(ime_mail(number, [to], [], f"the secret {number}"))


def test_check_reaches_the_directory(office: Office) -> None:
    found = {one["key"]: one["level"] for one in office.gateway.json("check")["findings"]}
    assert found["ldap.corp"] == "ok"


def test_everybody_in_a_group_can_read_it_and_nobody_else(office: Office) -> None:
    code, text = send(office, 1, "board@acme.example")
    assert code == 250, text
    office.gateway.wait_until_empty()
    for name in ("bob", "carol"):
        (wire,) = office.dovecot.mails(f"{name}@acme.example")
        assert b"secret" not in wire
        assert b"the secret 1" in (decrypt(wire, office.people[name]) or b"")
        assert decrypt(wire, office.people["carol" if name == "bob" else "bob"]) is None


def test_mail_waits_while_the_directory_is_down_and_is_never_sent_in_clear(office: Office) -> None:
    office.slapd.stop()
    code, text = send(office, 2, "nobody@acme.example")
    assert code == 451 and b"lookup-timeout" in text
    office.slapd.resume()
    deadline = time.monotonic() + 60
    while code == 451:  # as a mail server does; after a failure the directory is left in peace for a moment
        assert time.monotonic() < deadline, text
        time.sleep(0.5)
        code, text = send(office, 2, "nobody@acme.example")
    assert code == 550 and b"no-certificate" in text
