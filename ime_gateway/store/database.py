"""The store as one thing: open it, migrate it, close it.

`open_store` is the only door. It does not create anything: a database that is missing is an error
until `migrate` is asked to make one, because a new, empty database in place of the old one would
look like a gateway that never accepted any mail.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ime_gateway.base.errors import ConfigurationError, StoreUnavailable
from ime_gateway.ports.clock import Clock, Randomness
from ime_gateway.store.candidate_writes import forget_exchanged
from ime_gateway.store.connections import Connections, ForeignMasterKey
from ime_gateway.store.container_rows import StoredContainers
from ime_gateway.store.directory_view import LiveDirectory
from ime_gateway.store.group_commit import GroupCommit
from ime_gateway.store.incoming_rows import StoredIncoming
from ime_gateway.store.keyring_rows import StoredKeyring
from ime_gateway.store.lease_writes import LEASE_SECONDS
from ime_gateway.store.migrations.run import SchemaState, schema_state, upgrade
from ime_gateway.store.queue_rows import DurableQueue
from ime_gateway.store.recent import Recent
from ime_gateway.store.registry import AdminRegistry
from ime_gateway.store.revocation_rows import StoredRevocations
from ime_gateway.store.sealed_secrets import SecretBox
from ime_gateway.store.spool import SealedSpool

_RECENT_BYTES = 67_108_864
_READERS = 4
_POSTGRESQL_WRITERS = 4


class Store:
    """Queue, spool, live data and administrators' view of one database."""

    def __init__(
        self, url: str, box: SecretBox, data_dir: Path, clock: Clock, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        """Use `open_store`."""
        self._box = box
        self._connections = Connections(url, box.key_id)
        writers = 1 if self._connections.path else _POSTGRESQL_WRITERS
        self._commits = GroupCommit(self._connections, writers)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        recent = Recent(_RECENT_BYTES)
        self.spool = SealedSpool(self._connections, box, data_dir / "spool", recent)
        self.queue = DurableQueue(
            self._connections, self._commits, self.spool, box, recent, self._readers, clock, lease_seconds
        )
        self.containers = StoredContainers(self._connections, self._commits, box, self._readers, clock)
        self.incoming = StoredIncoming(self._connections, self._commits, self._readers, clock)
        self.directory = LiveDirectory(self._connections, self._readers)
        self.keyring = StoredKeyring(self._connections, box, self._readers, self.directory)
        self.revocations = StoredRevocations(self._connections, self._commits, self._readers)
        self.registry = AdminRegistry(self._connections, box, clock)

    def migrate(self) -> None:
        """Bring the schema to this version, making the database first if there is none. Never downwards: raises
        StoreUnavailable when the schema is newer than this program."""
        upgrade(self._connections, self._box.key_id)

    def schema_state(self) -> SchemaState:
        """How the schema stands to this program; StoreUnavailable when it cannot be read."""
        return schema_state(self._connections)

    def schema_is_current(self) -> bool:
        """Whether the database has the schema of this version; StoreUnavailable when it cannot be read."""
        return self.schema_state().kind == "current"

    def sweep(self) -> int:
        """Remove files of bodies that a crash left without a message; how many. Call it at start."""
        return self.spool.sweep()

    def tidy(self, moment: float) -> list[str]:
        """Forget containers, ciphertexts, challenges, candidates and what is remembered of incoming mail once their
        time is over by `moment` (seconds since 1970 UTC), and erase IME private keys whose overlap is over; the
        domains of those keys. Call it now and then."""
        self.incoming.forget_old(moment)
        self.revocations.forget_old(moment)
        self._commits.run_blocking(forget_exchanged, moment)
        return self.containers.forget_old(moment)

    def close(self) -> None:
        """Finish what waits and close everything."""
        self._commits.close()
        self._readers.shutdown()
        self.directory.close()
        self._connections.close()


def open_store(
    url: str,
    master_key: bytes,
    data_dir: Path,
    clock: Clock,
    randomness: Randomness,
    *,
    lease_seconds: float = LEASE_SECONDS,
) -> Store:
    """Open the store at `url` (SQLite paths absolute); bodies too large for SQLite lie in `data_dir`/spool.

    Raises ConfigurationError when the database belongs to another master key. A database that cannot
    be reached now is no error here: every use raises StoreUnavailable until it is back.
    """
    store = Store(url, SecretBox(master_key, randomness), data_dir, clock, lease_seconds)
    try:
        store.schema_is_current()
    except ForeignMasterKey as error:
        store.close()
        raise ConfigurationError(f"{error}; is master_key_file the right one?", error.evidence) from error
    except StoreUnavailable:
        return store
    return store
