"""The metrics count what really happened."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

from ime_gateway.app.metering import MeteredQueue, MeteredReception
from ime_gateway.base.outcome import Accepted, Refused
from ime_gateway.base.reasons import Reason
from tests.doubles.memory_queue import MemoryQueue, MemorySpool


def test_only_rows_that_were_still_ours_count() -> None:
    counted: Counter[str] = Counter()
    inner = MemoryQueue(lambda: 0.0, MemorySpool())

    async def settle(settlements: Any, parcels: Any = ()) -> list[str]:
        return ["kept"]

    inner.settle = settle  # type: ignore[method-assign]
    queue = MeteredQueue(inner, lambda name, amount: counted.update({name: amount}))
    rows = [SimpleNamespace(row_id=name, outcome="delivered") for name in ("kept", "lost")]
    assert asyncio.run(queue.settle(rows)) == ["kept"]  # type: ignore[arg-type]
    assert counted["delivered"] == 1


def test_outcomes_are_counted_by_their_reason() -> None:
    counted: Counter[str] = Counter()
    outcomes = [Accepted("1"), Accepted("1", duplicate=True), Refused(Reason.NO_CERTIFICATE, "x")]

    async def receive(_: Any) -> Any:
        return outcomes.pop()

    async def failed(_: Any, cause: str) -> Refused:
        return Refused(Reason.MALFORMED, cause)

    inner: Any = SimpleNamespace(receive=receive, failed=failed)
    door = MeteredReception(inner, lambda name, amount: counted.update({name: amount}))
    submission: Any = SimpleNamespace(data=bytearray(77))
    for _ in range(3):
        asyncio.run(door.receive(submission))
    asyncio.run(door.failed(submission, "x"))
    assert counted == {
        "accepted": 1,
        "duplicate": 1,
        "accepted_bytes": 77,
        "refused:no-certificate": 1,
        "refused:malformed": 1,
    }
