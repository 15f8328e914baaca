"""The mailboxes in memory: folders, items, and what happened to them in which order.

Ids are opaque and never used again; an item that moves gets a new one, as in Exchange (MS-OXWSCORE section
3.1.4.7). Every method expects the caller to hold `World.lock`.
"""

import base64
import hashlib
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from tests.servers.ews.refusals import folder_not_found, item_not_found

ExtendedKey = tuple[str, str, str]
"""Property set (or `tag`), name or number (small letters), MAPI type."""

PUBLIC = "public folders"
"""The name of the store of public folders, which belongs to nobody."""

_TREE = (
    ("root", "", "", ""),
    ("msgfolderroot", "root", "Top of Information Store", "IPF.Note"),
    ("inbox", "msgfolderroot", "Inbox", "IPF.Note"),
    ("drafts", "msgfolderroot", "Drafts", "IPF.Note"),
    ("outbox", "msgfolderroot", "Outbox", "IPF.Note"),
    ("sentitems", "msgfolderroot", "Sent Items", "IPF.Note"),
    ("deleteditems", "msgfolderroot", "Deleted Items", "IPF.Note"),
    ("junkemail", "msgfolderroot", "Junk Email", "IPF.Note"),
    ("contacts", "msgfolderroot", "Contacts", "IPF.Contact"),
    ("recoverableitemsroot", "root", "Recoverable Items", ""),
    ("recoverableitemsdeletions", "recoverableitemsroot", "Deletions", ""),
)


def now() -> datetime:
    """The time, in the whole seconds that EWS shows."""
    return datetime.now(UTC).replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """A moment as `xs:dateTime` in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Change(StrEnum):
    """What can happen to an item; the events of MS-OXWSNTIF section 2.2.4 have the same names."""

    CREATED = "CreatedEvent"
    NEW_MAIL = "NewMailEvent"
    MODIFIED = "ModifiedEvent"
    DELETED = "DeletedEvent"
    MOVED = "MovedEvent"
    COPIED = "CopiedEvent"


@dataclass
class StoredItem:
    """A message or contact."""

    id: str
    kind: str
    """`Message`, `Contact` or `Item`: the element that shows it."""
    folder_id: str
    mime: bytes | None = None
    """As it came; None for an item that was made field by field."""
    fields: dict[str, ET.Element] = field(default_factory=dict)
    """What the client or the transport set, by element name; goes before what `mime` says."""
    extended: dict[ExtendedKey, tuple[str, ...]] = field(default_factory=dict)
    change: int = 1
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    headers_seen_from: float = 0.0
    """The `time.monotonic()` from which on the properties of its internet headers can be seen."""

    @property
    def change_key(self) -> str:
        """Another one after each change of the item."""
        return base64.b64encode(b"\x09\0\0\0\x16\0\0\0" + self.change.to_bytes(8, "big")).decode()


@dataclass
class StoredFolder:
    """A folder; `well_known` is its distinguished id, empty for a folder that a user made."""

    id: str
    parent_id: str
    name: str
    folder_class: str
    well_known: str = ""
    items: dict[str, StoredItem] = field(default_factory=dict)
    extended: dict[ExtendedKey, tuple[str, ...]] = field(default_factory=dict)

    @property
    def unread(self) -> int:
        """How many messages nobody has read."""
        return sum(1 for item in self.items.values() if item.kind == "Message" and not _is_read(item))


def _is_read(item: StoredItem) -> bool:
    element = item.fields.get("IsRead")
    return element is not None and element.text in ("true", "1")


@dataclass(frozen=True)
class Event:
    """One thing that happened; `number` grows by one with each, over the whole world."""

    number: int
    mailbox: str
    change: Change
    item_id: str
    change_key: str
    folder_id: str
    old_item_id: str = ""
    old_folder_id: str = ""
    read_flag_only: bool = False
    unread: int | None = None
    """Of a ModifiedEvent of a folder: `item_id` is empty then."""
    moment: datetime = field(default_factory=now)


class Mailbox:
    """The folders of one user (or the public folders)."""

    def __init__(self, address: str, world: "World") -> None:
        self.address = address
        self.folders: dict[str, StoredFolder] = {}
        self.named_headers: set[str] = set()
        """The internet headers that have a named property here, in small letters (MS-OXCMAIL section 2.5.4)."""
        self._world = world
        tree = (("publicfoldersroot", "", "IPM_SUBTREE", "IPF.Note"),) if address == PUBLIC else _TREE
        ids = {"": ""}
        for well_known, parent, name, folder_class in tree:
            folder = self.add_folder(ids[parent], name, folder_class, well_known)
            ids[well_known] = folder.id

    def add_folder(self, parent_id: str, name: str, folder_class: str, well_known: str = "") -> StoredFolder:
        """A new, empty folder."""
        folder = StoredFolder(self._world.new_id(self.address, "folder"), parent_id, name, folder_class, well_known)
        self.folders[folder.id] = folder
        return folder

    def well_known(self, name: str) -> StoredFolder:
        """The folder of that distinguished id; raises ErrorFolderNotFound."""
        for folder in self.folders.values():
            if folder.well_known == name.lower():
                return folder
        raise folder_not_found()

    def item(self, item_id: str) -> StoredItem:
        """The item of that id, in whichever folder; raises ErrorItemNotFound."""
        for folder in self.folders.values():
            if item_id in folder.items:
                return folder.items[item_id]
        raise item_not_found()

    def beneath(self, folder: StoredFolder, deep: bool) -> Iterator[StoredFolder]:
        """The folders in a folder, and theirs when `deep`."""
        for inner in list(self.folders.values()):
            if inner.parent_id == folder.id:
                yield inner
                if deep:
                    yield from self.beneath(inner, deep)


class World:
    """All mailboxes, and the journal of all changes."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.happened = threading.Condition(self.lock)
        """Notified after each event."""
        self.mailboxes: dict[str, Mailbox] = {}
        self.journal: list[Event] = []
        self._counter = 0
        self.mailboxes[PUBLIC] = Mailbox(PUBLIC, self)

    def new_id(self, owner: str, kind: str) -> str:
        """An id as long and as opaque as those of Exchange, never given twice."""
        self._counter += 1
        digest = hashlib.sha256(f"{owner}|{kind}|{self._counter}".encode()).digest()
        head = b"\0\0\1" if kind == "folder" else b"\0\0\0"
        return base64.b64encode(b"\1\2\3$" + hashlib.sha256(owner.encode()).digest()[:12] + head + digest[:29]).decode()

    def add_mailbox(self, address: str) -> Mailbox:
        """A new, empty mailbox."""
        mailbox = Mailbox(address.lower(), self)
        self.mailboxes[mailbox.address] = mailbox
        return mailbox

    def owner_of_folder(self, folder_id: str) -> tuple[Mailbox, StoredFolder]:
        """Where a folder is; raises ErrorFolderNotFound."""
        for mailbox in self.mailboxes.values():
            if folder_id in mailbox.folders:
                return mailbox, mailbox.folders[folder_id]
        raise folder_not_found()

    def owner_of_item(self, item_id: str) -> tuple[Mailbox, StoredItem]:
        """Where an item is; raises ErrorItemNotFound."""
        for mailbox in self.mailboxes.values():
            for folder in mailbox.folders.values():
                if item_id in folder.items:
                    return mailbox, folder.items[item_id]
        raise item_not_found()

    def add(self, mailbox: Mailbox, folder: StoredFolder, kind: str, mime: bytes | None = None) -> StoredItem:
        """A new item; call `tell` when its fields are complete."""
        item = StoredItem(self.new_id(mailbox.address, "item"), kind, folder.id, mime)
        folder.items[item.id] = item
        return item

    def tell(self, mailbox: Mailbox, change: Change, item: StoredItem, *, read_flag_only: bool = False) -> None:
        """Write an event of an item that stays where it is into the journal."""
        self._append(mailbox, change, item, item.folder_id, read_flag_only=read_flag_only)
        if change in (Change.NEW_MAIL, Change.DELETED) or read_flag_only:
            unread = mailbox.folders[item.folder_id].unread
            self._append(mailbox, Change.MODIFIED, None, item.folder_id, unread=unread)

    def touch(self, mailbox: Mailbox, item: StoredItem, *, read_flag_only: bool = False) -> None:
        """An item was changed: a new change key, and an event."""
        item.change += 1
        item.modified = now()
        self.tell(mailbox, Change.MODIFIED, item, read_flag_only=read_flag_only)

    def remove(self, mailbox: Mailbox, item: StoredItem) -> None:
        """Remove an item for good."""
        del mailbox.folders[item.folder_id].items[item.id]
        self.tell(mailbox, Change.DELETED, item)

    def transfer(
        self, mailbox: Mailbox, item: StoredItem, target: Mailbox, folder: StoredFolder, copy: bool
    ) -> StoredItem:
        """Move or copy an item; what arrives has a new id."""
        arrived = StoredItem(
            self.new_id(target.address, "item"), item.kind, folder.id, item.mime, dict(item.fields),
            dict(item.extended), 1, item.created, item.modified,
        )  # fmt: skip
        folder.items[arrived.id] = arrived
        if not copy:
            del mailbox.folders[item.folder_id].items[item.id]
        if mailbox is target:
            change = Change.COPIED if copy else Change.MOVED
            self._append(mailbox, change, arrived, folder.id, item.id, item.folder_id)
        else:
            self.tell(target, Change.CREATED, arrived)
            if not copy:
                self.tell(mailbox, Change.DELETED, item)
        return arrived

    def _append(
        self,
        mailbox: Mailbox,
        change: Change,
        item: StoredItem | None,
        folder_id: str,
        old_item_id: str = "",
        old_folder_id: str = "",
        *,
        read_flag_only: bool = False,
        unread: int | None = None,
    ) -> None:
        item_id, change_key = (item.id, item.change_key) if item else ("", "")
        number = len(self.journal) + 1
        self.journal.append(
            Event(number, mailbox.address, change, item_id, change_key, folder_id, old_item_id, old_folder_id,
                  read_flag_only, unread)
        )  # fmt: skip
        self.happened.notify_all()
