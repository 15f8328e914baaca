"""What is known of people is asked once a minute, and never invented."""

import asyncio
from collections.abc import Sequence

from ime_gateway.pipeline.taught import KEPT_SECONDS, Taught
from ime_gateway.ports.containers import Learnt

BOB = Learnt("bob@x.example", b"\x30\x00", 1.0)


class Store:
    def __init__(self) -> None:
        self.known = {BOB.address: BOB}
        self.asked: list[tuple[str, ...]] = []

    async def learnt(self, addresses: Sequence[str]) -> dict[str, Learnt]:
        self.asked.append(tuple(addresses))
        return {address: self.known[address] for address in addresses if address in self.known}


def test_one_question_a_minute_for_each_person() -> None:
    store = Store()
    taught = Taught(store)

    async def go() -> None:
        for moment in (0.0, 30.0, KEPT_SECONDS - 1):
            assert await taught.about(["bob@x.example", "carol@x.example"], moment) == {"bob@x.example": BOB}
        assert store.asked == [("bob@x.example", "carol@x.example")], "who told nothing is not asked about again either"
        assert await taught.about(["bob@x.example", "dora@x.example"], 1.0) == {"bob@x.example": BOB}
        assert store.asked[1:] == [("dora@x.example",)]
        store.known.clear()
        assert await taught.about(["bob@x.example"], KEPT_SECONDS) == {}
        assert await taught.about(["bob@x.example"], -5.0) == {}
        assert len(store.asked) == 4

    asyncio.run(go())


def test_nobody_to_ask_about() -> None:
    store = Store()
    assert asyncio.run(Taught(store).about([], 0.0)) == {}
    assert store.asked == []


def test_more_people_than_are_kept() -> None:
    store = Store()
    taught = Taught(store)
    crowd = [f"p{number}@x.example" for number in range(25_000)] + ["bob@x.example"]
    assert asyncio.run(taught.about(crowd, 0.0)) == {"bob@x.example": BOB}
    assert asyncio.run(taught.about(["bob@x.example"] * 3, 0.0)) == {"bob@x.example": BOB}
