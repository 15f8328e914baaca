"""What the parts of a RegistryTransaction share: the connection, sealing, and the word that live data changed.

The port is wide; each part of it (`domain_keys`, `checks`, ...) is a class of its own over these.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from ime_gateway.ports.clock import Clock
from ime_gateway.store.sealed_secrets import SecretBox


@dataclass(frozen=True, slots=True)
class RowAccess:
    """The rows of one transaction."""

    connection: Connection
    """For reading."""
    box: SecretBox
    clock: Clock
    writing: Callable[[], Connection]
    """For writing; raises RuntimeError in a transaction that only reads."""
    changed: Callable[[bool], bool]
    """Say whether live data changed, so that workers load their view anew; returns what it was given."""
