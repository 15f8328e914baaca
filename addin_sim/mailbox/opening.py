"""Opens the mailbox that the settings name, whichever protocol reaches it."""

import threading

from addin_sim.mailbox.imap import ImapMailbox
from addin_sim.mailbox.interface import MailboxBackend
from addin_sim.mailbox.world_folder import WorldFolderMailbox
from addin_sim.outlook_settings import OutlookSettings, SettingsError


def open_mailbox(outlook: OutlookSettings, stopped: threading.Event | None = None) -> MailboxBackend | None:
    """An open mailbox, or None when the settings name none. Raises `MailboxError`.

    `stopped`: once it is set, nobody waits for a server that is busy.
    """
    if outlook.mailbox is not None and outlook.mailbox.protocol == "ews":
        from addin_sim.mailbox.ews import EwsMailbox  # exchangelib takes its time to load

        return EwsMailbox(outlook.mailbox, outlook.account.address, stopped)
    if outlook.mailbox is not None:
        return ImapMailbox(outlook.mailbox)
    if outlook.world_mailbox is not None:
        return WorldFolderMailbox(outlook.world_mailbox.folder, outlook.account.address)
    return None


def require_mailbox(outlook: OutlookSettings, stopped: threading.Event | None = None) -> MailboxBackend:
    """The same for commands that are about the mailbox; `SettingsError` when there is none."""
    mailbox = open_mailbox(outlook, stopped)
    if mailbox is None:
        raise SettingsError("The settings have no [mailbox]; there is nothing to look at.")
    return mailbox
