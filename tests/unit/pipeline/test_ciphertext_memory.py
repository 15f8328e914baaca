"""Encrypted content that was opened for one person is opened for nobody else, and what is kept of it says so."""

import asyncio
from collections.abc import Mapping

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.mail.headers import parse_fields
from ime_gateway.pipeline.ciphertext_memory import CiphertextMemory
from ime_gateway.pipeline.protected_ids import keyed_hash
from ime_gateway.ports.incoming import IncomingRecord, OpenedKey
from ime_gateway.ports.queue import Parcel
from tests.doubles.memory_incoming import MemoryIncoming
from tests.doubles.memory_queue import MemoryQueue, MemorySpool

KEY = b"k" * 32
ANNA, BOB, CAROL = (f"{name}@acme.example" for name in ("anna", "bob", "carol"))


@pytest.fixture
def incoming() -> MemoryIncoming:
    return MemoryIncoming(MemoryQueue(lambda: 100.0, MemorySpool()), lambda: 100.0)


@pytest.fixture
def memory(incoming: MemoryIncoming) -> CiphertextMemory:
    return CiphertextMemory(incoming, KEY)


def commit(incoming: MemoryIncoming, record: IncomingRecord) -> None:
    parcel = Parcel("m", "", "", "internet", 0.0, (), (), ())
    asyncio.run(incoming.queue.enqueue(parcel, (), None, incoming=record))


def reused(memory: CiphertextMemory, opened: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    return asyncio.run(memory.reused(opened))


def test_new_content_is_everybodys(memory: CiphertextMemory) -> None:
    assert reused(memory, {ANNA: ("d1",), BOB: ("d1", "d2")}) == frozenset()
    assert reused(memory, {}) == frozenset()


def test_only_those_for_whom_it_was_opened_get_it_again(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    commit(incoming, memory.record({ANNA: ("d1",), BOB: ("d1",)}, ()))
    assert reused(memory, {ANNA: ("d1",)}) == frozenset()
    assert reused(memory, {ANNA: ("d1",), CAROL: ("d1",)}) == {CAROL}


def test_any_layer_that_is_anothers_seals_the_whole(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    """The thief wraps the stolen content in an envelope of his own, new each time."""
    commit(incoming, memory.record({ANNA: ("stolen",)}, ()))
    assert reused(memory, {BOB: ("fresh", "stolen")}) == {BOB}
    assert reused(memory, {BOB: ("fresh",)}) == frozenset()


def test_a_store_that_is_away_opens_nothing(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    async def away(_: object) -> Mapping[str, frozenset[str]]:
        raise StoreUnavailable("away")

    incoming.opened_for = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        reused(memory, {ANNA: ("d1",)})


def test_the_record_names_each_key_with_all_who_got_it(memory: CiphertextMemory) -> None:
    record = memory.record({BOB: ("d1", "d2"), ANNA: ("d1",)}, (), bound=())
    assert record.opened == (OpenedKey("d1", (ANNA, BOB)), OpenedKey("d2", (BOB,)))
    bound = memory.record({BOB: ("d1",), ANNA: ("d1",)}, (), bound={BOB})
    assert set(bound.opened) == {OpenedKey("d1", (ANNA,)), OpenedKey("d1", (BOB,), bound=True)}


def test_outer_and_inner_message_ids_are_kept_as_hashes(memory: CiphertextMemory) -> None:
    outer = parse_fields(b"Message-ID: <Outer@X>\r\nReferences: <older@x>\r\n")
    inner = parse_fields(b"Message-ID: <inner@x>\r\n")
    record = memory.record({ANNA: ("d1",)}, (outer, inner, outer))
    assert sorted(record.protected_ids) == sorted(keyed_hash(KEY, name) for name in ("outer@x", "inner@x"))


def test_mail_that_was_not_opened_protects_nothing(memory: CiphertextMemory) -> None:
    """Else whoever writes `application/pkcs7-mime` over rubbish could stop the answers to any mail he knows of."""
    record = memory.record({}, (parse_fields(b"Message-ID: <outer@x>\r\n"),))
    assert record == IncomingRecord()


def test_the_key_does_not_show(memory: CiphertextMemory) -> None:
    assert "kkkk" not in repr(memory)
