"""IME 2.0 through the whole core: who may sign, the question and its answer, duplicates, what is committed."""

import base64
import email
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.ime.challenge import CERTIFICATE_HEADER, CHALLENGE_HEADER
from ime_gateway.ports.containers import Seen
from ime_gateway.ports.directory import TrustEntry
from ime_gateway.settings.site import PartnerDomain, Policy
from ime_gateway.smtp.replies import reply_for
from tests import container_mail as make
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, Delivered, close, make_core, person
from tests.openssl import decrypt
from tests.pki import make_user


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def mail(signer: Any = None, **changes: Any) -> bytes:
    return container(original(), signer=signer or signer_of(ANNA), **changes).mail


def send(core: Core, data: bytes, sender: str = ANNA, **more: Any) -> tuple[Any, list[Delivered]]:
    outcome, copies = core.send(data, sender, [IME], **more)
    return outcome, copies


def waits(outcome: Any) -> None:
    assert isinstance(outcome, Refused), outcome
    assert reply_for(outcome).startswith(f"451 4.7.1 <{ANNA}> ime-signer-unknown"), reply_for(outcome)


def questions(core: Core) -> list[Delivered]:
    """The questions in the queue that nobody has taken yet."""

    async def go() -> list[Delivered]:
        return [await core._delivered(row) for row in await core.store.queue.lease("mailer", 100)]

    return list(core.run(go()))


def answer(token: str, signer: Any = None, detached: bool = True, sender: str = ANNA, quoted: str = "") -> bytes:
    text = f"Content-Type: text/plain\n\n{quoted}> {token}\nYes, that was me.\n".encode()
    head = f"From: {sender}\nTo: {IME}\nSubject: Re: Did you send this?\n".encode()
    return head + make.sign(text, signer or signer_of(ANNA), detached=detached)


def asked(core: Core) -> str:
    """Make the gateway ask Anna; the token of its question."""
    waits(send(core, mail())[0])
    (question,) = questions(core)
    token = email.message_from_bytes(question.wire)[CHALLENGE_HEADER]
    assert isinstance(token, str)
    return token


def test_the_question(core: Core) -> None:
    waits(send(core, mail())[0])
    (question,) = questions(core)
    assert (question.recipient, question.sender, question.notify) == (ANNA, "", "NEVER")
    read = email.message_from_bytes(question.wire)
    thumbprint = signer_of(ANNA).certificate.thumbprint
    assert read["Auto-Submitted"] == "auto-generated"
    assert email.utils.parseaddr(read["From"])[1] == email.utils.parseaddr(read["Reply-To"])[1] == IME
    assert read[CERTIFICATE_HEADER] == thumbprint
    text = read.get_payload()
    assert read[CHALLENGE_HEADER] in text and max(map(len, text.splitlines())) <= 76
    assert thumbprint[7:].upper() in text.replace(" ", "").replace("\r\n", "")
    assert "IF IT WAS NOT YOU" in text
    # What it is about stays shut: neither subject nor recipients are in the question.
    assert "Merger" not in question.wire.decode() and "bob@" not in question.wire.decode()
    assert read[CHALLENGE_HEADER] not in repr(core.store.registry.events())


def test_one_question_for_one_certificate(core: Core) -> None:
    again = mail()
    for _ in range(3):
        waits(send(core, again)[0])
        waits(send(core, mail())[0])
    assert len(questions(core)) == 1
    told = [event.event for event in core.store.registry.events(sender=ANNA)]
    assert told == ["refused"] * 6
    assert make.pins(core) == [(signer_of(ANNA).certificate.thumbprint, "pending", "challenged")]


def test_at_most_three_questions_to_one_person(core: Core) -> None:
    for machine in range(1, 6):
        waits(send(core, mail(signer_of(ANNA, machine)))[0])
    assert len(questions(core)) == 3


@pytest.mark.parametrize("detached", [True, False])
def test_answered_the_retry_passes(core: Core, detached: bool) -> None:
    waiting = mail()
    waits(send(core, waiting)[0])
    token = email.message_from_bytes(questions(core)[0].wire)[CHALLENGE_HEADER]
    outcome, copies = send(core, answer(token, detached=detached))
    assert isinstance(outcome, Accepted) and copies == []
    assert [event.event for event in core.store.registry.events(id=outcome.message_id)] == ["accepted"]
    outcome, copies = send(core, waiting)
    assert isinstance(outcome, Accepted)
    assert [copy.recipient for copy in copies] == ["bob@acme.example", ANNA]
    assert make.pins(core) == [(signer_of(ANNA).certificate.thumbprint, "approved", "confirmed")]


def test_answered_inside_a_container(core: Core) -> None:
    token = asked(core)
    text = f"Content-Type: text/html\n\n<p>&gt; <b>{token[:10]}</b>{token[10:]}</p>\n".encode()
    sealed = make.encrypt(make.sign(text, signer_of(ANNA)), make.ime_key(), form="DER")
    outcome, copies = send(core, carrier(sealed))
    assert isinstance(outcome, Accepted) and copies == []
    assert make.pins(core)[0][1] == "approved"


def test_answered_by_a_reply_that_the_addin_wrapped(core: Core) -> None:
    """The user replies with the button pressed: a container whose only recipient is the IME address."""
    token = asked(core)
    outcome, copies = send(core, container(original(IME, text=token), signer=signer_of(ANNA)).mail)
    assert isinstance(outcome, Accepted) and copies == []
    assert make.pins(core)[0][1] == "approved"


def test_a_mail_that_only_quotes_the_question_is_mail(core: Core) -> None:
    """Anna forwards the question to the help desk from a machine that is known: it must arrive there."""
    token = asked(core)
    make.pin(core, ANNA, signer_of(ANNA, 2).certificate)
    forwarded = container(original("emil@acme.example", text=token), signer=signer_of(ANNA, 2)).mail
    outcome, copies = send(core, forwarded)
    assert isinstance(outcome, Accepted)
    assert [copy.recipient for copy in copies] == ["emil@acme.example", ANNA]
    assert ("pending", "challenged") in [entry[1:] for entry in make.pins(core)]


def test_an_answer_that_has_other_readers_is_not_swallowed(core: Core) -> None:
    """Somebody else waits for that mail: it is refused, so that its sender knows."""
    token = asked(core)
    both = container(original(f"{IME}, bob@acme.example", text=token), signer=signer_of(ANNA)).mail
    outcome, copies = send(core, both)
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-nested" and copies == []
    outcome, copies = core.send(answer(token), ANNA, [IME, "bob@acme.example"])
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-malformed" and copies == []
    signed = make.sign(make.wrap(original(text=token)), signer_of(ANNA))
    outcome, _ = send(core, f"From: {ANNA}\nTo: {IME}\n".encode() + signed)
    assert isinstance(outcome, Refused) and "not encrypted" in outcome.detail
    assert make.pins(core)[0][1] == "pending"


@pytest.mark.parametrize(
    "wrong, reason",
    [
        ({"signer": signer_of(ANNA, 2)}, "ime-signer-mismatch"),
        ({"signer": signer_of("bob@acme.example")}, "ime-signer-mismatch"),
        ({"sender": "bob@acme.example"}, "ime-signer-mismatch"),
        ({"sender": "bob@acme.example", "signer": signer_of("bob@acme.example")}, "ime-signer-unknown"),
    ],
)
def test_answered_by_somebody_else(core: Core, wrong: dict[str, Any], reason: str) -> None:
    token = asked(core)
    outcome, _ = send(core, answer(token, **wrong), wrong.get("sender", ANNA))
    assert isinstance(outcome, Refused) and outcome.reason.value == reason, outcome
    assert not outcome.temporary
    assert make.pins(core)[0][1] == "pending"


def test_answered_in_the_name_of_the_mailbox_by_another_envelope(core: Core) -> None:
    token = asked(core)
    outcome, _ = send(core, answer(token), "bob@acme.example")
    assert isinstance(outcome, Refused) and outcome.reason.value == "from-mismatch"
    assert make.pins(core)[0][1] == "pending"


def test_answered_on_behalf_of_the_mailbox(core: Core) -> None:
    """Bob's mailbox sends what Anna's key signed: the question was to Anna's mailbox, and so is the answer hers."""
    token = asked(core)
    onbehalf = answer(token, sender="bob@acme.example").replace(b"Subject:", f"Sender: {ANNA}\nSubject:".encode(), 1)
    outcome, _ = send(core, onbehalf, "bob@acme.example")
    assert isinstance(outcome, Refused) and outcome.reason.value == "from-mismatch"
    assert make.pins(core)[0][1] == "pending"


def test_a_vacation_notice_is_no_answer(core: Core) -> None:
    token = asked(core)
    notice = f"From: {ANNA}\nTo: {IME}\nSubject: Away\nAuto-Submitted: auto-replied\n\nI am away.\n> {token}\n"
    outcome, _ = send(core, notice.encode())
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-malformed"
    assert make.pins(core)[0][1] == "pending"


def test_the_token_must_be_under_the_signature(core: Core) -> None:
    token = asked(core)
    signed = answer("nothing", quoted="")
    for changed in (
        signed.replace(b"Subject: ", f"Subject: {token} ".encode()),
        signed.replace(b"This is an S/MIME signed message", token.encode()),
        signed.replace(b"nothing", token.encode()),
    ):
        outcome, _ = send(core, changed)
        assert isinstance(outcome, Refused), outcome
    assert make.pins(core)[0][1] == "pending"


def test_an_unknown_and_a_used_token(core: Core) -> None:
    token = asked(core)
    outcome, _ = send(core, answer("imegw-" + "0" * 32))
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown" and not outcome.temporary
    assert isinstance(send(core, answer(token))[0], Accepted)
    again, copies = send(core, answer(token))  # a lost reply must not become a false failure
    assert isinstance(again, Accepted) and again.duplicate and copies == []


def test_a_question_runs_out(core: Core) -> None:
    token = asked(core)
    submission = replace(core.submission(answer(token), ANNA, [IME]), received_at=time.time() + 48 * 3600 + 1)
    outcome = core.run(core.receiver.receive(submission))
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown"
    assert make.pins(core)[0][1] == "pending"


def test_an_administrator_is_faster_than_the_answer(core: Core) -> None:
    token = asked(core)
    make.pin(core, ANNA, state="revoked")
    outcome, _ = send(core, answer(token))
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown"
    assert make.pins(core)[0][1] == "revoked"


def test_first_use(core: Core) -> None:
    make.setup(core, "first-use")
    assert isinstance(send(core, mail())[0], Accepted)
    assert make.pins(core) == [(signer_of(ANNA).certificate.thumbprint, "approved", "first-use")]
    waits(send(core, mail(signer_of(ANNA, 2)))[0])


def test_a_refused_container_pins_nobody(core: Core) -> None:
    make.setup(core, "first-use")
    refused = container(original("nobody@acme.example"), signer=signer_of(ANNA)).mail
    assert isinstance(send(core, refused)[0], Refused)
    assert make.pins(core) == []


@pytest.mark.parametrize("mode", ["directory", "confirm", "first-use"])
def test_the_directory_and_a_trusted_ca_vouch(core: Core, mode: str) -> None:
    make.setup(core, mode)
    assert isinstance(send(core, mail(person(ANNA)))[0], Accepted)
    assert make.pins(core) == []


@pytest.mark.parametrize("owner", ["bob@acme.example", "partner.example", ANNA])
def test_allowed_for_somebody_else_vouches_for_nobody(core: Core, owner: str) -> None:
    """The trust list allows what was compared with its owner; that it names Anna, too, was checked by nobody."""
    several = make_user("bob@acme.example", dn_addresses=[ANNA])

    def approve(live: Any) -> None:
        if "@" in owner:
            live.put_certificate(several.certificate, (owner,), None)
        else:
            live.put_partner_domain(PartnerDomain(name=owner), [several.certificate])
        live.put_trust(TrustEntry(several.certificate.thumbprint, "allow"))

    core.configure(approve)
    outcome, _ = send(core, mail(several))
    if owner == ANNA:
        assert isinstance(outcome, Accepted)
    else:
        waits(outcome)


def test_directory_mode_asks_nobody(core: Core) -> None:
    make.setup(core, "directory")
    core.configure(lambda live: live.put_certificate(signer_of(ANNA).certificate, (ANNA,), None))
    outcome, _ = send(core, mail())
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown" and not outcome.temporary
    assert questions(core) == []


def test_registered_mode(core: Core) -> None:
    make.setup(core, "registered")
    outcome, _ = send(core, mail(person(ANNA)))  # even from a trusted CA
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown" and not outcome.temporary
    make.pin(core, ANNA, person(ANNA).certificate)
    assert isinstance(send(core, mail(person(ANNA)))[0], Accepted)


def test_a_registered_certificate_without_an_address(core: Core) -> None:
    nameless = make_user("x@y.example", san=False, common_name="Anna Example")
    waiting = mail(nameless)
    outcome, _ = send(core, waiting)
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-mismatch"
    make.pin(core, ANNA, nameless.certificate)
    assert isinstance(send(core, waiting)[0], Accepted)


def test_a_denied_signer(core: Core) -> None:
    make.pin(core, ANNA)
    core.configure(lambda live: live.put_trust(TrustEntry(signer_of(ANNA).certificate.thumbprint, "deny")))
    outcome, _ = send(core, mail())
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown" and not outcome.temporary


def endorsing(new: Any, signer: Any = None) -> bytes:
    encoded = base64.b64encode(new.certificate.der).decode()
    folded = "\n ".join(encoded[at : at + 70] for at in range(0, len(encoded), 70))
    return container(original(X_IMEGW_New_Signer=folded), signer=signer or signer_of(ANNA)).mail


def test_an_endorsed_signer(core: Core) -> None:
    make.pin(core, ANNA)
    outcome, copies = send(core, endorsing(signer_of(ANNA, 2)))
    assert isinstance(outcome, Accepted)
    assert all("new-signer" not in copy.head.lower() for copy in copies)
    assert (signer_of(ANNA, 2).certificate.thumbprint, "approved", "endorsed") in make.pins(core)
    assert isinstance(send(core, mail(signer_of(ANNA, 2)))[0], Accepted)


def test_who_may_not_endorse_or_be_endorsed(core: Core) -> None:
    make.setup(core, "first-use")
    for new, signer in (
        (signer_of(ANNA, 2), signer_of(ANNA)),  # the first that comes brings no second
        (signer_of(ANNA, 2), person(ANNA)),  # nor does one that only the directory knows
    ):
        outcome, _ = send(core, endorsing(new, signer))
        assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-unknown", outcome
    make.pin(core, ANNA)
    for new in (signer_of("bob@acme.example"), make_user(ANNA, expired=True)):
        assert isinstance(send(core, endorsing(new))[0], Refused)
    make.pin(core, ANNA, signer_of(ANNA, 3).certificate, "revoked")
    assert isinstance(send(core, endorsing(signer_of(ANNA, 3)))[0], Refused)
    broken = container(original(X_IMEGW_New_Signer="MIIB no certificate"), signer=signer_of(ANNA)).mail
    outcome, _ = send(core, broken)
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-malformed"
    assert [entry[1] for entry in make.pins(core)].count("approved") == 1


def test_a_pin_is_no_encryption_key(core: Core) -> None:
    """Greta has a pin and no usable certificate: nothing is ever encrypted to the pinned one."""
    make.pin(core, "nora@acme.example", signer_of("nora@acme.example").certificate)
    make.pin(core, ANNA)
    outcome, _ = send(core, container(original("nora@acme.example"), signer=signer_of(ANNA)).mail)
    assert isinstance(outcome, Refused) and outcome.reason.value == "no-certificate"


def test_what_is_remembered(core: Core) -> None:
    """Replay key, sender and the signer's capabilities are committed with the message, not with a refusal."""
    make.pin(core, ANNA)
    nobody = container(original("nobody@acme.example"), signer=signer_of(ANNA)).mail
    assert isinstance(send(core, nobody)[0], Refused)
    core.configure(
        lambda live: live.put_certificate(person("bob@acme.example").certificate, ("nobody@acme.example",), None)
    )
    outcome, _ = send(core, nobody)  # a corrected directory lets the same container pass
    assert isinstance(outcome, Accepted)
    learnt = core.run(core.store.containers.learnt([ANNA]))
    assert learnt[ANNA].capabilities.startswith(b"\x30")


class _Late:
    """Containers as a worker sees them while another one commits the same container."""

    def __init__(self, real: Any, later: list[Seen | None]) -> None:
        self._real, self._later = real, later

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def seen(self, replay_key: str) -> Seen | None:
        return self._later.pop(0)


@pytest.mark.parametrize(
    "later, expected",
    [
        (Seen(ANNA, "the-first", 0.0), "the-first"),
        (Seen("bob@acme.example", "the-first", 0.0), "ime-replay"),
        (None, "ime-replay"),
    ],
)
def test_two_workers_take_the_same_container(core: Core, later: Seen | None, expected: str) -> None:
    make.pin(core, ANNA)
    twice = mail()
    assert isinstance(send(core, twice)[0], Accepted)
    late = _Late(core.store.containers, [None, later])
    core.receiver.planner.containers.containers = late
    core.receiver = replace(core.receiver, containers=replace(core.receiver.containers, containers=late))
    queued = len(core.store.registry.queue_lines())
    outcome, copies = send(core, twice)
    assert copies == [] and len(core.store.registry.queue_lines()) == queued
    if expected == "the-first":
        assert outcome == Accepted("the-first", duplicate=True)
    else:
        assert isinstance(outcome, Refused) and outcome.reason.value == expected
        assert outcome.temporary is (later is None)


def test_a_store_that_fails_while_asking(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: Any) -> bool:
        raise StoreUnavailable("down")

    late = _Late(core.store.containers, [None])
    late.challenge = down  # type: ignore[attr-defined]
    core.receiver = replace(core.receiver, containers=replace(core.receiver.containers, containers=late))
    outcome, _ = send(core, mail())
    assert isinstance(outcome, Refused) and outcome.temporary and outcome.reason.value == "store-unavailable"
    assert questions(core) == []


def test_notify_of_the_ime_address_holds_for_everybody_inside(core: Core) -> None:
    make.pin(core, ANNA)
    data = container(original("bob@acme.example, carol@acme.example"), signer=signer_of(ANNA)).mail
    outcome, copies = core.send(data, ANNA, [IME], notify="SUCCESS", orcpt="rfc822;x")
    assert isinstance(outcome, Accepted)
    assert [(copy.recipient, copy.notify, copy.orcpt) for copy in copies] == [
        ("bob@acme.example", "SUCCESS", ""),
        ("carol@acme.example", "SUCCESS", ""),
        (ANNA, "NEVER", ""),
    ]


def test_an_assistant_signs_for_herself(core: Core) -> None:
    """Sender if present signs, else From (design 6.5, fact 1)."""
    make.pin(core, "bob@acme.example")
    inner = original("carol@acme.example", Sender="bob@acme.example")
    extra = ("Sender: bob@acme.example",)
    outcome, copies = send(
        core, container(inner, signer=signer_of("bob@acme.example"), extra=extra).mail, "bob@acme.example"
    )
    assert isinstance(outcome, Accepted), outcome
    assert copies[-1].copy == "sent" and copies[-1].recipient == "bob@acme.example"
    make.pin(core, ANNA)
    outcome, _ = send(core, container(inner, signer=signer_of(ANNA), extra=extra).mail, "bob@acme.example")
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-signer-mismatch"


def test_too_many_recipients(core: Core) -> None:
    make.pin(core, ANNA)
    many = ",\n ".join(f"p{number}@acme.example" for number in range(1001))
    outcome, _ = send(core, container(original(many), signer=signer_of(ANNA)).mail)
    assert isinstance(outcome, Refused) and outcome.reason.value == "ime-malformed" and "1000" in outcome.detail


def test_a_report_says_no_more_than_the_carrier(core: Core) -> None:
    """on_unprotectable = report: the DSN passes the mail server, so the subject inside is not in it."""
    make.pin(core, ANNA)
    core.configure(lambda live: live.put_policy(Policy(on_unprotectable="report")))
    inner = original("bob@acme.example, nobody@acme.example", subject="Zanzibar")
    outcome, copies = send(core, container(inner, signer=signer_of(ANNA)).mail)
    assert isinstance(outcome, Accepted) and len(copies) == 2
    (report,) = questions(core)
    assert report.recipient == ANNA and b"nobody@acme.example" in report.wire
    parts = email.message_from_bytes(report.wire).walk()
    told = b"".join(part.get_payload(decode=True) or b"" for part in parts if not part.is_multipart())  # type: ignore[operator]
    assert b"Zanzibar" not in report.wire + told and b"nobody@acme.example" in told
    assert b"Encrypted message" in report.wire


def test_the_large_container_runs_in_a_thread(core: Core) -> None:
    make.pin(core, ANNA)
    data = container(original(text="x" * 70 + "\n" + ("long lines\n" * 40_000)), signer=signer_of(ANNA)).mail
    outcome, copies = send(core, data)
    assert isinstance(outcome, Accepted)
    clear = decrypt(copies[0].wire, person("bob@acme.example"))
    assert clear is not None and clear.count(b"long lines") == 40_000


def test_eight_bit_text_in_every_shape(core: Core) -> None:
    """Text beyond ASCII comes through as it is, also where only CBC protects it."""
    make.pin(core, ANNA)
    for shape in ("rfc822", "message", "mixed", "mixed-eml"):
        for detached in (True, False):
            inner = original(text="Grüße aus Zürich", Content_Transfer_Encoding="8bit")
            outcome, copies = send(core, container(inner, signer=signer_of(ANNA), shape=shape, detached=detached).mail)
            assert isinstance(outcome, Accepted), (shape, detached, outcome)
            clear = decrypt(copies[0].wire, person("bob@acme.example"))
            assert clear is not None and "Grüße aus Zürich".encode() in clear
