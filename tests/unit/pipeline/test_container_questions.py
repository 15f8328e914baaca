"""What the peer, the tracking page and the log say about an unknown signer is what really happened."""

import asyncio
import email
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.ime.challenge import ASK_AGAIN_SECONDS, CHALLENGE_HEADER, MOST_OPEN, token_hash
from ime_gateway.pipeline.container.outcomes import RefusedContainer
from ime_gateway.pipeline.settle import Attempt
from ime_gateway.pipeline.settler import Settler
from ime_gateway.ports.containers import MOST_PENDING, Asking
from ime_gateway.ports.queue import Event, LeasedRow
from ime_gateway.ports.relay import RelayReply
from ime_gateway.smtp.replies import reply_for
from tests import container_mail as make
from tests.container_mail import ANNA, IME, container, original, signer_of
from tests.core import Core, close, make_core


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def mail(machine: int = 1) -> bytes:
    return container(original(), signer=signer_of(ANNA, machine)).mail


def thumbprint(machine: int = 1) -> str:
    return signer_of(ANNA, machine).certificate.thumbprint


def send(core: Core, data: bytes, later: float = 0.0) -> tuple[Any, str]:
    """The outcome, and the reply to it."""
    submission = replace(core.submission(data, ANNA, [IME]), received_at=time.time() + later)
    outcome = core.run(core.receiver.receive(submission))
    return outcome, reply_for(outcome) if isinstance(outcome, Refused) else ""


def told(core: Core, outcome: Any) -> Event:
    event: Event
    (event,) = core.store.registry.events(id=outcome.message_id)
    return event


def leased(core: Core) -> list[LeasedRow]:
    return list(core.run(core.store.queue.lease("mailer", 100)))


def test_asked_and_open(core: Core) -> None:
    with structlog.testing.capture_logs() as logs:
        first, reply = send(core, mail())
        assert f"ime-signer-unknown: {first.reason.sentence_with(first.detail)}" in reply
        assert first.temporary and "answer the question that was mailed to anna@acme.example, signed" in reply
        asked_at = time.strftime("%H:%M", time.gmtime())
        again, reply = send(core, mail(), ASK_AGAIN_SECONDS - 60)
    assert again.temporary and reply.startswith("451 4.7.1") and "answer it, signed" in reply
    assert f"a question was mailed to {ANNA} at " in reply and asked_at in reply
    assert [told(core, one).detail.split(":")[0] for one in (first, again)] == ["asked", "open"]
    assert all(f"signer {thumbprint()}" in told(core, one).detail for one in (first, again))
    lines = [line for line in logs if line["event"] == "signer unknown"]
    assert [(line["address"], line["certificate"], line["why"]) for line in lines] == [
        (ANNA, thumbprint(), "asked"),
        (ANNA, thumbprint(), "open"),
    ]


def test_full_says_who_can_help_and_he_can(core: Core) -> None:
    for machine in range(1, MOST_OPEN + 1):
        send(core, mail(machine))
    last = mail(MOST_OPEN + 1)
    outcome, reply = send(core, last)
    assert outcome.temporary and f"{MOST_OPEN} questions to {ANNA} are unanswered" in reply
    assert thumbprint(MOST_OPEN + 1) in reply and "(ime signers approve)" in reply
    assert told(core, outcome).detail.startswith("full: ")
    assert len(leased(core)) == MOST_OPEN
    assert (thumbprint(MOST_OPEN + 1), "pending", "challenged") in make.pins(core)
    make.pin(core, ANNA, signer_of(ANNA, MOST_OPEN + 1).certificate)
    assert isinstance(send(core, last)[0], Accepted)


class _Answers:
    """Containers that answer every wish to ask alike."""

    def __init__(self, real: Any, asking: Asking) -> None:
        self._real, self._asking = real, asking

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def challenge(self, *_: Any) -> Asking:
        return self._asking


@pytest.mark.parametrize(
    "asking, begins, says",
    [
        (Asking("full", unanswered=3, pinned=False), "451 4.7.1", "3 questions to anna@acme.example are unanswered"),
        (Asking("revoked"), "554 5.7.1", "revoked as signer by an administrator"),
        (Asking("approved"), "451 4.7.1", "confirmed a moment ago; this mail then goes by itself"),
    ],
)
def test_what_else_may_come_of_it(core: Core, asking: Asking, begins: str, says: str) -> None:
    answers: Any = _Answers(core.store.containers, asking)
    core.receiver = replace(core.receiver, containers=replace(core.receiver.containers, containers=answers))
    outcome, reply = send(core, mail())
    assert reply.startswith(begins) and says in reply and "approve" not in reply
    assert told(core, outcome).detail.startswith(f"{asking.why}: ")
    assert leased(core) == []


def test_a_question_is_tracked_as_mail_of_its_own(core: Core) -> None:
    outcome, _ = send(core, mail())
    (row,) = leased(core)
    assert row.message != outcome.message_id
    (event,) = core.store.registry.events(id=row.message)
    assert event.event == "accepted"


def test_a_question_that_is_not_asked_leaves_no_body(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that is short, each attempt of a mail server would leave one more."""
    spool, real = type(core.store.spool), core.store.containers
    written: list[str] = []
    discarded: list[str] = []
    write, discard = spool.write, spool.discard

    def note_written(self: Any, *asked: Any) -> Any:
        body = write(self, *asked)
        written.append(body.id)
        return body

    def note_discarded(self: Any, body: Any) -> None:
        discarded.append(body.id)
        discard(self, body)

    class Down(_Answers):
        async def challenge(self, *_: Any) -> Asking:
            raise StoreUnavailable("down")

    monkeypatch.setattr(spool, "write", note_written)
    monkeypatch.setattr(spool, "discard", note_discarded)
    doubles: list[Any] = [_Answers(real, Asking("open")), Down(real, Asking("open"))]
    for number, double in enumerate(doubles, 1):
        core.receiver = replace(core.receiver, containers=replace(core.receiver.containers, containers=double))
        assert send(core, mail())[0].temporary
        assert len(written) == number and discarded == written


def test_asked_anew_after_four_hours(core: Core) -> None:
    send(core, mail())
    outcome, _ = send(core, mail(), ASK_AGAIN_SECONDS + 60)
    assert told(core, outcome).detail.startswith("asked: ")
    tokens = [email.message_from_bytes(core.run(core._delivered(row)).wire)[CHALLENGE_HEADER] for row in leased(core)]
    now = time.time()
    opened = [core.run(core.store.containers.open_challenge(token_hash(token), now)) for token in tokens]
    assert len(tokens) == 2 and sum(one is not None for one in opened) == 1


def test_a_question_that_bounced_is_asked_anew_and_noted(core: Core) -> None:
    send(core, mail())
    (row,) = leased(core)
    store, installation = core.store, core.installation
    settler = Settler(store.queue, store.spool, core.receiver.clock, core.receiver.randomness, installation.settings)
    attempt = Attempt(row, RelayReply(550, "5.1.1 no such mailbox"), "exchange.acme.example")
    with structlog.testing.capture_logs() as logs:
        core.run(settler.settle([attempt]))
    (line,) = [one for one in logs if one["log_level"] == "error"]
    assert (line["id"], line["recipient"]) == (row.message, ANNA) and "unknown signer" in line["detail"]
    (pin,) = core.run(core.store.containers.pins(ANNA))
    assert pin.note.startswith(f"question {row.message} failed: 550") and "no such mailbox" in pin.note
    outcome, _ = send(core, mail())
    assert told(core, outcome).detail.startswith("asked: ")
    assert len(leased(core)) == 1


def test_three_first_containers_at_once(core: Core) -> None:
    make.setup(core, "first-use")
    submissions = [core.submission(mail(machine), ANNA, [IME]) for machine in (1, 2, 3)]

    async def go() -> list[Any]:
        return await asyncio.gather(*(core.receiver.receive(one) for one in submissions))

    outcomes = core.run(go())
    refused = [one for one in outcomes if isinstance(one, Refused)]
    assert len(refused) == 2 and [state for _, state, _ in make.pins(core)].count("approved") == 1
    assert all(reply_for(one).startswith("451 4.7.1") and "ime-signer-unknown" in reply_for(one) for one in refused)
    again = [core.run(core.receiver.receive(one)) for one in submissions]
    assert sum(isinstance(one, Accepted) for one in again) == 1
    assert [state for _, state, _ in make.pins(core)].count("pending") == 2
    assert len(make.pins(core)) <= MOST_PENDING


def test_refused_and_duplicate_containers_are_found_by_the_message_id_of_their_carrier(core: Core) -> None:
    make.pin(core, ANNA)
    once, unsigned = mail(), container(original(), signer=None).mail
    for data in (once, once, unsigned):
        send(core, data)
    for data, last in ((once, "duplicate"), (unsigned, "refused")):
        name = email.message_from_bytes(data)["Message-ID"]
        (event,) = core.store.registry.events(message_id=name)
        assert (event.event, event.sender) == (last, ANNA)


def test_the_log_of_a_refused_container_names_its_sender(core: Core) -> None:
    with structlog.testing.capture_logs() as logs:
        send(core, container(original(), signer=None).mail)
    (line,) = [one for one in logs if one["event"] == "container refused"]
    assert line["sender"] == ANNA


@pytest.mark.parametrize("size, step", [((4 << 20) - 1, 0.5), (4 << 20, 1.0), (9 << 20, 1.5)])
def test_large_mail_takes_longer_steps(core: Core, monkeypatch: pytest.MonkeyPatch, size: int, step: float) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    class Clock:
        def now(self) -> float:
            return submission.received_at + 0.25

    submission = core.submission(b"Subject: x\n\n", ANNA, [IME])
    submission = replace(submission, data=bytearray(submission.data).ljust(size, b"x"), received_at=1000.0)
    refused = RefusedContainer(Refused(Reason.IME_UNSIGNED, "x"), "x")
    monkeypatch.setattr("ime_gateway.pipeline.container.replies.asyncio.sleep", sleep)
    replies = replace(core.receiver.containers, clock=Clock(), even_seconds=0.5)
    core.run(replies.carry_out(refused, submission, "m1"))
    assert slept == [pytest.approx(step - 0.25)]
