"""Certificates and groups from a real slapd, with RFC 4519 names and with those of Active Directory and Exchange.

The searches run through OpenLDAP's own client, which judges our filters; `test_ldap_session` does the same by the
library that the gateway uses.
"""

import asyncio
import subprocess
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ime_gateway.lookup import ldap_groups
from ime_gateway.lookup.ldap_directories import LdapDirectories
from ime_gateway.mail.address import parse_path
from ime_gateway.ports.address_directory import DirectoryAnswer, GroupMembers, NoDirectoryAnswer, NotExpandable
from ime_gateway.settings.model import Ldap
from tests.pki import Entity, make_user
from tests.servers.ldapsearch import LdapSearch
from tests.servers.slapd import SUFFIX, Entry, Slapd

BOB = make_user("bob@acme.example", None)
CAROL = make_user("carol@acme.example", None)


def dn(name: str) -> str:
    return f"cn={name},{SUFFIX}"


def rfc_entries() -> list[Entry]:
    def person(name: str, *more: tuple[str, Sequence[str | bytes]], mail: str = "") -> Entry:
        base: dict[str, Sequence[str | bytes]] = {"objectClass": ["inetOrgPerson"], "cn": [name], "sn": [name]}
        return dn(name), base | {"mail": [mail or f"{name}@acme.example"]} | dict(more)

    def group(name: str, *members: str, kind: str = "groupOfNames", attribute: str = "member") -> Entry:
        classes = [kind, "extensibleObject"]
        values = {"cn": [name], "mail": [f"{name}@acme.example"], attribute: [dn(one) for one in members]}
        return dn(name), {"objectClass": classes, **values}

    return [
        person("bob", ("userCertificate;binary", [BOB.certificate.der])),
        person("carol", ("userSMIMECertificate", [signed_value(CAROL)])),
        person("dora"),
        person("o*(b", mail="star*@acme.example"),
        group("sales", "bob", "team"),
        group("team", "carol", "sales", "gone", "bob"),
        group("unique", "dora", kind="groupOfUniqueNames", attribute="uniqueMember"),
        group("empty", "gone"),
        *(group(f"deep{level}", f"deep{level + 1}") for level in range(12)),
        *(person(f"p{number}") for number in range(60)),
        group("many", *(f"p{number}" for number in range(60))),
        (
            dn("aliases"),
            {
                "objectClass": ["nisMailAlias", "extensibleObject"],
                "cn": ["aliases"],
                "mail": ["aliases@acme.example"],
                "rfc822MailMember": ["x@acme.example", "y@elsewhere.example", "no address"],
            },
        ),
    ]


def ad_entries() -> list[Entry]:
    return [
        (
            dn("Bob"),
            {
                "objectClass": ["user"],
                "cn": ["Bob"],
                "mail": ["bob.old@acme.example"],
                "proxyAddresses": ["smtp:bob.old@acme.example", "SMTP:bob@acme.example", "X500:/o=acme/cn=bob"],
                "targetAddress": ["SMTP:bob@acme.mail.onmicrosoft.example"],
                "userCertificate": [BOB.certificate.der],
            },
        ),
        (
            dn("Guest"),
            {"objectClass": ["contact"], "cn": ["Guest"], "targetAddress": ["SMTP:guest@partner.example"]},
        ),
        (dn("Printer"), {"objectClass": ["user"], "cn": ["Printer"]}),
        (
            dn("Sales, West"),
            {
                "objectClass": ["group"],
                "cn": ["Sales, West"],
                "proxyAddresses": ["SMTP:sales@acme.example"],
                "member": [dn("Bob"), dn("Guest"), dn("Printer")],
            },
        ),
        (
            dn("Everybody"),
            {"objectClass": ["msExchDynamicDistributionList"], "cn": ["Everybody"], "mail": ["all@acme.example"]},
        ),
        (
            dn("Nested"),
            {
                "objectClass": ["group"],
                "cn": ["Nested"],
                "mail": ["nested@acme.example"],
                "member": [dn("Bob"), dn("Everybody")],
            },
        ),
    ]


def signed_value(entity: Entity) -> bytes:
    """By openssl: signed data without content, with the person's certificate (RFC 2798 section 2.8)."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = entity.write(Path(folder), "owner")
        command = ["openssl", "cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER", "-in", "/dev/null"]
        command += ["-signer", str(certificate), "-inkey", str(key)]
        return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def rfc() -> Iterator[Slapd]:
    with Slapd(ad=False, entries=rfc_entries()) as slapd:
        yield slapd


@pytest.fixture(scope="module")
def ad() -> Iterator[Slapd]:
    entries = [(name.replace("Sales, West", "Sales\\, West"), values) for name, values in ad_entries()]
    with Slapd(ad=True, entries=entries) as slapd:
        yield slapd


class Asked:
    """The directories of one slapd, and what was searched there."""

    def __init__(self, slapd: Slapd, **settings: object) -> None:
        self.sessions: list[LdapSearch] = []
        values = {"name": "corp", "url": f"ldap://127.0.0.1:{slapd.port}", "base": SUFFIX, "seconds": 30}
        self.settings = Ldap.model_validate({**values, "certificates": "candidates", "groups": True, **settings})
        self._slapd = slapd

    def _connect(self, directory: Ldap, seconds: float) -> LdapSearch:
        self.sessions.append(LdapSearch(self._slapd.port, self._slapd.ca_file))
        return self.sessions[-1]

    def _run(self, ask: Callable[[LdapDirectories], Awaitable[object]]) -> object:
        async def go() -> object:
            directories = LdapDirectories([self.settings], self._connect)
            try:
                return await ask(directories)
            finally:
                directories.close()

        return asyncio.run(go())

    def about(self, address: str) -> DirectoryAnswer | NoDirectoryAnswer:
        found = self._run(lambda these: these.certificates.about(parse_path(address), managed=True))
        assert isinstance(found, DirectoryAnswer | NoDirectoryAnswer)
        return found

    def members(self, address: str) -> list[str] | NotExpandable | NoDirectoryAnswer:
        found = self._run(lambda these: these.groups.members(parse_path(address), managed=True))
        if isinstance(found, GroupMembers):
            return sorted(map(str, found.addresses))
        assert isinstance(found, NotExpandable | NoDirectoryAnswer)
        return found


def thumbprints(answer: DirectoryAnswer | NoDirectoryAnswer) -> list[str]:
    assert isinstance(answer, DirectoryAnswer)
    return [one.certificate.thumbprint for one in answer.certificates]


def test_both_attributes_by_rfc_names(rfc: Slapd) -> None:
    assert thumbprints(Asked(rfc).about("Bob@acme.example")) == [BOB.certificate.thumbprint]
    assert thumbprints(Asked(rfc).about("carol@acme.example")) == [CAROL.certificate.thumbprint]
    assert Asked(rfc).about("dora@acme.example") == DirectoryAnswer()
    assert Asked(rfc).about("nobody@acme.example") == DirectoryAnswer()


def test_every_address_of_active_directory_finds_its_owner(ad: Slapd) -> None:
    for address in ("bob@acme.example", "bob.old@acme.example", "bob@acme.mail.onmicrosoft.example"):
        assert thumbprints(Asked(ad).about(address)) == [BOB.certificate.thumbprint], address


def test_what_the_level_says_stands_on_each_certificate(rfc: Slapd) -> None:
    for level in ("candidates", "trusted"):
        answer = Asked(rfc, certificates=level).about("bob@acme.example")
        assert isinstance(answer, DirectoryAnswer)
        assert [(one.directory, one.trusted) for one in answer.certificates] == [("corp", level == "trusted")]
    assert Asked(rfc, certificates="off").about("bob@acme.example") == DirectoryAnswer()


@pytest.mark.parametrize("local", ["*", "b*", '"*)(mail=*"', '"bob)(objectClass=*"', '"o*(b"', '"\\\\2a"'])
def test_an_address_never_becomes_filter(rfc: Slapd, local: str) -> None:
    assert Asked(rfc).about(f"{local}@acme.example") == DirectoryAnswer()


def test_an_address_with_a_star_is_found_by_itself_only(rfc: Slapd) -> None:
    asked = Asked(rfc, certificates="off")
    assert asked.about("star*@acme.example") == DirectoryAnswer()
    value = "star\\2a@acme.example"
    wanted = f"(|(mail={value})(proxyAddresses=smtp:{value})(targetAddress=smtp:{value}))"
    assert asked.sessions[0].searches == [("subtree", wanted)]


def test_groups_are_recognised(rfc: Slapd, ad: Slapd) -> None:
    assert Asked(rfc).about("sales@acme.example") == DirectoryAnswer(group="sales")
    assert Asked(ad).about("sales@acme.example") == DirectoryAnswer(group="Sales, West")
    assert Asked(ad).about("all@acme.example") == DirectoryAnswer(group="Everybody")


def test_nested_groups_in_a_circle_end(rfc: Slapd) -> None:
    assert Asked(rfc).members("sales@acme.example") == ["bob@acme.example", "carol@acme.example"]
    assert Asked(rfc).members("team@acme.example") == ["bob@acme.example", "carol@acme.example"]


def test_other_kinds_of_groups(rfc: Slapd) -> None:
    assert Asked(rfc).members("unique@acme.example") == ["dora@acme.example"]
    assert Asked(rfc).members("aliases@acme.example") == ["x@acme.example", "y@elsewhere.example"]


def test_members_of_active_directory_by_their_primary_address(ad: Slapd) -> None:
    assert Asked(ad).members("sales@acme.example") == ["bob@acme.example", "guest@partner.example"]


def test_many_members_are_asked_for_together(rfc: Slapd) -> None:
    asked = Asked(rfc)
    assert asked.members("many@acme.example") == sorted(f"p{number}@acme.example" for number in range(60))
    assert len(asked.sessions[0].searches) == 4  # the group, the root entry, 40 members, 20 members


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("empty@acme.example", "no member with an address"),
        ("deep0@acme.example", "more than 8 deep"),
        ("bob@acme.example", "no directory that expands groups knows it"),
        ("nobody@acme.example", "no directory that expands groups knows it"),
    ],
)
def test_what_cannot_be_expanded_says_why(rfc: Slapd, address: str, words: str) -> None:
    found = Asked(rfc).members(address)
    assert isinstance(found, NotExpandable) and words in found.detail


def test_a_dynamic_group_anywhere_inside_is_not_guessed(ad: Slapd) -> None:
    for address in ("all@acme.example", "nested@acme.example"):
        found = Asked(ad).members(address)
        assert isinstance(found, NotExpandable) and "Everybody is a dynamic group" in found.detail


def test_too_many_members_are_not_expanded(rfc: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_groups, "_MOST_MEMBERS", 59)
    found = Asked(rfc).members("many@acme.example")
    assert isinstance(found, NotExpandable) and "more than 59 members" in found.detail
    monkeypatch.setattr(ldap_groups, "_MOST_MEMBERS", 60)
    assert len(Asked(rfc).members("many@acme.example")) == 60  # type: ignore[arg-type]


def test_a_wrong_base_is_trouble_and_no_answer(rfc: Slapd) -> None:
    found = Asked(rfc, base="dc=other,dc=example").about("bob@acme.example")
    assert isinstance(found, NoDirectoryAnswer) and "directory corp" in found.detail


def test_members_outside_the_base_are_found_by_name(rfc: Slapd) -> None:
    asked = Asked(rfc, base=dn("many"))
    assert len(asked.members("many@acme.example")) == 60  # type: ignore[arg-type]
