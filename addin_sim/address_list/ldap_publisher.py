"""Publishes the IME contact in the directory behind the address list: the way by which Outlook finds the certificate.

EWS cannot write an address list, and on-premises Exchange has no cmdlet for a contact's certificate, so it goes by
LDAP (RFC 4511). Every change is one request, done whole or not at all by the server; after a failure the entry is
read again, so that people learn what the directory holds now.
"""

from collections.abc import Sequence

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ldap_directory import Entry, LdapDirectory
from addin_sim.address_list.ldap_errors import LdapError
from addin_sim.address_list.ldap_escaping import in_filter
from addin_sim.address_list.ldap_schema import DirectorySchema, read_schema
from addin_sim.address_list.plan import (
    ATTRIBUTES,
    dn_in,
    holds,
    names_for,
    plan_publication,
    plan_withdrawal,
)
from addin_sim.address_list.publish_remarks import EFFECTIVE_RIGHTS, Found
from addin_sim.address_list.publisher import Action, Contact, Outcome, Plan, Progress, Value, shown
from addin_sim.address_list.settings import LdapSettings

_AMBIGUOUS = 10
"""So many holders of one address are named at most."""
_CHILDREN = "allowedChildClassesEffective"
"""What the account may create in a place, by Active Directory's own reckoning (MS-ADTS section 3.1.1.4.5)."""
_EVERY_CONTACT = (
    "cn=default global address list,cn=all global address lists,",
    "cn=all contacts,cn=all address lists,",
)
"""The lists in which Exchange itself puts every mail contact; others have filters of their own."""
_DOING = {Action.ADD: "Adding", Action.CHANGE: "Changing", Action.REMOVE: "Removing"}
_DONE = {Action.ADD: "Added", Action.CHANGE: "Changed", Action.REMOVE: "Removed"}


class LdapPublisher:
    """A `Publisher` over one connection, which is made when it is needed first."""

    def __init__(self, settings: LdapSettings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._connected: LdapDirectory | None = None

    def plan(self, contact: Contact) -> Plan:
        """As the protocol says."""
        return plan_publication(contact, self._look(contact))

    def plan_removal(self, contact: Contact) -> Plan:
        """As the protocol says."""
        return plan_withdrawal(contact, self._look(contact))

    def carry_out(self, plan: Plan) -> Outcome:
        """As the protocol says."""
        if plan.action is Action.NOTHING:
            return Outcome(plan.action, plan.place, _nothing_to_do(plan))
        self._progress(f"{_DOING[plan.action]} {plan.place}.")
        try:
            self._write(plan)
        except LdapError as error:
            return self._after(error, plan)
        self._progress("Reading it back.")
        entry = self._seen_after(plan)
        if not holds(entry, plan):
            raise AddressListError(
                f"{self._settings.url} took the change and shows another state: {_state(entry, plan)}. "
                "Ask the administrator of the directory whether another server or program writes there."
            )
        return Outcome(plan.action, plan.place, _done(plan), plan.remarks)

    def remove(self, contact: Contact) -> Outcome:
        """As the protocol says."""
        return self.carry_out(self.plan_removal(contact))

    def close(self) -> None:
        """As the protocol says."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    def _look(self, contact: Contact) -> Found:
        try:
            return self._found(contact)
        except LdapError as error:
            raise error.with_state("Nothing was changed") from error

    def _found(self, contact: Contact) -> Found:
        place = self._settings.place
        if not place:
            raise LdapError(
                "The settings do not say where the contact is to be",
                "Set place in [address_list.ldap] to the DN of an organizational unit",
            )
        directory = self._directory()
        self._progress("Reading the schema.")
        schema = read_schema(directory)
        self._progress(f"It is {schema.profile}. Looking for {contact.address} in {self._settings.base}.")
        home = directory.read(place, ["objectClass", _CHILDREN])
        if home is None:
            raise LdapError(f"There is no {place} in the directory", "Make it, or correct place in [address_list.ldap]")
        unique, known = ["mail", "proxyAddresses"], ["mail", "proxyAddresses", "targetAddress"]
        everywhere = _searched(directory, self._settings.base, _held(contact.address, schema, unique))
        within = _searched(directory, place, _held(contact.address, schema, known))
        return Found(
            schema=schema,
            place=place,
            holders=tuple({entry.dn: entry for entry in (*everywhere, *within)}.values()),
            inside=frozenset(entry.dn for entry in within),
            taken=frozenset(n for n in names_for(contact) if directory.read(dn_in(place, n), ["objectClass"])),
            cut_off=_AMBIGUOUS in (len(everywhere), len(within)),
            may_create="contact" in home.texts(_CHILDREN) if schema.knows(_CHILDREN) else None,
            address_lists=_address_lists(directory, schema),
        )

    def _write(self, plan: Plan) -> None:
        directory = self._directory()
        values: dict[str, Sequence[Value]] = {change.attribute: change.new for change in plan.changes}
        if plan.action is Action.ADD:
            directory.add(plan.place, values)
        elif plan.action is Action.CHANGE:
            directory.replace(plan.key, values)
        else:
            directory.delete(plan.key)

    def _after(self, error: LdapError, plan: Plan) -> Outcome:
        """What has become of a change that was refused, or whose answer was lost."""
        if error.lost:
            self.close()
            self._progress("The connection broke. Reading what the directory holds now.")
        try:
            entry = self._read(plan)
        except LdapError:
            doubt = "it is not known whether the change was made" if error.lost else "the entry cannot be read now"
            raise error.with_state(f"A change is made whole or not at all, but {doubt}") from error
        if error.lost and holds(entry, plan):
            remark = (
                "The connection broke before the answer came; the directory was read again, and the change is there."
            )
            return Outcome(plan.action, plan.place, _done(plan), (*plan.remarks, remark))
        raise error.with_state(_state(entry, plan)) from error

    def _seen_after(self, plan: Plan) -> Entry | None:
        try:
            return self._read(plan)
        except LdapError as error:
            raise error.with_state("The change was made, but could not be read again") from error

    def _read(self, plan: Plan) -> Entry | None:
        return self._directory().read(plan.place, ATTRIBUTES)

    def _directory(self) -> LdapDirectory:
        if self._connected is None:
            self._progress(f"Connecting to {self._settings.url}.")
            self._connected = LdapDirectory(self._settings, writing=True)
        return self._connected


def _held(address: str, schema: DirectorySchema, names: Sequence[str]) -> str:
    """A filter (RFC 4515) for entries that have the address. Only what must be unique counts everywhere: others may
    forward to an IME address (targetAddress)."""
    escaped = in_filter(address)
    prefixes = {"mail": "", "proxyAddresses": "smtp:", "targetAddress": "smtp:"}
    parts = [f"({name}={prefixes[name]}{escaped})" for name in names if schema.knows(name)]
    return f"(|{''.join(parts)})"


def _searched(directory: LdapDirectory, base: str, filter_text: str) -> list[Entry]:
    return directory.search(base, filter_text, (*ATTRIBUTES, EFFECTIVE_RIGHTS), limit=_AMBIGUOUS)


def _address_lists(directory: LdapDirectory, schema: DirectorySchema) -> tuple[str, ...]:
    """Those that a contact names in showInAddressBook; none when they cannot be read."""
    if not (schema.exchange and schema.configuration and schema.knows("showInAddressBook")):
        return ()
    services = f"CN=Microsoft Exchange,CN=Services,{schema.configuration}"
    try:
        found = directory.search(services, "(objectClass=addressBookContainer)", ["cn"])
    except LdapError as error:
        if error.lost:
            raise
        return ()
    return tuple(entry.dn for entry in found if entry.dn.lower().startswith(_EVERY_CONTACT))


def _done(plan: Plan) -> str:
    what = f"{_DONE[plan.action]} {plan.place}"
    if plan.action is Action.REMOVE:
        return f"{what}, the contact of {plan.contact.address}."
    return f"{what}: the contact of {plan.contact.address} has {shown(plan.contact.certificate)}."


def _nothing_to_do(plan: Plan) -> str:
    if not plan.key:
        return f"There is no contact of {plan.contact.address} in the directory; nothing was changed."
    return f"{plan.place} has {shown(plan.contact.certificate)} already; nothing was changed."


def _state(entry: Entry | None, plan: Plan) -> str:
    if entry is None:
        return f"The directory holds no {plan.place} now"
    values = entry.values("userCertificate")
    holds_now = ", ".join(map(shown, values)) if values else "no certificate"
    return f"{entry.dn} has {holds_now} now"
