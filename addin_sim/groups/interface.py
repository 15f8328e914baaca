"""What is asked of a directory about distribution groups, whichever protocol reaches it.

LDAP answers by the `member` attribute, Exchange by ExpandDL ([MS-OXWSDLIST]), which expands one level. So one level is
asked here as well, and nesting is done once, for both, in `expand`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from addin_sim.address_list.errors import AddressListError


class GroupError(AddressListError):
    """A group cannot be expanded whole; the text is one sentence for people."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody, or another group, in a group."""

    name: str
    """For people; may be empty."""
    address: str
    """As it is written in a mail; empty where there is none."""
    group: str = ""
    """How the directory calls it if it is a group itself (a DN, an address); empty for everybody else."""


class GroupSource(Protocol):
    """A directory that knows groups. Every method raises `AddressListError`, of which `GroupError` is one."""

    def groups_among(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """Those of the addresses (in small letters) that are groups, each with how the directory calls the group."""
        ...

    def members_of(self, group: str) -> Iterable[Member]:
        """Who is directly in a group; read as it is iterated over, so that a limit can stop it."""
        ...

    def close(self) -> None:
        """Let go of the connection; never raises."""
        ...
