"""Two gateways of ours, `bound_recipients` on both sides: what one sends the other opens, for whom it was sent only."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import ManagedDomain, PartnerDomain
from ime_gateway.smime.sign import SigningKey, multipart_signed
from tests.core import Core, Delivered, close, make_core, person
from tests.pki import Entity, make_user
from tests.smime_mail import encrypted, mail, signed

TO = "to@bolt.example"
BLIND = ("blind@bolt.example", "other@bolt.example")
DESKTOP_SIGNED = (
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=s\r\n\r\n--s\r\n\r\n'
    b"the marker is orchid-7431 \r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n"
)
SMIME_SIGNED = multipart_signed(
    [b"Content-Type: text/plain\r\n\r\nthe marker is orchid-7431\r\n"],
    SigningKey(person("anna@acme.example").certificate, person("anna@acme.example").key),  # type: ignore[arg-type]
    moment=0.0,
    randomness=os.urandom,
).to_bytes()
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nthe marker is orchid-7431\r\n"

BODIES = {"plain": TEXT, "OpenPGP signed at the desktop": DESKTOP_SIGNED, "S/MIME signed there": SMIME_SIGNED}


@dataclass
class Companies:
    acme: Core
    bolt: Core
    key_of_bolt: Entity


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Companies]:
    keys = {name: make_user(f"domain-confidentiality-authority@{name}.example") for name in ("acme", "bolt")}
    cores = {}
    for ours, theirs in (("acme", "bolt"), ("bolt", "acme")):
        (tmp_path / ours).mkdir()
        cores[ours] = make_core(tmp_path / ours)

        def act(live: Any, ours: str = ours, theirs: str = theirs) -> None:
            live.delete_domain("acme.example")
            live.put_managed_domain(ManagedDomain(name=f"{ours}.example", deliver_to="smtp://127.0.0.1:25"), ())
            live.domain_keys.put(f"{ours}.example", keys[ours].certificate, keys[ours].key_der, "current")
            partner = PartnerDomain(name=f"{theirs}.example", encryption="mandatory", bound_recipients=True)
            live.put_partner_domain(partner, (keys[theirs].certificate,))
            live.put_trust(TrustEntry(keys[theirs].certificate.thumbprint, "allow", note="by phone"))

        cores[ours].configure(act)
    yield Companies(cores["acme"], cores["bolt"], keys["bolt"])
    for core in cores.values():
        close(core)


def sent(core: Core, body: bytes, *people: str) -> list[Delivered]:
    head = f"From: anna@acme.example\r\nTo: {TO}\r\nSubject: figures\r\nMessage-ID: <1@acme.example>\r\n".encode()
    outcome, copies = core.send(head + b"MIME-Version: 1.0\r\n" + body, "anna@acme.example", people)
    assert isinstance(outcome, Accepted), outcome
    return copies


def arrived(core: Core, wire: bytes, *people: str) -> dict[str, Delivered]:
    outcome, copies = core.send(wire, "anna@acme.example", people, "internet")
    assert isinstance(outcome, Accepted), outcome
    return {copy.recipient: copy for copy in copies}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_each_reader_gets_theirs_opened(both: Companies, body: bytes) -> None:
    copies = sent(both.acme, body, TO, *BLIND)
    assert len({copy.envelope for copy in copies}) == 3
    for copy in copies:
        assert b"orchid-7431" not in copy.wire
        found = arrived(both.bolt, copy.wire, copy.recipient)[copy.recipient]
        assert found.reason == "decrypted", found
        assert b"the marker is orchid-7431" in found.wire and "[secure]" in found.head
        assert "Bcc" not in found.head and not any(other in found.head for other in BLIND)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_captured_copy_is_opened_for_nobody_else(both: Companies, body: bytes) -> None:
    """An insider of bolt who captured it sends it to themselves: first, so that no memory of the content helps."""
    visible, blind = sent(both.acme, body, TO, BLIND[0])
    for copy in (visible, blind):
        found = arrived(both.bolt, copy.wire, "thief@bolt.example")["thief@bolt.example"]
        assert found.reason == "ciphertext-reused" and b"orchid-7431" not in found.wire
    found = arrived(both.bolt, visible.wire, BLIND[0])[BLIND[0]]
    assert b"orchid-7431" not in found.wire


def test_a_made_up_authority_binds_nothing(both: Companies) -> None:
    """A thief wraps a captured mail in a signature of his own making, whose header names him."""
    [visible] = sent(both.acme, TEXT, TO)
    start, media_type, rest = visible.wire.partition(b"Content-Type: application/pkcs7-mime;")
    assert start and media_type
    captured = (media_type + b' hp="cipher";' + rest).replace(b"\r\n", b"\n")
    head = b"From: anna@acme.example\nTo: thief@bolt.example\nSubject: x\nHP-Outer: Subject: [...]\n"
    resigned = signed(head + captured, make_user("domain-signing-authority@acme.example"))
    attack = mail(encrypted(resigned, both.key_of_bolt), "anna@acme.example", "thief@bolt.example")
    found = arrived(both.bolt, attack, "thief@bolt.example")["thief@bolt.example"]
    assert found.reason == "ciphertext-reused" and b"orchid-7431" not in found.wire
