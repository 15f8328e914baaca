"""Opens the directory that knows the distribution groups: the one behind the address list, as the settings name it.

LDAP first, because it knows hidden groups too; else the Exchange server of the address list, or of the own mailbox.
"""

import contextlib

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import LdapDirectory
from addin_sim.groups.expand import Expanded, expand
from addin_sim.groups.interface import GroupError, GroupSource
from addin_sim.groups.ldap_groups import LdapGroups
from addin_sim.outlook_settings import OutlookSettings
from addin_sim.raw_mail import RawMail


def open_groups(outlook: OutlookSettings) -> GroupSource | None:
    """The directory, or None when the settings name none. Raises `AddressListError`."""
    if outlook.address_list.ldap is not None:
        return LdapGroups(LdapDirectory(outlook.address_list.ldap), outlook.address_list.ldap.base)
    mailbox = outlook.mailbox if outlook.mailbox is not None and outlook.mailbox.protocol == "ews" else None
    exchange = outlook.address_list.ews or mailbox
    if exchange is not None:
        from addin_sim.groups.ews_groups import EwsGroups  # exchangelib takes its time to load

        return EwsGroups(exchange, outlook.account.address)
    return None


def without_groups(outlook: OutlookSettings, mail: RawMail) -> Expanded:
    """The mail with its groups expanded; as it is where the settings name no directory. Raises `GroupError`."""
    try:
        source = open_groups(outlook)
        if source is None:
            return Expanded(mail)
        with contextlib.closing(source):
            return expand(mail, source)
    except GroupError:
        raise
    except AddressListError as error:
        raise GroupError(f"{error} Whether a recipient is a group is unknown, so nothing was sent.") from error
