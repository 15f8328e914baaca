"""Who steers the gateway: insiders by what they write themselves, outsiders never (P5), and no slip opens mail (P1)."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.headers import decode_words
from ime_gateway.mail.message import parse_message
from ime_gateway.ports.directory import TrustEntry
from tests.core import PSEUDO, Core, Delivered, close, make_core, person
from tests.openssl import decrypt

REPOSITORY = Path(__file__).resolve().parent.parent.parent
ANNA = "anna@acme.example"
PAL = "pal@friend.example"
"""In the domain of an opportunistic partner, with a certificate."""
STRANGER = "x@elsewhere.example"
MARKER = "orchid-7431"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    made = make_core(tmp_path_factory.mktemp("steering"))
    made.configure(lambda live: live.put_certificate(person(PAL).certificate, (PAL,), None))
    yield made
    close(made)


def write(core: Core, to: str, subject: str) -> tuple[Any, list[Delivered]]:
    mail = f"From: {ANNA}\nTo: {to}\nSubject: {subject}\n\n{MARKER}\n".encode()
    return core.send(mail, ANNA, [to])


def ime(core: Core, head: str) -> tuple[Any, list[Delivered]]:
    mail = f"From: {ANNA}\nTo: {PSEUDO}\n{head}\n\n{MARKER}\n".encode()
    return core.send(mail, ANNA, [PSEUDO])


def check_encrypted(copies: list[Delivered], *readers: str) -> None:
    assert [copy.recipient for copy in copies] == list(readers)
    for copy in copies:
        assert MARKER.encode() not in copy.wire
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None and MARKER.encode() in clear


READ = """
import sys
from ime_gateway.mail.message import parse_message
from ime_gateway.policy.triggers import read_wishes
from ime_gateway.settings.site import SubjectKeywords

subject = SUBJECT.encode()
assert 800_000 < len(subject) < 1_000_000, len(subject)
wishes = read_wishes(parse_message(b"Subject: " + subject + b"\\r\\n\\r\\n").headers, SubjectKeywords())
sys.stdout.buffer.write(b"%d %d " % (wishes.sign, wishes.plain) + wishes.headers.to_bytes()[:60])
"""


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ('"[sign]" * 150_000', b"1 0 "),
        ('"[sign] " * 140_000', b"1 0 "),
        ('"[si" * 150_000 + "[sign]" + "gn]" * 150_000', b"1 0 "),
        ('"\\u0130" * 450_000 + "[sign]"', b"1 0 "),
        ('"\\u1e9e" * 300_000 + "[sign]"', b"1 0 "),
        ('"x" + " " * 900_000 + "x"', b"0 0 "),
        ('"Re" + " " * 900_000 + "x"', b"0 0 "),
        ('"re " * 300_000', b"0 0 "),
        ('"re[" + "1" * 900_000', b"0 0 "),
        ('" [plain" * 130_000', b"0 0 "),
    ],
)
def test_no_subject_keeps_a_worker_busy(subject: str, said: bytes) -> None:
    """A worker that reads one has all its sessions wait; the time is a bound for work, a right reading takes < 1 s."""
    command = [sys.executable, "-c", READ.replace("SUBJECT", f"({subject})")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=20, check=True)
    assert done.stdout.startswith(said + b"Subject:")


READ_SHORT = """
from ime_gateway.mail.headers import decode_words
from ime_gateway.mail.message import parse_message
from ime_gateway.policy.triggers import read_wishes
from ime_gateway.settings.site import SubjectKeywords

for letters in (LETTER, LETTER * 2, LETTER * 7, LETTER * 60):
    for word in ("sign", "plain"):
        subject = f"Subject: {letters} one [{word}] two [{word}]\\r\\n\\r\\n".encode()
        wishes = read_wishes(parse_message(subject).headers, SubjectKeywords())
        assert (wishes.sign, wishes.plain) == (word == "sign", word == "plain")
        read = decode_words(wishes.headers.first("subject").text)
        assert read == f"{letters} one two", (len(letters), read)
"""


@pytest.mark.parametrize("letter", ["\u0130", "\u1e9e", "\u0149", "\ufb00"])
def test_letters_that_grow_in_lower_case_leave_the_subject_whole(letter: str) -> None:
    """One letter may become two in lower case: places in the one text are not places in the other."""
    command = [sys.executable, "-c", READ_SHORT.replace("LETTER", ascii(letter))]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "mark", ["Re:", "RE :", "AW:", "Antw:", "Fwd:", "WG:", "Re[2]:", "Re(3):", "Re: AW:", "[ext] Re:"]
)
def test_a_keyword_that_an_outsider_planted_does_not_open_the_reply(core: Core, mark: str) -> None:
    outcome, copies = write(core, PAL, f"{mark} [plain] offer")
    assert isinstance(outcome, Accepted), outcome
    check_encrypted(copies, PAL)


@pytest.mark.parametrize(
    "mark", ["\u56de\u590d:", "Re\uff1a", "Ynt:", "R:", "RES:", "Svar:", "\u0391\u03a0:", "Svar : R:"]
)
@pytest.mark.parametrize("field", ["In-Reply-To", "References"])
def test_a_reply_in_any_language_is_known_by_its_thread(core: Core, mark: str, field: str) -> None:
    head = f"From: {ANNA}\nTo: {PAL}\n{field}: <1@friend.example>\n"
    outcome, copies = core.send(f"{head}Subject: {mark} [plain] offer\n\n{MARKER}\n".encode(), ANNA, [PAL])
    assert isinstance(outcome, Accepted), outcome
    check_encrypted(copies, PAL)
    outcome, copies = core.send(f"{head}Subject: [plain] {mark} offer\n\n{MARKER}\n".encode(), ANNA, [PAL])
    assert [copy.protection for copy in copies] == ["none"], "what the sender adds counts"
    subject = parse_message(bytearray(copies[0].wire)).headers.first("subject")
    assert subject is not None and decode_words(subject.text) == f"{mark} offer"


@pytest.mark.parametrize("word", ["[sign]", "[priv]"])
def test_a_keyword_that_an_outsider_planted_does_not_stop_the_reply(core: Core, word: str) -> None:
    outcome, copies = write(core, PAL, f"Re: {word} x")
    assert isinstance(outcome, Accepted), outcome
    assert f"Subject: Re: {word} x\r\n" in copies[0].head
    check_encrypted(copies, PAL)


def test_what_the_sender_adds_to_a_reply_counts(core: Core) -> None:
    outcome, copies = write(core, PAL, "[plain] Re: x")
    assert isinstance(outcome, Accepted), outcome
    assert [copy.protection for copy in copies] == ["none"]
    assert "Subject: Re: x\r\n" in copies[0].head
    refused, _ = write(core, PAL, "[sign] Re: x")
    assert isinstance(refused, Refused) and refused.reason is Reason.METHOD_DISABLED


def test_a_reply_to_confidential_mail_is_confidential(core: Core) -> None:
    refused, copies = write(core, STRANGER, "Re: [confidential] x")
    assert isinstance(refused, Refused) and refused.reason is Reason.NO_CERTIFICATE and copies == []
    address = "kim@elsewhere.example"
    core.configure(lambda live: live.put_certificate(person(address).certificate, (address,), None))
    outcome, copies = write(core, address, "Re: [confidential] x")
    assert isinstance(outcome, Accepted), outcome
    assert "Subject: Re: x\r\n" in copies[0].head
    check_encrypted(copies, address)


@pytest.mark.parametrize("subject", ["(Re: x)", "[EXTERN]Re: x", "foo  Re:  x", "foo\tRe: x", " two blanks  Fwd:x "])
def test_a_subject_without_keywords_stays_as_it_is(core: Core, subject: str) -> None:
    """Nothing was asked for, so not a byte is edited (P7)."""
    mail = f"From: {ANNA}\nTo: {STRANGER}\nSubject: {subject}\n\n{MARKER}\n".encode()
    outcome, copies = core.send(mail, ANNA, [STRANGER])
    assert isinstance(outcome, Accepted), outcome
    assert copies[0].wire.endswith(mail.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("domain-confidentiality-authority@ime.acme.example", Reason.METHOD_NOT_AVAILABLE),
        ("ime@IME.acme.example", Reason.METHOD_NOT_AVAILABLE),
        ("imee@imepseudodomain.local", Reason.IME_MALFORMED),
        ("ime+1@imepseudodomain.local", Reason.IME_MALFORMED),
        ("bob.acme.example@ImePseudoDomain.Local", Reason.IME_MALFORMED),
    ],
)
@pytest.mark.parametrize("beside", [[], [PSEUDO], [STRANGER]])
def test_mail_that_misses_the_ime_address_never_leaves(
    core: Core, address: str, reason: Reason, beside: list[str]
) -> None:
    mail = f"From: {ANNA}\nTo: {address}\nSubject: x\nX-SM-ORIGTO: bob@acme.example\n\n{MARKER}\n".encode()
    outcome, copies = core.send(mail, ANNA, [*beside, address])
    assert isinstance(outcome, Refused) and not outcome.temporary, outcome
    assert outcome.reason is reason and outcome.address.lower() == address.lower()
    assert copies == []


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?Q?B=C3=B6b_=3Cbob=40acme=2Eexample=3E=2C?= <carol@acme.example>",
        "=?utf-8?B?Ym9iQGFjbWUuZXhhbXBsZSwg?= <carol@acme.example>",
        "carol@acme.example (=?utf-8?Q?x=29=2C_bob=40acme=2Eexample_=28y?=)",
    ],
)
@pytest.mark.parametrize("name", ["X-SM-ORIGTO", "X-SM-ORIGCC", "X-SM-ORIGBCC"])
def test_a_list_with_two_readings_is_refused(core: Core, name: str, value: str) -> None:
    outcome, copies = ime(core, f"{name}: {value}")
    assert isinstance(outcome, Refused) and outcome.reason is Reason.IME_MALFORMED, outcome
    assert copies == []


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?Q?B=C3=B6b=2C_Builder?= <bob@acme.example>",
        "=?utf-8?B?QsO2YiwgQnVpbGRlcg==?= <bob@acme.example>",
        '"=?utf-8?Q?B=C3=B6b=2C?= Builder" <bob@acme.example>',
    ],
)
def test_a_name_with_a_comma_is_one_reading(core: Core, value: str) -> None:
    outcome, copies = ime(core, f"X-SM-ORIGTO: {value}, carol@acme.example\nSubject: x")
    assert isinstance(outcome, Accepted), outcome
    check_encrypted([copy for copy in copies if copy.copy == "recipient"], "bob@acme.example", "carol@acme.example")


@pytest.mark.parametrize("control", ["\x01", "\x07", "\x1b", "\x7f", "=?utf-8?Q?=01?=", "=?utf-8?Q?=C2=85?="])
def test_control_characters_beside_a_keyword_are_no_error(core: Core, control: str) -> None:
    """The mail server takes them, so an error here would come back for ever (451)."""
    outcome, copies = write(core, PAL, f"a {control} b [confidential]")
    assert isinstance(outcome, Accepted), outcome
    check_encrypted(copies, PAL)


@pytest.mark.parametrize("field", ["References: <a\x01b@acme.example>", "Message-ID: <a\x01b@acme.example>"])
def test_control_characters_in_the_thread_are_no_error(core: Core, field: str) -> None:
    """The sender is a recipient, too: the sent copy gets a Message-ID of its own and refers to the first."""
    head = f"Subject: x\nX-SM-ORIGTO: {ANNA}\n"
    message_id = "" if field.startswith("Message-ID") else "Message-ID: <1@acme.example>\n"
    outcome, copies = ime(core, f"{head}{message_id}{field}")
    assert isinstance(outcome, Accepted), outcome
    check_encrypted(copies, ANNA, ANNA)
    assert {copy.copy for copy in copies} == {"recipient", "sent"}


def attached(field: str, payload: bytes) -> bytes:
    """A mail with an attached message under an encoding that RFC 2046 section 5.2.1 forbids there."""
    return (
        f"From: eve@evil.example\nTo: {ANNA}\nSubject: x\nMIME-Version: 1.0\n"
        f"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n{field}\n\n"
    ).encode() + b"\n".join((payload, b"--b--\n"))


BASE64 = (
    *("(x) base64", '"base64"', "base64 (x)", "BASE64", "(a(b)c)base64", "base64;x=1", "\n base64", "base64,"),
    *("7bit\nContent-Transfer-Encoding: base64", "base64\nContent-Transfer-Encoding: 7bit", "x base64"),
)
MARKERS = ("X-SM-ORIGTO: bob@acme.example", "X-SM-Status: signed", "X-MS-Exchange-Organization-AuthAs: Internal")


@pytest.mark.parametrize("encoding", BASE64)
@pytest.mark.parametrize("marker", MARKERS)
def test_markers_do_not_hide_under_an_encoding_that_is_written_oddly(core: Core, encoding: str, marker: str) -> None:
    hidden = f"{marker}\r\nFrom: boss@acme.example\r\nSubject: hidden\r\n\r\ntext\r\n".encode()
    mail = attached(f"Content-Transfer-Encoding: {encoding}", base64.encodebytes(hidden))
    outcome, copies = core.send(mail, "eve@evil.example", [ANNA], "internet")
    assert isinstance(outcome, Refused) and outcome.reason is Reason.MALFORMED, outcome
    assert copies == []


@pytest.mark.parametrize(
    "encoding",
    [
        *("(x) quoted-printable", '"quoted-printable"', "quoted-printable (x)", "quoted-printable (base64)"),
        *("quoted-(x)printable", "base64\nContent-Transfer-Encoding: quoted-printable"),
    ],
)
def test_markers_do_not_hide_under_quoted_printable_that_is_written_oddly(core: Core, encoding: str) -> None:
    mail = attached(f"Content-Transfer-Encoding: {encoding}", b"=58-SM-ORIGTO: bob@acme.example\nSubject: hidden\n\nx")
    outcome, copies = core.send(mail, "eve@evil.example", [ANNA], "internet")
    assert isinstance(outcome, Refused) and outcome.reason is Reason.MALFORMED, outcome
    assert copies == []


def test_an_attached_message_without_markers_passes_however_its_encoding_is_written(core: Core) -> None:
    payload = base64.encodebytes(b"From: eve@evil.example\r\nSubject: honest\r\n\r\ntext\r\n")
    mail = attached("Content-Transfer-Encoding: (x) base64", payload)
    outcome, copies = core.send(mail, "eve@evil.example", [ANNA], "internet")
    assert isinstance(outcome, Accepted), outcome
    assert copies[0].wire.partition(b"\r\n\r\n")[2] == mail.replace(b"\n", b"\r\n").partition(b"\r\n\r\n")[2]


def test_a_certificate_denied_after_rcpt_is_dead_at_data(core: Core) -> None:
    mail = f"From: {ANNA}\nTo: {PSEUDO}\nSubject: x\nX-SM-ORIGTO: dora@acme.example\n\n{MARKER}\n".encode()
    thumbprint = person("dora@acme.example").certificate.thumbprint
    submission = core.submission(mail, ANNA, [PSEUDO])

    async def transaction() -> Any:
        await core.receiver.may_mail(submission.session, submission.sender)
        core.configure(lambda live: live.put_trust(TrustEntry(thumbprint, "deny")))
        return await core.receiver.receive(submission)

    try:
        outcome = core.run(transaction())
    finally:
        core.configure(lambda live: live.delete_trust(thumbprint))
    assert isinstance(outcome, Refused) and outcome.reason is Reason.CERTIFICATE_DENIED, outcome
    assert core.leased == []
