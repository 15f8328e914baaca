"""Distribution groups as Exchange shows them to a client: ResolveNames says what an address is, ExpandDL who is in it.

ResolveNames finds whoever has an address that only begins so ("performs a partial match", reference of
UnresolvedEntry). ExpandDL takes none but the whole address of a group; it expands one level (MS-OXWSDLIST section
3.1.4.1) and answers for what is no group as it does for a group with hidden members: no results. So an address is
resolved first (MS-OXWSRSLNM section 3.1.4.1), and a group of which Exchange says nothing is a refusal, not a person.
A group that is hidden from address lists may pass for a person; the gateway knows no certificate for it and refuses
the mail.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from exchangelib.errors import ErrorNameResolutionNoResults
from exchangelib.properties import DLMailbox
from exchangelib.services import ExpandDL, ResolveNames

from addin_sim.address_list.errors import AddressListError
from addin_sim.groups.interface import GroupError, Member
from addin_sim.mailbox.ews_connections import Endpoint
from addin_sim.mailbox.ews_session import EwsSession
from addin_sim.mailbox.interface import MailboxError

_GROUPS = frozenset({"PublicDL", "PrivateDL", "GroupMailbox"})
"""Values of `t:MailboxType` that stand for several people (MS-OXWSCDATA section 2.2.5.15)."""

_T = TypeVar("_T")


class EwsGroups:
    """A `GroupSource` over one session; a group is called by the address it was found by, in small letters."""

    def __init__(self, endpoint: Endpoint, address: str) -> None:
        """`address`: of the mailbox in whose name Exchange is asked. Raises `AddressListError`."""
        try:
            self._session = EwsSession(endpoint, address)
        except MailboxError as error:
            raise _unanswered(error) from error

    def groups_among(self, addresses: Sequence[str]) -> Mapping[str, str]:
        """As the protocol says; one question for each address, because ResolveNames takes no more."""
        found = {address: _group_of(address, self._resolved(address)) for address in addresses}
        return {
            address: address
            for address, group in found.items()
            if group and (group == address or self._ask(partial(self._expanded, address)) is not None)
        }

    def members_of(self, group: str) -> Sequence[Member]:
        """As the protocol says."""
        members = self._ask(lambda: self._expanded(group))
        if members is None:
            raise GroupError(
                f"Exchange does not say who is in the group {group} (its members are hidden, or it is gone): address "
                "its members one by one; nothing was sent."
            )
        return members

    def close(self) -> None:
        """As the protocol says."""
        self._session.close()

    def _resolved(self, address: str) -> list[Any]:
        """What the address list holds under this address; personal contacts are not asked."""

        def question() -> list[Any]:
            service = ResolveNames(protocol=self._session.account.protocol)
            return list(service.call(unresolved_entries=[f"smtp:{address}"], search_scope="ActiveDirectory"))

        return [one for one in self._ask(question) if not isinstance(one, ErrorNameResolutionNoResults)]

    def _expanded(self, group: str) -> list[Member] | None:
        """Who is directly in the group; None when Exchange does not say."""
        try:
            found = _WholeExpansion(protocol=self._session.account.protocol).call(
                DLMailbox(email_address=group, mailbox_type="PublicDL")
            )
            return [_member(one) for one in found]
        except ErrorNameResolutionNoResults:
            return None

    def _ask(self, question: Callable[[], _T]) -> _T:
        try:
            return self._session.ask(question)
        except MailboxError as error:
            raise _unanswered(error) from error


class _WholeExpansion(ExpandDL):  # type: ignore[misc]
    """ExpandDL that tells when Exchange leaves members out, which exchangelib does not look at."""

    def _get_element_container(self, message: Any, name: Any = None) -> Any:
        container = super()._get_element_container(message=message, name=name)
        if container.get("IncludesLastItemInRange", "true") not in ("true", "1"):
            raise GroupError(
                "Exchange shows only a part of a group of this mail, which has too many members: address its members "
                "one by one; nothing was sent."
            )
        return container


def _group_of(address: str, found: Sequence[Any]) -> str:
    """How Exchange calls the group of this address; empty when it is none.

    One that is found under the address and has another one may have it as a further address, if it is the only one;
    ExpandDL knows.
    """
    exact = [one for one in found if (one.email_address or "").lower() == address]
    candidates = exact or found
    groups = {(one.email_address or "").lower() for one in candidates if one.mailbox_type in _GROUPS}
    if not groups:
        return ""
    if len(candidates) > 1 or "" in groups:
        raise GroupError(
            f"Exchange knows several entries for {address}, and a group is among them: give the group's own address, "
            "or address its members one by one; nothing was sent."
        )
    return groups.pop()


def _member(entry: Any) -> Member:
    """Exchange calls somebody without a name by the address; that is no name."""
    name, address = entry.name or "", entry.email_address or ""
    is_group = entry.mailbox_type in _GROUPS
    return Member("" if name.lower() == address.lower() else name, address, address.lower() if is_group else "")


def _unanswered(error: MailboxError) -> AddressListError:
    return AddressListError(f"{str(error).rstrip('.')}. Correct the settings, or send again when the server answers.")
