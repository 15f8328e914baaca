"""Pooled randomness is never short, never the same twice, and always from the operating system."""

import os
import threading

import pytest

from ime_gateway.app.entropy import PooledRandomness


def test_pieces_of_every_length_cover_the_stream_of_the_operating_system_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []

    def urandom(count: int) -> bytes:
        drawn.append(os.getrandom(count))
        return drawn[-1]

    monkeypatch.setattr("ime_gateway.app.entropy.os.urandom", urandom)
    randomness = PooledRandomness()
    for count in [1, 12, 16, 24, 32, 1000, 1023, 1024] * 40:
        piece = randomness(count)
        assert len(piece) == count
        place = drawn[-1].find(piece)
        assert place >= 0
        drawn[-1] = drawn[-1][:place] + drawn[-1][place + count :]  # whoever gets these bytes again is told


def test_large_pieces_come_whole() -> None:
    assert len(PooledRandomness()(100_000)) == 100_000


def test_threads_never_share_a_piece() -> None:
    randomness = PooledRandomness()
    pieces: list[bytes] = []

    def draw() -> None:
        pieces.extend([randomness(16) for _ in range(5000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pieces)) == 20_000
