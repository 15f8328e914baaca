"""A mailbox in memory: the add-in's `MailboxBackend` for tests of every order and every kill.

`connect()` gives another client of the same mailbox; `before_each` is called with the name of every
operation, so that a test may let another client act in between, or end the client there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from addin_sim.mailbox.filing import append_look_delete
from addin_sim.mailbox.interface import SEEN, Folder, Item, StoredMail, Uid
from addin_sim.raw_mail import RawMail, parse


@dataclass
class Stored:
    data: bytes
    flags: frozenset[str]
    arrived: float


@dataclass
class Shared:
    folders: dict[Folder, dict[Uid, Stored]] = field(default_factory=lambda: {folder: {} for folder in Folder})
    used: int = 0
    """How many unique ids were given."""
    now: float = 4e9
    """When mail arrives, in seconds since 1970: long after everything else, unless a test says when."""


class MemoryMailbox:
    sent_name = "Sent"

    def __init__(self, shared: Shared | None = None, before_each: Callable[[str], None] = lambda _: None) -> None:
        self.shared = shared or Shared()
        self.before_each = before_each

    def connect(self, before_each: Callable[[str], None] = lambda _: None) -> "MemoryMailbox":
        return MemoryMailbox(self.shared, before_each)

    def put(self, folder: Folder, data: bytes, *flags: str, arrived: float | None = None) -> Uid:
        self.shared.used += 1
        uid = Uid(str(self.shared.used))
        self.shared.folders[folder][uid] = Stored(
            data, frozenset(flags), self.shared.now if arrived is None else arrived
        )
        return uid

    def contents(self, folder: Folder) -> list[Stored]:
        return list(self.shared.folders[folder].values())

    def with_header(self, folder: Folder, name: str, value: str) -> list[Item]:
        self.before_each("with_header")
        return [item for item in self._items(folder) if value.lower() in item.header.value(name).lower()]

    def with_keyword(self, folder: Folder, keyword: str) -> list[Item]:
        self.before_each("with_keyword")
        return [item for item in self._items(folder) if keyword in item.flags]

    def read(self, folder: Folder, uid: Uid) -> StoredMail | None:
        self.before_each("read")
        stored = self.shared.folders[folder].get(uid)
        return StoredMail(stored.data, str(stored.arrived)) if stored else None

    def append_to_sent(self, data: bytes, flags: Sequence[str], arrived: str = "") -> Uid:
        self.before_each("append")
        return self.put(Folder.SENT, data, *flags, arrived=float(arrived) if arrived else None)

    def mark_seen(self, folder: Folder, uids: Sequence[Uid]) -> None:
        for uid in uids:
            self.before_each("mark_seen")
            if stored := self.shared.folders[folder].get(uid):
                stored.flags |= {SEEN}

    def delete(self, folder: Folder, uids: Sequence[Uid]) -> None:
        for uid in uids:
            self.before_each("delete")
            self.shared.folders[folder].pop(uid, None)

    def file_copy(self, uid: Uid, header: str, keyword: str) -> bool:
        return append_look_delete(self, uid, header, keyword)

    def wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        self.before_each("wait")

    def close(self) -> None:
        self.before_each("close")

    def _items(self, folder: Folder) -> list[Item]:
        return [
            Item(uid, RawMail(parse(stored.data).fields, b""), stored.flags, stored.arrived)
            for uid, stored in self.shared.folders[folder].items()
        ]
