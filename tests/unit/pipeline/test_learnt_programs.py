"""What signatures told of people's programs reaches the envelope: cipher, padding and the choice of certificate."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ime_gateway.certs import der
from ime_gateway.certs.capabilities import own_capabilities
from tests.core import Core, close, make_core, person, root
from tests.openssl import decrypt, readers
from tests.pki import DAY, NOW, Entity, make_user

MAIL = b"From: anna@acme.example\r\nTo: %s\r\nSubject: [confidential] x\r\n\r\nhello\r\n"
CLASSIC = der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.1.2")), der.sequence(der.oid("1.2.840.113549.3.7")))


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def teach(core: Core, address: str, capabilities: bytes, preferred: str = "") -> None:
    file = core.installation.settings.store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as database, database:
        row = (address, capabilities, 1.0, preferred)
        database.execute("INSERT INTO learnt (address, capabilities, signing_time, preferred) VALUES (?, ?, ?, ?)", row)


def wire(core: Core, *recipients: str) -> bytes:
    text = MAIL % b", ".join(one.encode() for one in recipients)
    _, delivered = core.send(text, "anna@acme.example", recipients)
    assert len(delivered) == len(recipients)
    return delivered[0].wire


def test_who_told_nothing_gets_what_everybody_reads(core: Core) -> None:
    structure = readers(wire(core, "bob@acme.example"))
    assert "aes-256-cbc" in structure and "rsaesOaep" not in structure


def test_who_told_of_gcm_and_oaep_gets_them(core: Core) -> None:
    teach(core, "bob@acme.example", own_capabilities())
    sent = wire(core, "bob@acme.example")
    structure = readers(sent)
    assert "aes-256-gcm" in structure and structure.count("rsaesOaep") == 1
    assert b"hello" in (decrypt(sent, person("bob@acme.example")) or b"")


def test_one_classic_reader_keeps_the_envelope_readable(core: Core) -> None:
    teach(core, "bob@acme.example", own_capabilities())
    sent = wire(core, "bob@acme.example", "carol@acme.example")
    structure = readers(sent)
    assert "aes-256-cbc" in structure and structure.count("rsaesOaep") == 1
    for name in ("bob", "carol"):
        assert b"hello" in (decrypt(sent, person(f"{name}@acme.example")) or b"")


@pytest.mark.parametrize("capabilities", [CLASSIC, b"", b"\x30\x84\xff\xff\xff\xff", bytes(9), b"\x30\x00"])
def test_nobody_talks_us_into_something_weaker(core: Core, capabilities: bytes) -> None:
    teach(core, "bob@acme.example", capabilities)
    assert "aes-256-cbc" in readers(wire(core, "bob@acme.example"))


def older(address: str) -> Entity:
    return make_user(address, root(), not_before=NOW - 200 * DAY)


def test_the_preferred_certificate_is_used_when_the_directory_has_it(core: Core) -> None:
    old = older("bob@acme.example")
    newer = older("carol@acme.example")
    for address, entity in (("bob@acme.example", old), ("carol@acme.example", newer)):
        core.configure(lambda live, a=address, e=entity: live.put_certificate(e.certificate, (a,), None))
    teach(core, "bob@acme.example", CLASSIC, old.certificate.thumbprint)
    sent = wire(core, "bob@acme.example", "carol@acme.example")
    assert b"hello" in (decrypt(sent, old) or b"") and decrypt(sent, person("bob@acme.example")) is None
    assert b"hello" in (decrypt(sent, person("carol@acme.example")) or b""), "who prefers nothing gets the newest"


def test_a_preference_brings_no_certificate_in(core: Core) -> None:
    teach(core, "bob@acme.example", CLASSIC, older("bob@acme.example").certificate.thumbprint)
    assert b"hello" in (decrypt(wire(core, "bob@acme.example"), person("bob@acme.example")) or b"")


def test_what_a_person_told_says_nothing_of_the_domain(core: Core) -> None:
    """partner.example has a domain certificate; its users' programs are not the partner's gateway."""
    late = make_user("zoe@partner.example", root(), expired=True).certificate
    core.configure(lambda live: live.put_certificate(late, ("zoe@partner.example",), None))
    teach(core, "zoe@partner.example", own_capabilities())
    teach(core, "domain-confidentiality-authority@partner.example", own_capabilities())
    structure = readers(wire(core, "zoe@partner.example"))
    assert "aes-256-cbc" in structure and "rsaesOaep" not in structure


def test_a_shared_certificate_is_wrapped_as_its_most_modest_owner_reads(core: Core) -> None:
    """One RecipientInfo serves both; whoever told nothing of OAEP must be able to open it too."""
    shared = make_user("office@acme.example", root())
    owners = ("ute@acme.example", "vera@acme.example")
    core.configure(lambda live: live.put_certificate(shared.certificate, owners, None))
    teach(core, owners[0], own_capabilities())
    structure = readers(wire(core, *owners))
    assert structure.count("d.ktri") == 1 and "rsaesOaep" not in structure
