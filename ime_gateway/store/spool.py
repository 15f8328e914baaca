"""Where bodies rest, sealed: small ones in the database, large ones in files beside it or in chunk rows.

A body is durable before the peer hears 250: a file is synced here together with its folder, rows are
committed with their parcel (RFC 5321 section 6.1). Nothing readable ever touches the disk (P2).
On SQLite a large body is a file of its own, because a database grows and never shrinks by itself; on
PostgreSQL it is chunk rows, because nodes share no disk.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Literal

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.queue import SealedBody
from ime_gateway.store.connections import Connections
from ime_gateway.store.recent import Recent
from ime_gateway.store.sealed_secrets import SecretBox
from ime_gateway.store.sealed_stream import CHUNK_BYTES, TAG_BYTES, chunk_count, open_chunk, seal_stream
from ime_gateway.store.storage_errors import storage_errors

INLINE_BYTES = 131_072
"""Bodies up to this size lie in the database: one wait for the disk serves many messages (bench/README.md)."""
MEMORY_BYTES = 4_194_304
"""On PostgreSQL, larger bodies wait for their transaction in an unnamed file, sealed, not in memory."""
ORPHAN_SECONDS = 3600.0
_SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES

Place = Literal["row", "chunks", "file"]
_Rests = tuple[Place, bytes | None, tuple[bytes, ...] | IO[bytes]]
"""Place, content and what waits: see `Resting`."""


@dataclass(frozen=True, slots=True)
class Resting:
    """Where the sealed chunks of one body are, and the key that opens them."""

    key: bytes
    sealed_key: bytes
    place: Place
    content: bytes | None = None
    """`row`: all sealed chunks, one after the other."""
    waiting: tuple[bytes, ...] | IO[bytes] = ()
    """`chunks`: sealed chunks that are written with the parcel."""

    def chunks(self) -> Iterator[bytes]:
        """The sealed chunks that wait to be written as rows."""
        if isinstance(self.waiting, tuple):
            yield from self.waiting
            return
        self.waiting.seek(0)
        while chunk := self.waiting.read(_SEALED_CHUNK):
            yield chunk

    def close(self) -> None:
        """Give back the unnamed file."""
        if not isinstance(self.waiting, tuple):
            self.waiting.close()


class SealedSpool:
    """The Spool of ports/queue on both engines."""

    def __init__(self, connections: Connections, box: SecretBox, folder: Path, recent: Recent) -> None:
        """`folder`: where files of large bodies lie; made at first use."""
        self._connections = connections
        self._box = box
        self._folder = folder
        self._recent = recent

    def write(self, chunks: Iterable[bytes | memoryview], expected_size: int) -> SealedBody:
        """As the port says. Memory: the pieces given, and one chunk or what lies inline."""
        body_id = self._box.random(16).hex()
        key = self._box.random(32)
        counted = _Counted(chunks)
        sealed = seal_stream(key, body_id, counted)
        with storage_errors():
            rests = self._collect(body_id, sealed) if self._connections.path else _collect_for_server(sealed)
        sealed_key = self._box.seal("bodies", f"{body_id}:{counted.size}", key)
        return SealedBody(body_id, counted.size, Resting(key, sealed_key, *rests))

    def discard(self, body: SealedBody) -> None:
        """As the port says."""
        self._recent.drop(body.id)
        resting = body.handle
        assert isinstance(resting, Resting)
        if resting.place == "file":
            self.remove_files([body.id])
        resting.close()

    def remember(self, body: SealedBody) -> None:
        """Keep a body that was enqueued for the delivery that follows."""
        resting = body.handle
        assert isinstance(resting, Resting)
        if resting.place != "chunks":
            kept = (body.size, resting.key, resting.place, resting.content)
            self._recent.put(body.id, kept, len(resting.content or b""))
        resting.close()

    def read(self, body_id: str) -> Iterator[bytes]:
        """As the port says."""
        size, key, place, content = self._recent.get(body_id) or self._find(body_id)
        with storage_errors():
            for index, sealed in enumerate(self._sealed_chunks(body_id, size, place, content)):
                yield open_chunk(key, body_id, size, index, sealed)

    def remove_files(self, body_ids: Iterable[str]) -> None:
        """Remove files of bodies that no row names any more. One that stays is swept later."""
        for body_id in body_ids:
            try:
                self._path(body_id).unlink(missing_ok=True)
            except OSError:
                continue

    def sweep(self, older_than_seconds: float = ORPHAN_SECONDS) -> int:
        """Remove files that no body names: written just before a crash, so never acknowledged.
        Only old ones, because a young one may belong to a message that is being received."""
        limit = time.time() - older_than_seconds
        removed = 0
        with storage_errors():
            for path in self._folder.glob("[0-9a-f][0-9a-f]/*"):
                if path.stat().st_mtime < limit and not self._named(path.name):
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _named(self, body_id: str) -> bool:
        return bool(self._connections.read_bare("SELECT 1 FROM bodies WHERE id = ?", (body_id,)))

    def _find(self, body_id: str) -> tuple[int, bytes, str, bytes | None]:
        rows = self._connections.read_bare(
            "SELECT size, sealed_key, place, sealed_content FROM bodies WHERE id = ?", (body_id,)
        )
        if not rows:
            raise StoreUnavailable("a stored message is missing", f"body {body_id}: no row")
        size, sealed_key, place, content = rows[0]
        return size, self._box.open("bodies", f"{body_id}:{size}", sealed_key), place, content

    def _sealed_chunks(
        self, body_id: str, size: int, place: str, content: bytes | None
    ) -> Iterator[bytes | memoryview]:
        count = chunk_count(size)
        if place == "row":
            view = memoryview(content or b"")
            yield from (view[index * _SEALED_CHUNK : (index + 1) * _SEALED_CHUNK] for index in range(count))
        elif place == "file":
            with self._path(body_id).open("rb", buffering=0) as file:
                for _ in range(count):
                    yield _read_full(file, _SEALED_CHUNK)
        else:
            for index in range(count):
                rows = self._connections.read_bare(
                    "SELECT sealed_content FROM body_chunks WHERE body_id = ? AND position = ?", (body_id, index)
                )
                yield rows[0][0] if rows else b""

    def _collect(self, body_id: str, sealed: Iterator[bytes]) -> _Rests:
        first = next(sealed)
        if len(first) <= INLINE_BYTES + TAG_BYTES:
            return "row", first, ()
        self._write_file(body_id, chain((first,), sealed))
        return "file", None, ()

    def _path(self, body_id: str) -> Path:
        return self._folder / body_id[:2] / body_id

    def _write_file(self, body_id: str, sealed: Iterable[bytes]) -> None:
        path = self._path(body_id)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self._folder, self._folder.parent):
                _sync_folder(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                for chunk in sealed:
                    _write_full(descriptor, chunk)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _sync_folder(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


class _Counted:
    """Pieces on their way, and how many bytes have passed."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _collect_for_server(sealed: Iterator[bytes]) -> _Rests:
    """For PostgreSQL: one row, or chunks in memory, or chunks in an unnamed file."""
    held: list[bytes] = []
    total = 0
    for chunk in sealed:
        held.append(chunk)
        total += len(chunk)
        if total > MEMORY_BYTES:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the body waits
            for each in chain(held, sealed):
                file.write(each)
            return "chunks", None, file
    if len(held) == 1 and len(held[0]) <= INLINE_BYTES + TAG_BYTES:
        return "row", held[0], ()
    return "chunks", None, tuple(held)


def _write_full(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_full(file: IO[bytes], count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count and (part := file.read(count - len(parts))):
        parts += part
    return bytes(parts)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
