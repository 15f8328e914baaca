"""A hidden subject is nowhere but inside the encryption: not in reports, tracking, logs, database or spool."""

import email
import email.policy
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.policy.triggers import hides_subject
from ime_gateway.settings.site import Policy
from tests import container_mail as make
from tests.core import PSEUDO, Core, close, make_core, person
from tests.openssl import decrypt

SUBJECT = "Merger with Tulip"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    yield made
    close(made)


def mail(*lines: str, to: str = PSEUDO, request: str = "yes") -> bytes:
    extra = "".join(f"{line}\n" for line in lines)
    return (
        f"From: anna@acme.example\nTo: {to}\nSubject: {SUBJECT}\nThread-Topic: {SUBJECT}\n"
        f"Message-ID: <1@acme.example>\nx-smsubjectencrypt: {request}\n{extra}\nThe text.\n"
    ).encode()


def test_nothing_at_rest_names_it(core: Core, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logged:
        outcome, copies = core.send(mail("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted) and len(copies) == 2
    assert SUBJECT not in repr(logged)
    assert SUBJECT not in repr(core.store.registry.events())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"Tulip" not in path.read_bytes(), path
    for copy in copies:
        assert b"Tulip" not in copy.wire


def test_every_reader_finds_it_inside(core: Core) -> None:
    _, copies = core.send(mail("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    for copy in copies:
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None
        parsed = email.message_from_bytes(clear, policy=email.policy.default)
        assert parsed["Subject"] == SUBJECT and parsed["Bcc"] is None
        assert parsed["To"] == "bob@acme.example" and parsed["x-smsubjectencrypt"] is None
        assert email.message_from_bytes(copy.wire, policy=email.policy.default)["Subject"] == "[...]"


def test_reports_show_the_outside(core: Core) -> None:
    outcome, _ = core.send(mail("X-SM-ORIGTO: bob@acme.example"), "anna@acme.example", [PSEUDO])
    headers = core.run(core.store.queue.return_headers(outcome.message_id))
    assert b"Subject: [...]\r\n" in headers and b"Tulip" not in headers


def test_the_report_about_who_is_left_out(core: Core) -> None:
    core.configure(lambda live: live.put_policy(Policy(on_unprotectable="report")))
    given = mail("X-SM-ORIGTO: bob@acme.example, nokey@acme.example")
    outcome, copies = core.send(given, "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Accepted)
    reports = [line for line in core.store.registry.queue_lines() if line.sender == ""]
    assert len(reports) == 1 and all(b"Tulip" not in copy.wire for copy in copies)
    headers = core.run(core.store.queue.return_headers(outcome.message_id))
    assert b"Tulip" not in headers


def test_refusals_do_not_quote_it(core: Core) -> None:
    outcome, _ = core.send(mail("X-SM-ORIGTO: nokey@acme.example"), "anna@acme.example", [PSEUDO])
    assert isinstance(outcome, Refused) and SUBJECT not in repr(outcome)


HP = 'Content-Type: text/plain; hp="cipher"'


@pytest.mark.parametrize(("mode", "hidden"), [("on-request", True), ("never", False)])
def test_a_client_that_protects_the_header_asks_for_it(core: Core, mode: str, hidden: bool) -> None:
    """And where that is not granted, no reader looks for header fields inside that are not there."""
    core.configure(lambda live: live.put_policy(Policy.model_validate({"protect_subject": mode})))
    given = mail("X-SM-ORIGTO: bob@acme.example", HP, "HP-Outer: Subject: [...]", request="no")
    _, copies = core.send(given, "anna@acme.example", [PSEUDO])
    for copy in copies:
        assert ("Subject: [...]\r\n" in copy.head) == hidden and "HP-Outer" not in copy.head
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None and (b"Tulip" in clear) == hidden == (b'hp="cipher"' in clear)


def test_plain_mail_keeps_it(core: Core) -> None:
    _, [copy] = core.send(mail(to="x@elsewhere.example"), "anna@acme.example", ["x@elsewhere.example"])
    assert copy.protection == "none" and f"Subject: {SUBJECT}\r\n" in copy.head
    assert "x-smsubjectencrypt" not in copy.head


@pytest.mark.parametrize(
    ("mode", "hidden"),
    [
        ("never", [False, False, False, False]),
        ("on-request", [False, True, False, True]),
        ("ime2", [False, True, True, True]),
        ("always", [True, True, True, True]),
    ],
)
def test_whose_subject_is_hidden(mode: str, hidden: list[bool]) -> None:
    asked = [(False, None), (True, "1.0"), (False, "2.0"), (True, "2.0")]
    assert [hides_subject(mode, requested, ime) for requested, ime in asked] == hidden  # type: ignore[arg-type]
    assert Policy.model_validate({"protect_subject": mode}).protect_subject == mode
    assert not hides_subject("ime2", False, "1.0")


def test_a_container_shows_listed_fields_alone(core: Core) -> None:
    """Nobody between add-in and gateway saw its header, so nothing of it may come out in the copies' headers."""
    make.setup(core)
    make.pin(core, make.ANNA)
    core.configure(lambda live: live.put_policy(Policy.model_validate({"protect_subject": "ime2"})))
    given = make.original(subject=SUBJECT, X_Words="Tulip", Received="Tulip", Importance="high", Organization="Tulip")
    _, copies = core.send(make.container(given, signer=make.signer_of(make.ANNA)).mail, make.ANNA, [make.IME])
    assert [copy.copy for copy in copies] == ["recipient", "sent"]
    for copy in copies:
        assert "Tulip" not in copy.head and "Importance: high\r\n" in copy.head and "Subject: [...]" in copy.head
        assert copy.unfolded.count("\nReceived:") + copy.unfolded.startswith("Received:") == 1
        clear = decrypt(copy.wire, person(copy.recipient))
        assert clear is not None and b"X-Words: Tulip\r\n" in clear and b"Received" not in clear


def test_a_container_without_hidden_subject_loses_its_way_only(core: Core) -> None:
    make.setup(core)
    make.pin(core, make.ANNA)
    given = make.original(Received="Tulip", X_Mailer="Outlook", X_IMEGW_Trace="Tulip")
    _, copies = core.send(make.container(given, signer=make.signer_of(make.ANNA)).mail, make.ANNA, [make.IME])
    for copy in copies:
        assert "Tulip" not in copy.head and "X-Mailer: Outlook\r\n" in copy.head and "Subject: Merger" in copy.head


def test_a_container_that_comes_round_and_round_is_a_loop(core: Core) -> None:
    """Who wraps mail automatically makes a new carrier each time; what passed before shows inside only."""
    make.setup(core)
    make.pin(core, make.ANNA)
    own = f"from a by {core.receiver.protector.hostname} with SMTP id 1"
    for passes, fine in ((3, True), (4, False)):
        given = b"".join(b"Received: %s\n" % own.encode() for _ in range(passes)) + make.original()
        outcome, copies = core.send(make.container(given, signer=make.signer_of(make.ANNA)).mail, make.ANNA, [make.IME])
        assert isinstance(outcome, Accepted) == fine
        if fine:
            assert all(copy.unfolded.count(f"by {core.receiver.protector.hostname}") == 4 for copy in copies)
        else:
            assert outcome.reason.value == "loop" and copies == []
