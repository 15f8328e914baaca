"""Blind recipients stay blind (P6): no copy that leaves names them, wherever a program has left their list."""

from collections.abc import Iterator

import pytest

from ime_gateway.base.outcome import Accepted
from tests.core import PSEUDO, Core, Delivered, close, make_core, person
from tests.openssl import decrypt

ANNA = "anna@acme.example"
BLIND = "carol@acme.example"
STRANGER = "x@elsewhere.example"
PARTNER = "x@partner.example"
DOMAIN_KEY = "domain-confidentiality-authority@partner.example"
MARKER = "orchid-7431"
HEADERS = (
    *("Resent-Bcc", "resent-bcc", "=?utf-8?q?X-SM-ORIGBCC?=", "=?utf-8?b?WC1TTS1PUklHQkND?="),
    *("X-SM-ORIGBCC", "Bcc"),
)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    made = make_core(tmp_path_factory.mktemp("blind"))
    yield made
    close(made)


def write(core: Core, head: str, *recipients: str, body: str = "") -> list[Delivered]:
    to = ", ".join(recipients)
    mail = f"From: {ANNA}\nTo: {to}\nSubject: x\n{head}\n{body or MARKER}\n".encode()
    outcome, copies = core.send(mail, ANNA, recipients)
    assert isinstance(outcome, Accepted), outcome
    return copies


def contents(copy: Delivered) -> bytes:
    """All of a copy that its reader can see."""
    if copy.protection == "none":
        return copy.wire
    reader = DOMAIN_KEY if copy.recipient == PARTNER else copy.recipient
    clear = decrypt(copy.wire, person(reader))
    assert clear is not None
    return copy.head.encode() + clear


def check_blind(copies: list[Delivered], readers: list[str], blind: str = BLIND) -> None:
    assert [copy.recipient for copy in copies] == readers
    for copy in copies:
        seen = contents(copy)
        assert MARKER.encode() in seen
        assert blind.partition("@")[0].encode() not in seen.lower(), f"the copy for {copy.recipient} names {blind}"


def forwarded(head: str, kind: str = "message/rfc822", top: str = "multipart/mixed; boundary=b") -> tuple[str, str]:
    """Header and body of a mail with another one attached."""
    body = f"--b\n\n{MARKER}\n--b\nContent-Type: {kind}\n\nFrom: {ANNA}\n{head}\nSubject: old\n\ntext\n--b--"
    return f"MIME-Version: 1.0\nContent-Type: {top}\n", body


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("readers", [[STRANGER], ["bob@acme.example"], [PARTNER], [STRANGER, PARTNER]])
def test_no_header_of_ordinary_mail_shows_them(core: Core, name: str, readers: list[str]) -> None:
    check_blind(write(core, f"{name}: {BLIND}\n", *readers), readers)


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_of_ime_mail_shows_them(core: Core, name: str) -> None:
    """X-SM-ORIGBCC makes carol a recipient with an envelope of her own, the others only a secret."""
    mail = f"From: {ANNA}\nTo: {PSEUDO}\nSubject: x\nX-SM-ORIGTO: bob@acme.example\n{name}: {BLIND}\n\n{MARKER}\n"
    outcome, copies = core.send(mail.encode(), ANNA, [PSEUDO])
    assert isinstance(outcome, Accepted), outcome
    blind = [BLIND] if name == "X-SM-ORIGBCC" else []
    assert sorted(copy.recipient for copy in copies) == sorted([ANNA, "bob@acme.example", *blind])
    check_blind([copy for copy in copies if copy.recipient == "bob@acme.example"], ["bob@acme.example"])
    if not blind:
        check_blind([copy for copy in copies if copy.recipient == ANNA], [ANNA])


@pytest.mark.parametrize("media_type", ["message/rfc822", "message/global", "text/rfc822-headers"])
@pytest.mark.parametrize("name", ["X-SM-ORIGBCC", "x-sm-OrigBcc", "=?utf-8?q?X-SM-ORIGBCC?="])
@pytest.mark.parametrize("reader", [STRANGER, PARTNER])
def test_a_forwarded_ime_original_does_not_show_them(core: Core, media_type: str, name: str, reader: str) -> None:
    head, body = forwarded(f"{name}: {BLIND}", media_type)
    check_blind(write(core, head, reader, body=body), [reader])


def test_a_forwarded_ime_original_in_ime_mail_does_not_show_them(core: Core) -> None:
    head, body = forwarded(f"X-SM-ORIGBCC: {BLIND}")
    mail = f"From: {ANNA}\nTo: {PSEUDO}\nSubject: x\nX-SM-ORIGTO: bob@acme.example\n{head}\n{body}\n".encode()
    outcome, copies = core.send(mail, ANNA, [PSEUDO])
    assert isinstance(outcome, Accepted), outcome
    check_blind(copies, ["bob@acme.example", ANNA])


def test_the_whole_body_may_be_the_forwarded_original(core: Core) -> None:
    head = "MIME-Version: 1.0\nContent-Type: message/rfc822\n"
    body = f"From: {ANNA}\nX-SM-ORIGBCC: {BLIND}\nSubject: old\n\n{MARKER}"
    check_blind(write(core, head, STRANGER, body=body), [STRANGER])


def test_a_list_that_is_folded_goes_whole(core: Core) -> None:
    head, body = forwarded(f"X-SM-ORIGBCC: dora@acme.example,\n {BLIND},\n\t{BLIND}")
    copies = write(core, f"Resent-Bcc: dora@acme.example,\n {BLIND}\n{head}", STRANGER, body=body)
    check_blind(copies, [STRANGER])
    check_blind(copies, [STRANGER], "dora@acme.example")


@pytest.mark.parametrize(
    "top",
    [
        'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary=b',
        'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256; boundary=b',
    ],
)
def test_signed_mail_stays_byte_for_byte(core: Core, top: str) -> None:
    """A cut inside would break the signature (P7): what somebody signed, the list included, he signed to be read."""
    head, body = forwarded(f"X-SM-ORIGBCC: {BLIND}", top=top)
    copies = write(core, head, STRANGER, body=body)
    assert [copy.protection for copy in copies] == ["none"]
    assert copies[0].wire.endswith(f"{head}\n{body}\n".replace("\n", "\r\n").encode())


def test_what_is_attached_keeps_all_other_bytes(core: Core) -> None:
    head, body = forwarded(f"X-SM-ORIGBCC: {BLIND}\nX-Odd :  kept \t\n  as it is")
    copies = write(core, head, STRANGER, body=body)
    expected = f"{head}\n{body}\n".replace(f"X-SM-ORIGBCC: {BLIND}\n", "")
    assert copies[0].wire.endswith(expected.replace("\n", "\r\n").encode())
