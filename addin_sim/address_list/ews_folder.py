"""A contacts folder of Exchange over EWS: finds it, makes it, reads and writes the one contact that matters.

Contacts and folders are those of MS-OXWSCONT and MS-OXWSFOLD; the certificate is a MAPI property that EWS names by its
tag (ExtendedFieldURI, MS-OXWSXPROP). Nothing is decided here: `ews_plan` does that.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from exchangelib import Contact as ContactItem
from exchangelib import ExtendedProperty, Q
from exchangelib.errors import ErrorFolderNotFound, ErrorIrresolvableConflict
from exchangelib.folders import Contacts
from exchangelib.indexed_properties import EmailAddress
from exchangelib.items import NEVER_OVERWRITE
from exchangelib.properties import ItemId

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ews_failures import UnconfirmedError, in_words
from addin_sim.address_list.ews_plan import ADDRESS, CERTIFICATES, DISPLAY_NAME, FILE_AS, Folder, Stored
from addin_sim.address_list.publisher import Change
from addin_sim.address_list.settings import EwsSettings
from addin_sim.mailbox.ews_session import EwsSession, UncertainError
from addin_sim.mailbox.interface import MailboxError

_T = TypeVar("_T")
CONTACTS_CLASS = "IPF.Contact"
_LABELS = ("EmailAddress1", "EmailAddress2", "EmailAddress3")
_READ = ("display_name", "file_as", "email_addresses", "user_x509_certificate")


class _UserX509Certificate(ExtendedProperty):  # type: ignore[misc]
    """PidTagUserX509Certificate (MS-OXPROPS section 2.1055)."""

    property_tag = 0x3A70
    property_type = "BinaryArray"


if "user_x509_certificate" not in {field.name for field in ContactItem.FIELDS}:
    ContactItem.register("user_x509_certificate", _UserX509Certificate)

_FIELDS = {
    DISPLAY_NAME: "display_name",
    FILE_AS: "file_as",
    ADDRESS: "email_addresses",
    CERTIFICATES: "user_x509_certificate",
}


class ContactsFolder:
    """The folder of the settings, below the mailbox's contacts or among the public folders.

    Every method raises `AddressListError`; those that write raise `UnconfirmedError` when nobody knows whether it was
    done."""

    def __init__(self, settings: EwsSettings, mailbox: str) -> None:
        self._settings = settings
        self._mailbox = mailbox
        self._state = "Nothing was changed"
        """What the folder holds, for people, when the next request is refused; without its full stop."""
        self._session = self._told(lambda: EwsSession(settings, mailbox))
        self._folder: Any = None

    @property
    def name(self) -> str:
        """For people."""
        whose = "public folders" if self._settings.public else f"contacts of {self._mailbox}"
        return f"{whose}/{self._settings.folder}"

    def read(self, address: str) -> Folder:
        """Look for the folder and for every contact in it that has the address."""
        if self._folder is None:
            self._folder = self._told(lambda: self._session.ask(self._found))
            self._require_contacts()
        if self._folder is None:
            return Folder(self.name, exists=False)
        matching = Q()
        for label in _LABELS:
            matching |= Q(**{f"email_addresses__{label}__iexact": address})
        items = self._told(lambda: self._session.ask(lambda: list(self._folder.filter(matching).only(*_READ))))
        contacts = (_stored(item) for item in items if isinstance(item, ContactItem))
        return Folder(self.name, exists=True, holders=tuple(one for one in contacts if _has(one, address)))

    def make(self) -> None:
        """Create the folder itself, as one for contacts (IPF.Contact)."""

        def create() -> Any:
            made = Contacts(parent=self._parent(), name=self._settings.folder)
            made.save()
            return made

        self._folder = self._told(lambda: self._session.ask(create), writing=True)
        self._state = f"The new folder {self.name} is there, empty, and nothing else was changed"

    def add(self, changes: tuple[Change, ...]) -> None:
        """Create the contact."""
        values = _as_fields(changes)
        item = ContactItem(account=self._session.account, folder=self._folder, **values)
        self._write(item.save)

    def change(self, key: str, changes: tuple[Change, ...]) -> None:
        """Write what differs, all in one request; refused when the contact is not as it was when it was read."""
        values = _as_fields(changes)

        def update() -> None:
            item = self._item(key)
            for name, value in values.items():
                setattr(item, name, value)
            item.save(update_fields=list(values), conflict_resolution=NEVER_OVERWRITE)

        self._write(update)

    def remove(self, key: str) -> None:
        """Move the contact to Deleted Items; a public folder has none, there it is deleted for good."""

        def delete() -> None:
            item = self._item(key)
            if self._settings.public:
                item.delete()
            else:
                item.move_to_trash()

        self._write(delete)

    def _write(self, question: Callable[[], object]) -> None:
        """Change a contact; what fails afterwards finds it changed."""
        self._told(lambda: self._session.ask(question), writing=True)
        self._state = "Exchange had confirmed the change before"

    def close(self) -> None:
        """Let go of the connections; never raises."""
        self._session.close()

    def _parent(self) -> Any:
        account = self._session.account
        return account.public_folders_root if self._settings.public else account.contacts

    def _found(self) -> Any:
        parent = self._parent()
        try:
            return parent // self._settings.folder
        except ErrorFolderNotFound:
            return None

    def _require_contacts(self) -> None:
        """Outlook shows no other kind of folder as an address book (MS-OXOSFLD, container class IPF.Contact)."""
        kind = self._folder.folder_class if self._folder is not None else CONTACTS_CLASS
        if kind and not f"{kind}.".lower().startswith(f"{CONTACTS_CLASS}.".lower()):
            raise AddressListError(
                f"The folder {self.name} is not for contacts: its class is {kind}. {self._state}. Name another "
                "folder in [address_list.ews], or rename that one."
            )

    def _item(self, key: str) -> Any:
        """The contact, still as it was read."""
        identifier, _, change_key = key.partition(" ")
        found = next(iter(self._session.account.fetch([ItemId(identifier, change_key)])))
        if isinstance(found, Exception):
            raise found
        if found.changekey != change_key:
            raise ErrorIrresolvableConflict("it was changed")
        return found

    def _told(self, question: Callable[[], _T], *, writing: bool = False) -> _T:
        """Ask, and say a failure to people."""
        try:
            return question()
        except MailboxError as error:
            happened, advice = in_words(str(error).rstrip("."), error.__cause__, self.name)
            if writing and isinstance(error, UncertainError):
                raise UnconfirmedError(happened, advice) from error
            raise AddressListError(f"{happened}. {self._state}. {advice}.") from error


def _as_fields(changes: tuple[Change, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for change in changes:
        if change.attribute == ADDRESS:
            fields["email_addresses"] = [EmailAddress(label=ADDRESS, email=change.new[0])]
        elif change.attribute == CERTIFICATES:
            fields["user_x509_certificate"] = list(change.new)
        elif change.attribute in _FIELDS:
            fields[_FIELDS[change.attribute]] = change.new[0]
    return fields


def _stored(item: Any) -> Stored:
    by_label = {one.label: one.email for one in item.email_addresses or ()}
    return Stored(
        key=f"{item.id} {item.changekey}",
        display_name=item.display_name or "",
        file_as=item.file_as or "",
        addresses=tuple(by_label[label] for label in _LABELS if by_label.get(label)),
        values=tuple(item.user_x509_certificate or ()),
    )


def _has(stored: Stored, address: str) -> bool:
    return address.lower() in [one.lower() for one in stored.addresses]
