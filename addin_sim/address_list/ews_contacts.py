"""Publishes the IME contact with its certificate in a contacts folder of Exchange (MS-OXWSCONT).

That folder is not the address list, which EWS can only read: it is for companies whose directory nobody may write, and
every user adds it to Outlook's address books. Exchange Online ends EWS on 1 April 2027; Exchange Server keeps it.
"""

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.ews_failures import UnconfirmedError
from addin_sim.address_list.ews_folder import ContactsFolder
from addin_sim.address_list.ews_plan import FOLDER, Folder, holds, plan_publication, plan_withdrawal, state_after
from addin_sim.address_list.publisher import Action, Contact, Outcome, Plan, Progress
from addin_sim.address_list.settings import EwsSettings


class EwsContactsPublisher:
    """The folder that `[address_list.ews]` names; `mailbox` is whose contacts are meant when it names none."""

    def __init__(self, settings: EwsSettings, mailbox: str, say: Progress) -> None:
        self._say = say
        say(f"Logging in at {settings.url}.")
        self._folder = ContactsFolder(settings, settings.mailbox or mailbox)

    def plan(self, contact: Contact) -> Plan:
        """Read the folder and decide."""
        return plan_publication(contact, self._read(contact))

    def plan_removal(self, contact: Contact) -> Plan:
        """Read the folder and decide."""
        return plan_withdrawal(contact, self._read(contact))

    def carry_out(self, plan: Plan) -> Outcome:
        """Write, and read again what was written."""
        if plan.action is Action.NOTHING:
            return Outcome(plan.action, plan.place, _nothing_done(plan))
        try:
            self._write(plan)
        except UnconfirmedError as error:
            raise error.with_state(self._state(plan)) from error
        now = self._read(plan.contact)
        if not holds(now, plan):
            raise AddressListError(
                f"Exchange confirmed the change of {plan.place} and does not show it. {state_after(now, plan)} "
                "Look at the folder in Outlook, then run the command again."
            )
        return Outcome(plan.action, plan.place, _DONE[plan.action].format(place=plan.place), _what_next(plan))

    def remove(self, contact: Contact) -> Outcome:
        """`carry_out(plan_removal(contact))`."""
        return self.carry_out(self.plan_removal(contact))

    def close(self) -> None:
        """Let go of the connections; never raises."""
        self._folder.close()

    def _read(self, contact: Contact) -> Folder:
        self._say(f"Reading {self._folder.name}.")
        return self._folder.read(contact.address)

    def _write(self, plan: Plan) -> None:
        match plan.action:
            case Action.ADD:
                if any(change.attribute == FOLDER for change in plan.changes):
                    self._say(f"Creating {self._folder.name}.")
                    self._folder.make()
                self._say(f"Creating {plan.place}.")
                self._folder.add(plan.changes)
            case Action.CHANGE:
                self._say(f"Changing {plan.place}.")
                self._folder.change(plan.key, plan.changes)
            case Action.REMOVE:
                self._say(f"Removing {plan.place}.")
                self._folder.remove(plan.key)
            case Action.NOTHING:
                pass

    def _state(self, plan: Plan) -> str:
        """What the folder holds now, in a sentence."""
        try:
            return state_after(self._folder.read(plan.contact.address), plan)
        except AddressListError:
            return "What the folder holds now is not known."


_DONE = {
    Action.ADD: "{place} was created with the certificate.",
    Action.CHANGE: "{place} was changed.",
    Action.REMOVE: "{place} was removed.",
}


def _what_next(plan: Plan) -> tuple[str, ...]:
    if plan.action is Action.REMOVE:
        return ("Outlook shows it until it reads the folder again.",)
    return ()


def _nothing_done(plan: Plan) -> str:
    if plan.key:
        return f"{plan.place} is as wanted already; nothing was changed."
    return f"{plan.place} has no contact with {plan.contact.address}; nothing was changed."
