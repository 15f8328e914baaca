"""A double of Exchange Web Services in memory; README.md says how to use it and where it is not Exchange."""

from tests.servers.ews.directory import Entry
from tests.servers.ews.quirks import Quirks
from tests.servers.ews.server import PASSWORD, EwsServer
from tests.servers.ews.transport import NotDelivered, SentMail

__all__ = ["PASSWORD", "Entry", "EwsServer", "NotDelivered", "Quirks", "SentMail"]
