"""What administrators should do about IME addresses before users notice: for commands, pages and the log.

A missing or expired key refuses every container; an overlap that ends too early refuses those of whoever has an
old address book; a weak way to believe signers should be chosen knowingly.
"""

from collections.abc import Iterable
from typing import Final

from ime_gateway.admin.ime_keys import doubts
from ime_gateway.admin.key_pairs import DAY_SECONDS
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.ports.registry import ImeKeyEntry, RegistryTransaction
from ime_gateway.settings.site import ManagedDomain, Policy

_OVERLAP_ENDS_DAYS: Final = 3
LIST_HINT: Final = "; see: ime-gateway ime signers list --pending"
"""Ends the note on signers that wait; a page that shows their list says something else."""


def current_key(keys: Iterable[ImeKeyEntry]) -> ImeKeyEntry | None:
    """The key that address books should have."""
    return next((key for key in keys if key.is_current), None)


def key_notes(domain: ManagedDomain, keys: list[ImeKeyEntry], policy: Policy, moment: float) -> list[str]:
    """What should be done about the keys of a domain's IME address, one sentence each; `moment` is now."""
    if not domain.ime_address:
        return ["the domain has IME keys and no IME address, so they open nothing"] if keys else []
    current = current_key(keys)
    if current is None:
        notes = [f"there is no IME key, so every container is refused; run: ime-gateway ime issue {domain.name}"]
    else:
        notes = doubts(current.certificate, domain.name, domain.ime_address, policy.warning_days, moment)
    return notes + [
        f"an older key ({key.certificate.thumbprint[:19]}) opens containers only until {rfc3339(key.opens_until)};"
        " address books should have the new certificate by then"
        for key in keys
        if key is not current and moment < key.opens_until < moment + _OVERLAP_ENDS_DAYS * DAY_SECONDS
    ]


def standing_notes(live: RegistryTransaction, moment: float) -> list[tuple[str, str]]:
    """Managed domains by name, each with a sentence about its IME keys; `moment` is now."""
    view = live.view()
    return [
        (name, note)
        for name, managed in sorted(view.managed.items())
        for note in key_notes(managed, live.ime_keys(name), view.policy, moment)
    ]


def signer_notes(domain: ManagedDomain, pending: int = 0) -> list[str]:
    """What should be known about the signers of a domain's containers, `pending` of whom wait."""
    notes = []
    if domain.ime_address and domain.ime_signers == "first-use":
        notes.append(
            'ime_signers = "first-use" is weaker than the others: whoever sends the first container in a person\'s'
            ' name is believed; "confirm" asks the mailbox'
        )
    if pending:
        people = "signer waits" if pending == 1 else "signers wait"
        notes.append(f"{pending} {people} to be confirmed or approved{LIST_HINT}")
    return notes
