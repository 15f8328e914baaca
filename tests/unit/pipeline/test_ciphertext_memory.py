"""Encrypted content that was opened for one person is opened for nobody else, and what is kept of it says so."""

import asyncio
from collections.abc import Mapping

import pytest

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.mail.headers import parse_fields
from ime_gateway.pipeline.ciphertext_memory import CiphertextMemory
from ime_gateway.pipeline.protected_ids import keyed_hash
from ime_gateway.ports.incoming import ContentKey, IncomingRecord, KnownKey, OpenedKey
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


def keys(*digests: str, content: str = "c") -> tuple[ContentKey, ...]:
    return tuple(ContentKey(digest, content) for digest in digests)


def reused(
    memory: CiphertextMemory, opened: Mapping[str, tuple[ContentKey, ...]], bound: tuple[str, ...] = ()
) -> frozenset[str]:
    return frozenset(asyncio.run(memory.reused(opened, bound=bound)))


def test_new_content_is_everybodys(memory: CiphertextMemory) -> None:
    assert reused(memory, {ANNA: keys("d1"), BOB: keys("d1", "d2")}) == frozenset()
    assert reused(memory, {}) == frozenset()


def test_only_those_for_whom_it_was_opened_get_it_again(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    commit(incoming, memory.record({ANNA: keys("d1"), BOB: keys("d1")}, ()))
    assert reused(memory, {ANNA: keys("d1")}) == frozenset()
    assert reused(memory, {ANNA: keys("d1"), CAROL: keys("d1")}) == {CAROL}


def test_any_layer_that_is_anothers_seals_the_whole(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    """The thief wraps the stolen content in an envelope of his own, new each time."""
    commit(incoming, memory.record({ANNA: keys("stolen")}, ()))
    assert reused(memory, {BOB: keys("fresh", "stolen")}) == {BOB}
    assert reused(memory, {BOB: keys("fresh")}) == frozenset()


def test_other_content_under_the_key_is_nobodys(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    """Also where the mail came for somebody who had not got the first, by a key of their own."""
    commit(incoming, memory.record({ANNA: keys("d1")}, ()))
    changed = {ANNA: keys("d1", content="x"), BOB: keys("d2", content="x"), CAROL: keys("d3")}
    assert reused(memory, changed) == {ANNA, BOB}
    assert reused(memory, changed, bound=(ANNA, BOB)) == {ANNA, BOB}, "no honest sender binds it either"
    assert reused(memory, {BOB: (*keys("d4"), *keys("d4", content="x"))}) == {BOB}


def test_whom_the_mail_names_is_no_stranger_to_it(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    commit(incoming, memory.record({ANNA: keys("d1")}, ()))
    assert reused(memory, {BOB: keys("d1"), CAROL: keys("d1")}, bound=(BOB,)) == {CAROL}


def test_a_store_that_is_away_opens_nothing(memory: CiphertextMemory, incoming: MemoryIncoming) -> None:
    async def away(_: object) -> Mapping[str, KnownKey]:
        raise StoreUnavailable("away")

    incoming.opened_for = away  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        reused(memory, {ANNA: keys("d1")})


def test_the_record_names_each_key_with_all_who_got_it(memory: CiphertextMemory) -> None:
    record = memory.record({BOB: keys("d1", "d2"), ANNA: keys("d1")}, (), bound=())
    assert record.opened == (OpenedKey("d1", (ANNA, BOB), False, "c"), OpenedKey("d2", (BOB,), False, "c"))
    bound = memory.record({BOB: keys("d1"), ANNA: keys("d1")}, (), bound={BOB})
    assert set(bound.opened) == {OpenedKey("d1", (ANNA,), False, "c"), OpenedKey("d1", (BOB,), True, "c")}


def test_outer_and_inner_message_ids_are_kept_as_hashes(memory: CiphertextMemory) -> None:
    outer = parse_fields(b"Message-ID: <Outer@X>\r\nReferences: <older@x>\r\n")
    inner = parse_fields(b"Message-ID: <inner@x>\r\n")
    record = memory.record({ANNA: keys("d1")}, (outer, inner, outer))
    assert sorted(record.protected_ids) == sorted(keyed_hash(KEY, name) for name in ("outer@x", "inner@x"))


def test_mail_that_was_not_opened_protects_nothing(memory: CiphertextMemory) -> None:
    """Else whoever writes `application/pkcs7-mime` over rubbish could stop the answers to any mail he knows of."""
    record = memory.record({}, (parse_fields(b"Message-ID: <outer@x>\r\n"),))
    assert record == IncomingRecord()


def test_the_key_does_not_show(memory: CiphertextMemory) -> None:
    assert "kkkk" not in repr(memory)
