"""Between unlocking a container and looking into it: the ledger decides, and what it closes leaves like the rest."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.base.outcome import Accepted, Refused
from tests import container_mail as make
from tests.cbc_envelope import CbcEnvelope, flipped
from tests.container_mail import ANNA, IME, carrier, container, original, signer_of
from tests.core import Core, close, make_core


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    made = make_core(tmp_path)
    make.setup(made)
    yield made
    close(made)


def test_the_time_of_a_refusal_tells_nothing(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opening found is told at even steps after the mail came in, however long opening took."""
    slept: list[float] = []
    start = float(int(time.time()))

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    class Clock:
        def __init__(self, taken: float) -> None:
            self.taken = taken

        def now(self) -> float:
            return start + self.taken

    monkeypatch.setattr("ime_gateway.pipeline.container.replies.asyncio.sleep", sleep)
    envelope = CbcEnvelope(container(original(), signer=signer_of(ANNA)).encrypted)
    unpadded = carrier(envelope.rebuilt(ciphertext=envelope.ciphertext[:-3]))  # closed by decryption
    changed = carrier(envelope.rebuilt(iv=flipped(envelope.iv, 1)))  # closed by the ledger
    for taken, data in ((0.03, carrier(b"x")), (0.07, unpadded), (0.25, changed)):
        core.receiver = replace(core.receiver, containers=replace(core.receiver.containers, clock=Clock(taken)))
        submission = replace(core.submission(data, ANNA, [IME]), received_at=start)
        outcome = core.run(core.receiver.receive(submission))
        assert isinstance(outcome, Refused) and outcome.reason.value == "ime-malformed"
    assert slept == [0.07, 0.03, 0.05]


def test_a_ledger_that_fails(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is told before the place under the key is taken durably."""

    class Down:
        async def first_ciphertext(self, *_: Any) -> bool:
            raise StoreUnavailable("down")

    monkeypatch.setattr(core.receiver.planner.containers, "ledger", Down())
    for signer in (signer_of(ANNA), None):
        outcome, copies = core.send(container(original(), signer=signer).mail, ANNA, [IME])
        assert isinstance(outcome, Refused) and outcome.temporary and outcome.reason.value == "store-unavailable"
        assert copies == [] and core.store.registry.queue_lines() == []


def test_every_content_key_is_written_down(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digests of key and ciphertext, for 400 days after it came; under a tag only the key says something."""
    asked: list[tuple[str, str, float]] = []

    class Ledger:
        async def first_ciphertext(self, *asking: Any) -> bool:
            asked.append(asking)
            return True

    monkeypatch.setattr(core.receiver.planner.containers, "ledger", Ledger())
    make.pin(core, ANNA)
    for cipher in ("aes-256-gcm", "aes-256-cbc", "aes-128-cbc"):
        sealed = container(original(), signer=signer_of(ANNA), cipher=cipher).mail
        submission = core.submission(sealed, ANNA, [IME])
        assert isinstance(core.run(core.receiver.receive(submission)), Accepted)
    assert len({one[0] for one in asked}) == len({one[1] for one in asked}) == len(asked) == 3
    assert all(len(key) == len(ciphertext) == 64 for key, ciphertext, _ in asked)
    assert asked[-1][2] == submission.received_at + 400 * 86_400
