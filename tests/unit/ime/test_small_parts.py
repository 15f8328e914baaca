"""Replay keys, the verdict on signers, tokens and questions, endorsements, and the recipients inside."""

import base64
from dataclasses import dataclass, replace

import pytest

from ime_gateway.base.errors import UnreadableCertificate, UnreadableMail
from ime_gateway.base.reasons import Reason
from ime_gateway.certs.certificate import Certificate
from ime_gateway.ime import challenge
from ime_gateway.ime.container import Signature
from ime_gateway.ime.endorsement import new_signer
from ime_gateway.ime.replay import dated, replay_key, too_early, too_old, written_for
from ime_gateway.ime.restore import Restored, Unrestorable, restore_inner
from ime_gateway.ime.signers import Allowed, Denied, Mode, SignerFacts, Unconfirmed, may_sign
from ime_gateway.mail.address import Address, parse_path
from ime_gateway.mail.headers import parse_fields
from ime_gateway.mail.message import parse_message
from tests.container_mail import ANNA, signer_of

CERTIFICATE = signer_of(ANNA).certificate
OTHER = signer_of("bob@acme.example").certificate
SIGNED = Signature(CERTIFICATE, 1_000_000.0, b"\x01" * 32, "ab" * 32)
MODES: tuple[Mode, ...] = ("confirm", "directory", "registered", "first-use")


def test_the_replay_key_hangs_on_what_was_signed_alone() -> None:
    key = replay_key(SIGNED)
    assert len(key) == 64 and key == replay_key(replace(SIGNED, capabilities=b"x", preferred=OTHER, carried=(OTHER,)))
    for changed in (
        replace(SIGNED, key_digest="ac" * 32),
        replace(SIGNED, message_digest=b"\x02" * 32),
        replace(SIGNED, signing_time=1_000_001.0),
    ):
        assert replay_key(changed) != key


def test_the_window() -> None:
    now = 1_000_000_000.0
    assert not too_old(now - 7 * 86_400, now) and too_old(now - 7 * 86_400 - 1, now)
    assert not too_early(now + 86_400, now) and too_early(now + 86_401, now)


@pytest.mark.parametrize(
    "text, moment",
    [
        ("Sun, 22 Nov 2026 10:00:00 +0100", 1_795_338_000.0),
        ("22 Nov 2026 09:00 GMT (a comment)", 1_795_338_000.0),
        ("Sun, 22 Nov 2026 09:00:00 -0000", 1_795_338_000.0),
    ],
)
def test_the_date_of_a_message(text: str, moment: float) -> None:
    assert dated(parse_fields(f"Date: {text}\r\n".encode())) == moment
    assert written_for(moment, moment + 7 * 86_400) and not written_for(moment, moment + 7 * 86_400 + 1)
    assert written_for(moment, moment - 7 * 86_400) and not written_for(moment, moment - 7 * 86_400 - 1)


@pytest.mark.parametrize(
    "header",
    [b"", b"Date:\r\n", b"Date: Nightjar\r\n", b"Date: 31 Feb 2026 0:0:0 +0000\r\n", b"Date: 1 Jan 2026 0:0\r\n" * 2],
)
def test_no_date_that_could_be_read(header: bytes) -> None:
    with pytest.raises(UnreadableMail) as caught:
        dated(parse_fields(header))
    assert "Date" in str(caught.value) and "Nightjar" not in f"{caught.value} {caught.value.evidence}"


@dataclass(frozen=True)
class Known:
    certificate: Certificate
    state: str
    origin: str = "confirmed"


def facts(**changes: object) -> SignerFacts:
    return replace(SignerFacts(CERTIFICATE, names_person=True, names_others=False, trusted=False), **changes)  # type: ignore[arg-type]


APPROVED = Known(CERTIFICATE, "approved")
REGISTERED = Known(CERTIFICATE, "approved", "registered")


@pytest.mark.parametrize(
    "known, who, expected",
    [
        ([], facts(), (Unconfirmed, Denied, Denied, Allowed)),
        ([Known(CERTIFICATE, "pending", "challenged")], facts(), (Unconfirmed, Denied, Denied, Unconfirmed)),
        ([Known(OTHER, "approved")], facts(), (Unconfirmed, Denied, Denied, Unconfirmed)),
        ([APPROVED], facts(), (Allowed, Allowed, Denied, Allowed)),
        ([REGISTERED], facts(), (Allowed, Allowed, Allowed, Allowed)),
        ([], facts(trusted=True), (Allowed, Allowed, Denied, Allowed)),
        ([Known(CERTIFICATE, "revoked")], facts(trusted=True), (Denied,) * 4),
        ([REGISTERED, Known(CERTIFICATE, "revoked")], facts(), (Denied,) * 4),
        ([REGISTERED], facts(names_person=False), (Allowed, Allowed, Allowed, Allowed)),
        ([], facts(names_person=False), (Denied,) * 4),
        ([], facts(names_person=False, trusted=True), (Denied,) * 4),
        ([REGISTERED], facts(names_person=False, names_others=True, trusted=True), (Denied,) * 4),
        ([REGISTERED], facts(fault=Reason.CERTIFICATE_EXPIRED), (Denied,) * 4),
        ([REGISTERED], facts(fault=Reason.CERTIFICATE_DENIED), (Denied,) * 4),
    ],
)
def test_who_may_sign(known: list[Known], who: SignerFacts, expected: tuple[type, ...]) -> None:
    assert tuple(type(may_sign(who, known, mode)) for mode in MODES) == expected


def test_a_faulty_certificate_spoils_the_signature_and_a_denied_one_is_unknown() -> None:
    expired = may_sign(facts(fault=Reason.CERTIFICATE_EXPIRED), [], "confirm")
    denied = may_sign(facts(fault=Reason.CERTIFICATE_DENIED), [], "confirm")
    assert isinstance(expired, Denied) and expired.reason is Reason.IME_BAD_SIGNATURE
    assert isinstance(denied, Denied) and denied.reason is Reason.IME_SIGNER_UNKNOWN


def test_tokens() -> None:
    token = challenge.new_token(lambda count: bytes(range(count)))
    assert token != challenge.new_token(lambda count: bytes(range(1, count + 1)))
    assert len(token) == len("imegw-") + 32  # 160 bits, 5 to a letter
    assert challenge.token_hash(token) not in token and len(challenge.token_hash(token)) == 64


TOKEN = challenge.new_token(lambda count: b"\x5a" * count)


@pytest.mark.parametrize(
    "entity",
    [
        f"Content-Type: text/plain\r\n\r\n> {TOKEN}\r\n",
        f"Content-Type: text/plain\r\n\r\n{TOKEN.upper()}.",
        f"X-IMEGW-Challenge: {TOKEN}\r\n\r\nyes",
        f"Content-Type: text/html\r\n\r\n<p>{TOKEN[:9]}</span><span>{TOKEN[9:]}</p>",
        f"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{TOKEN[:9]}=\r\n{TOKEN[9:]}",
        "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(TOKEN.encode()).decode(),
        f"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\n\r\n{TOKEN}\r\n--x--\r\n",
    ],
)
def test_tokens_are_found_as_programs_quote_them(entity: str) -> None:
    assert challenge.tokens_in(parse_message(entity.encode())) == (TOKEN,)


@pytest.mark.parametrize(
    "entity",
    [
        "\r\nnothing",
        f"\r\n{TOKEN}0",
        f"\r\n{TOKEN[:-1]}",
        f"Content-Type: application/pdf\r\n\r\n{TOKEN}",
        f"Subject: {TOKEN}\r\n\r\nhi",
    ],
)
def test_no_tokens(entity: str) -> None:
    assert challenge.tokens_in(parse_message(entity.encode())) == ()


def test_a_flood_of_tokens_is_cut() -> None:
    flood = "\r\n".join(challenge.new_token(lambda count, n=n: bytes([n]) * count) for n in range(200))
    assert len(challenge.tokens_in(parse_message(f"\r\n{flood}".encode()))) == 5


def test_the_question_takes_no_orders_from_the_certificate() -> None:
    """Subject names are written by whoever made the certificate."""
    name = "CN=a\r\nBcc: b\u202e" + "x" * 999
    asker = parse_path("x@ime.acme.example")
    question = challenge.Question(TOKEN, parse_path(ANNA), asker, "sha256:" + "ab" * 32, name, 0.0, 172_800.0)
    headers, body = challenge.question_mail(question, "gw.acme.example", "u1")
    assert headers.first("bcc") is None and body.isascii()
    assert max(map(len, body.split(b"\r\n"))) < 200
    assert b"\nBcc" not in body and b"ABAB ABAB ABAB ABAB" in body
    assert b"3 Jan 1970" in body or b"03 Jan 1970" in body


def test_endorsements() -> None:
    encoded = base64.b64encode(CERTIFICATE.der)
    field = b"X-IMEGW-New-Signer: " + encoded[:60] + b"\r\n " + encoded[60:] + b"\r\n"
    assert new_signer(parse_fields(field)) == CERTIFICATE
    assert new_signer(parse_fields(b"Subject: x\r\n")) is None
    for broken in (
        field + field,
        b"X-IMEGW-New-Signer: \r\n",
        b"X-IMEGW-New-Signer: MIIB\r\n",
        b"X-IMEGW-New-Signer: %%\r\n",
    ):
        with pytest.raises(UnreadableCertificate):
            new_signer(parse_fields(broken))
    with pytest.raises(UnreadableCertificate, match="longer"):
        new_signer(parse_fields(b"X-IMEGW-New-Signer: " + b"A" * 40_000 + b"\r\n"))


def is_ime(address: Address) -> bool:
    return address.domain == "ime.acme.example"


def inside(fields: str, most: int = 10) -> Restored | Unrestorable:
    return restore_inner(parse_fields(fields.replace("\n", "\r\n").encode()), is_ime, most)


def test_recipients_inside() -> None:
    found = inside("To: B <b@x.example>, c@x.example\nCc: undisclosed:;\nBcc: d@x.example, b@x.example\nSubject: s\n")
    assert isinstance(found, Restored)
    assert [str(one) for one in found.visible] == ["b@x.example", "c@x.example"]
    assert [str(one) for one in found.blind] == ["d@x.example"]
    assert found.headers.to_bytes() == b"To: B <b@x.example>, c@x.example\r\nCc: undisclosed:;\r\nSubject: s\r\n"


def test_orig_headers_inside_add_to_the_lists() -> None:
    found = inside(
        "To: b@x.example\nX-SM-ORIGTO: c@x.example; b@x.example\nX-SM-ORIGBCC: e@x.example\nBcc: d@x.example\n"
    )
    assert isinstance(found, Restored)
    assert {str(one) for one in found.visible} == {"b@x.example", "c@x.example"}
    assert [str(one) for one in found.blind] == ["e@x.example", "d@x.example"]
    shown = found.headers.to_bytes().lower()
    assert b"orig" not in shown and b"bcc" not in shown and b"e@x" not in shown and b"c@x" in shown


@pytest.mark.parametrize(
    "fields, reason",
    [
        ("Subject: s\n", Reason.IME_NO_RECIPIENTS),
        ("To: undisclosed-recipients:;\n", Reason.IME_NO_RECIPIENTS),
        ("To: memo@ime.acme.example\n", Reason.IME_NESTED),
        ("To: b@x.example\nBcc: memo@IME.acme.example\n", Reason.IME_NESTED),
        ("To: b@x.example\nX-SM-ORIGCC: memo@ime.acme.example\n", Reason.IME_NESTED),
        ("To: b@x.example c@x.example\n", Reason.IME_MALFORMED),
        ("To: b@x.example\nX-SM-ORIGTO: /o=Acme/cn=bob\n", Reason.IME_MALFORMED),
        ("To: b@x.example\nX-SM-ORIGTO: Sales: c@x.example;\n", Reason.RECIPIENT_IS_GROUP),
        ("To: " + ", ".join(f"p{n}@x.example" for n in range(11)) + "\n", Reason.IME_MALFORMED),
        ("To: " + "b@x.example,\n " * 30_000 + "c@x.example\n", Reason.IME_MALFORMED),
    ],
)
def test_recipients_that_are_refused(fields: str, reason: Reason) -> None:
    found = inside(fields)
    assert isinstance(found, Unrestorable) and found.reason is reason, found
