"""Notifications: who wants to hear of which folder, and what has happened since he last heard (MS-OXWSNTIF).

Everything is read out of the world's journal, so that nothing is lost between Subscribe and the first stream.
"""

import base64
import itertools
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.servers.ews.refusals import EwsError
from tests.servers.ews.store import Change, Event, World, stamp
from tests.servers.ews.xml_names import make


@dataclass
class Subscription:
    """One subscription; `position` is the number of the last event that was told to the subscriber."""

    id: str
    user: str
    streaming: bool
    folders: frozenset[str] | None
    """None: every folder of the mailbox."""
    kinds: frozenset[str]
    position: int
    minutes: int = 30
    """A pull subscription that nobody asks for so long ends."""
    used: float = field(default_factory=time.monotonic)

    def wants(self, event: Event) -> bool:
        """Whether it hears of this event."""
        if event.change.value not in self.kinds or event.mailbox != self.user:
            return False
        return self.folders is None or bool(self.folders & {event.folder_id, event.old_folder_id})


class Subscriptions:
    """All of them; methods expect the caller to hold the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all: dict[str, Subscription] = {}
        self._numbers = itertools.count(1)

    def add(
        self,
        user: str,
        mailbox: str,
        streaming: bool,
        folders: Sequence[str] | None,
        kinds: Sequence[str],
        minutes: int,
    ) -> Subscription:
        """A new one, which hears of what happens from now on."""
        name = base64.b64encode(f"ews-double|{user}|{next(self._numbers):032d}".encode()).decode()
        wanted = None if folders is None else frozenset(folders)
        self._all[name] = Subscription(
            name, mailbox, streaming, wanted, frozenset(kinds), len(self._world.journal), minutes
        )
        return self._all[name]

    def get(self, name: str, streaming: bool) -> Subscription:
        """The subscription of that id; raises ErrorSubscriptionNotFound or ErrorInvalidSubscription."""
        found = self._all.get(name)
        if found is not None and not found.streaming and time.monotonic() - found.used > found.minutes * 60:
            del self._all[name]
            found = None
        if found is None:
            raise EwsError("ErrorSubscriptionNotFound", "Subscription is not found.")
        if found.streaming != streaming:
            raise EwsError("ErrorInvalidSubscription", "The subscription is not of the kind that this operation needs.")
        found.used = time.monotonic()
        return found

    def remove(self, name: str) -> None:
        """End one; raises ErrorSubscriptionNotFound."""
        if self._all.pop(name, None) is None:
            raise EwsError("ErrorSubscriptionNotFound", "Subscription is not found.")

    def forget_all(self) -> None:
        """End all, as a restart of the server does."""
        self._all.clear()
        self._world.happened.notify_all()

    def since(self, subscription: Subscription, position: int) -> list[Event]:
        """The events after that position that it wants to hear of."""
        return [event for event in self._world.journal[position:] if subscription.wants(event)]


def watermark(number: int) -> str:
    """A position as clients see it."""
    return base64.b64encode(b"AQAAAAAAAAA" + number.to_bytes(8, "big")).decode()


def position_of(text: str) -> int:
    """The position that a watermark stands for; raises ErrorInvalidWatermark."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 19 or not raw.startswith(b"AQAAAAAAAAA"):
        raise EwsError("ErrorInvalidWatermark", "The watermark used for creating this subscription was not found.")
    return int.from_bytes(raw[11:], "big")


def event_element(event: Event, root_id: str, with_watermark: bool) -> ET.Element:
    """An event as `t:CreatedEvent` and so on."""
    parts = [make("t:Watermark", watermark(event.number))] if with_watermark else []
    parts.append(make("t:TimeStamp", stamp(event.moment)))
    key = "AQAAAA=="
    if event.item_id:
        parts.append(make("t:ItemId", "", Id=event.item_id, ChangeKey=event.change_key))
        parts.append(make("t:ParentFolderId", "", Id=event.folder_id, ChangeKey=key))
    else:
        parts.append(make("t:FolderId", "", Id=event.folder_id, ChangeKey=key))
        parts.append(make("t:ParentFolderId", "", Id=root_id, ChangeKey=key))
    if event.change in (Change.MOVED, Change.COPIED):
        parts.append(make("t:OldItemId", "", Id=event.old_item_id, ChangeKey=event.change_key))
        parts.append(make("t:OldParentFolderId", "", Id=event.old_folder_id, ChangeKey=key))
    if event.unread is not None and event.change is Change.MODIFIED:
        parts.append(make("t:UnreadCount", str(event.unread)))
    return make(f"t:{event.change.value}", parts)
