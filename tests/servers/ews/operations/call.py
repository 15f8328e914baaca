"""What every operation gets besides its request, and how it words its answers (MS-OXWSCDATA section 2.2.4)."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

from tests.servers.ews.directory import Directory
from tests.servers.ews.quirks import Quirks
from tests.servers.ews.refusals import EwsError, EwsFault, access_denied
from tests.servers.ews.store import PUBLIC, Mailbox, StoredFolder, StoredItem, World
from tests.servers.ews.subscriptions import Subscriptions
from tests.servers.ews.transport import Transport
from tests.servers.ews.xml_names import make, short, text_of

_WITH_EMPTY_ITEMS = {"CreateItem", "GetItem", "UpdateItem", "MoveItem", "CopyItem"}


@dataclass(frozen=True)
class Call:
    """One request of one signed-in user; the world's lock is held while an operation runs."""

    world: World
    directory: Directory
    transport: Transport
    subscriptions: Subscriptions
    quirks: Quirks
    user: str
    """Who signed in, or whom an impersonating account speaks for."""
    grants: frozenset[tuple[str, str]]
    """(user, mailbox): who may open whose mailbox besides his own."""

    def mailbox(self, address: str = "") -> Mailbox:
        """The user's mailbox, or that address'; raises ErrorNonExistentMailbox or ErrorAccessDenied."""
        wanted = (address or self.user).lower()
        found = self.world.mailboxes.get(wanted)
        if found is None:
            raise EwsError("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
        self._permit(found)
        return found

    def _permit(self, mailbox: Mailbox) -> None:
        if mailbox.address not in (self.user, PUBLIC) and (self.user, mailbox.address) not in self.grants:
            raise access_denied()

    def folder(self, element: ET.Element) -> tuple[Mailbox, StoredFolder]:
        """The folder that `t:FolderId` or `t:DistinguishedFolderId` names; raises ErrorFolderNotFound."""
        wanted = element.get("Id", "")
        if short(element) == "t:FolderId":
            mailbox, folder = self.world.owner_of_folder(wanted)
            self._permit(mailbox)
            return mailbox, folder
        if wanted.startswith("publicfolders"):
            public = self.world.mailboxes[PUBLIC]
            return public, public.well_known(wanted)
        box = element.find("{*}Mailbox")
        mailbox = self.mailbox(text_of(box, "t:EmailAddress") if box is not None else "")
        return mailbox, mailbox.well_known(wanted)

    def item(self, element: ET.Element) -> tuple[Mailbox, StoredItem]:
        """The item that `t:ItemId` names; raises ErrorItemNotFound, or ErrorInvalidIdMalformed for no id at all."""
        item_id = element.get("Id", "")
        if len(item_id) < 60:
            raise EwsError("ErrorInvalidIdMalformed", "Id is malformed.")
        mailbox, item = self.world.owner_of_item(item_id)
        self._permit(mailbox)
        return mailbox, item


def succeeded(operation: str, *content: ET.Element) -> ET.Element:
    """A response message of an operation that went well."""
    parts = [make("m:ResponseCode", "NoError"), *content]
    return make(f"m:{operation}ResponseMessage", parts, ResponseClass="Success")


def warned(operation: str, code: str, sentence: str, *content: ET.Element) -> ET.Element:
    """A response message of an operation that went well, but."""
    parts = [make("m:MessageText", sentence), make("m:ResponseCode", code), make("m:DescriptiveLinkKey", "0"), *content]
    return make(f"m:{operation}ResponseMessage", parts, ResponseClass="Warning")


def refused(operation: str, error: EwsError) -> ET.Element:
    """A response message of an operation that did not go; a fault is raised again, it concerns everything."""
    if isinstance(error, EwsFault):
        raise error
    parts = [make("m:MessageText", error.sentence), make("m:ResponseCode", error.code)]
    parts.append(make("m:DescriptiveLinkKey", "0"))
    if error.values:
        parts.append(make("m:MessageXml", [make("t:Value", text, Name=name) for name, text in error.values.items()]))
    if operation in _WITH_EMPTY_ITEMS:
        parts.append(make("m:Items"))
    return make(f"m:{operation}ResponseMessage", parts, ResponseClass="Error")


def item_ids(items: Iterable[StoredItem]) -> ET.Element:
    """`m:Items` with ids only."""
    return make(
        "m:Items",
        [make(f"t:{item.kind}", [make("t:ItemId", "", Id=item.id, ChangeKey=item.change_key)]) for item in items],
    )
