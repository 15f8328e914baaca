"""The door of administrators to the store: their changes, one transaction for each use case.

Synchronous, because the command line and the web pages are; usable from any thread and process. A
change of live data raises the generation, by which every worker notices it at its next MAIL FROM.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import statvfs

from sqlalchemy import Connection, delete, select, update

from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.queue import Event, HeldEvidence, QueueLine
from ime_gateway.ports.registry import AdminAccount, AuditLine
from ime_gateway.store import audit_rows, queue_desk
from ime_gateway.store.connections import Connections
from ime_gateway.store.domain_rows import load_view
from ime_gateway.store.registry_transaction import LiveDataTransaction
from ime_gateway.store.schema import admins, meta, site
from ime_gateway.store.sealed_secrets import SecretBox
from ime_gateway.store.storage_errors import storage_errors
from ime_gateway.store.track_rows import find_events

_LEAST_FREE_BYTES = 1_048_576


class AdminRegistry:
    """The Registry of ports/registry."""

    def __init__(self, connections: Connections, box: SecretBox, clock: Clock) -> None:
        """Built by `open_store`."""
        self._connections = connections
        self._box = box
        self._clock = clock
        self._readable_generation = -1

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[LiveDataTransaction]:
        """As the port says."""
        if not write:
            with self._connections.read() as connection:
                yield LiveDataTransaction(connection, self._box, self._clock, writable=False)
            return
        with self._change() as connection:
            transaction = LiveDataTransaction(connection, self._box, self._clock, writable=True)
            yield transaction
            if transaction.live_data_changed:
                connection.execute(update(site).values(generation=site.c.generation + 1))

    def admin(self, name: str) -> AdminAccount | None:
        """As the port says."""
        with self._connections.read() as connection:
            row = connection.execute(admins.select().where(admins.c.name == name)).one_or_none()
        return None if row is None else AdminAccount(row.name, row.password_hash, row.must_change)

    def admins(self) -> list[AdminAccount]:
        """As the port says."""
        with self._connections.read() as connection:
            rows = connection.execute(admins.select().order_by(admins.c.name)).all()
        return [AdminAccount(row.name, row.password_hash, row.must_change) for row in rows]

    def put_admin(self, account: AdminAccount) -> None:
        """As the port says."""
        with self._change() as connection:
            connection.execute(delete(admins).where(admins.c.name == account.name))
            connection.execute(
                admins.insert().values(
                    name=account.name, password_hash=account.password_hash, must_change=account.must_change
                )
            )

    def events(
        self,
        *,
        id: str = "",  # noqa: A002 - the contract's word
        message_id: str = "",
        sender: str = "",
        recipient: str = "",
        limit: int = 1000,
    ) -> list[Event]:
        """As the port says."""
        filters = {"id": id, "message_id": message_id, "sender": sender, "recipient": recipient}
        with self._connections.read() as connection:
            return find_events(connection, filters, limit)

    def queue_lines(self, *, id: str = "", limit: int = 1000, offset: int = 0) -> list[QueueLine]:  # noqa: A002
        """As the port says; `id` may also be a row's."""
        with self._connections.read() as connection:
            return queue_desk.queue_lines(connection, self._connections.dialect, id, limit, offset)

    def queue_counts(self) -> dict[str, int]:
        """As the port says."""
        with self._connections.read() as connection:
            return queue_desk.queue_counts(connection, self._connections.dialect)

    def retry(self, ids: Sequence[str], actor: str) -> int:
        """As the port says."""
        return self._ask("queue retry", ids, actor, queue_desk.retry)

    def hold(self, ids: Sequence[str], actor: str) -> int:
        """As the port says; a row that is being sent is held unless this attempt delivers it."""
        moment = self._clock.now()
        return self._ask(
            "queue hold",
            ids,
            actor,
            lambda connection, dialect, names: queue_desk.hold(connection, dialect, names, actor, moment),
        )

    def release(self, ids: Sequence[str], actor: str) -> int:
        """As the port says."""
        return self._ask("queue release", ids, actor, queue_desk.release)

    def drop(self, ids: Sequence[str], actor: str, *, silent: bool) -> int:
        """As the port says; a row that is being sent is dropped unless this attempt delivers it."""
        return self._ask(
            "queue drop without report" if silent else "queue drop",
            ids,
            actor,
            lambda connection, dialect, names: queue_desk.drop(connection, dialect, names, silent=silent),
        )

    def held(self, limit: int = 100) -> list[HeldEvidence]:
        """As the port says."""
        with self._connections.read() as connection:
            return queue_desk.held(connection, self._box, limit)

    def audit_break(self) -> int | None:
        """The number of the first audit line that was tampered with; None when the trail is whole."""
        with self._connections.read() as connection:
            return audit_rows.first_break(connection, self._box)

    def check_live_data(self) -> None:
        """As the port says; what was read once is read again only when it changed."""
        with self._connections.read() as connection:
            generation = connection.execute(select(site.c.generation)).scalar_one_or_none()
            if generation is None or generation != self._readable_generation:
                self._readable_generation = load_view(connection).generation

    def check_write(self) -> None:
        """Prove that the store writes, by a commit: what is rolled back may never touch the disk."""
        if self._connections.path:
            with storage_errors():
                disk = statvfs(self._connections.path.parent)
            if disk.f_bavail * disk.f_frsize < _LEAST_FREE_BYTES:
                raise StoreUnavailable("the disk of the store is full", f"less than {_LEAST_FREE_BYTES} bytes are free")
        with self._connections.write() as connection:
            connection.execute(delete(meta).where(meta.c.name == "write_check"))
            connection.execute(meta.insert().values(name="write_check", value=str(self._clock.now())))

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        """A transaction of administrators: one after the other, so that audit lines form one chain."""
        with self._connections.write() as connection:
            connection.execute(select(site.c.generation).with_for_update()).one()
            yield connection

    def _ask(
        self,
        action: str,
        ids: Sequence[str],
        actor: str,
        change: Callable[..., int],
    ) -> int:
        with self._change() as connection:
            count = change(connection, self._connections.dialect, list(ids))
            if count:
                detail = f"{count} rows: {', '.join(ids) or 'all deferred'}"
                line = AuditLine(self._clock.now(), actor, action, detail)
                audit_rows.append_line(connection, self._box, line)
        return count
