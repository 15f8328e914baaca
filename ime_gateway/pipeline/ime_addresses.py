"""At which addresses internal mail encryption listens, and mail that was meant for one but missed it.

IME 1.0 has one pseudo recipient in the whole installation, IME 2.0 a domain of its own beside each managed domain that
wants it, where any local part counts: administrators give them names for their rules.
"""

from collections.abc import Mapping

from ime_gateway.base.outcome import Refused
from ime_gateway.base.reasons import Reason
from ime_gateway.mail.address import Address
from ime_gateway.ports.directory import SiteView
from ime_gateway.ports.reception import RelayFacts, Submission, SubmittedRecipient


def ime_domains(view: SiteView) -> Mapping[str, str]:
    """The domains that take containers, each with the name of the managed domain whose keys open them."""
    return {managed.ime_domain: name for name, managed in view.managed.items() if managed.ime_domain}


def relay_facts(view: SiteView, pseudo_recipient: Address) -> RelayFacts:
    """What the relay table needs to know of live data."""
    return RelayFacts(
        is_managed=view.managed.__contains__,
        ime_addresses=frozenset({pseudo_recipient.key}),
        ime_domains=frozenset(ime_domains(view)),
    )


def container_recipients(submission: Submission, view: SiteView) -> tuple[SubmittedRecipient, ...]:
    """Those recipients that are IME 2.0 addresses; nobody on an internet listener."""
    if submission.session.role != "internal":
        return ()
    domains = ime_domains(view)
    return tuple(entry for entry in submission.recipients if entry.address.domain in domains)


def ime_version(submission: Submission, view: SiteView, pseudo_recipient: Address) -> str | None:
    """Which kind of internal mail encryption the envelope asks for: `2.0`, `1.0` or None."""
    if submission.session.role != "internal":
        return None
    if container_recipients(submission, view):
        return "2.0"
    return "1.0" if any(entry.address.key == pseudo_recipient.key for entry in submission.recipients) else None


def misaddressed(submission: Submission, view: SiteView, pseudo_recipient: Address) -> Refused | None:
    """Mail that was meant to be encrypted internally but misses the address must not pass as ordinary mail (P1)."""
    domains = ime_domains(view)
    for entry in submission.recipients:
        address = entry.address
        if address.domain in domains:
            continue
        if address.domain == pseudo_recipient.domain and address.key != pseudo_recipient.key:
            detail = f"internal encryption listens at {pseudo_recipient} only"
            return Refused(Reason.IME_MALFORMED, detail, address=str(address))
        managed = address.domain.removeprefix("ime.")
        if managed != address.domain and managed in view.managed:
            detail = f"no ime_address is set up for {managed}, so nothing can open containers there"
            return Refused(Reason.METHOD_NOT_AVAILABLE, detail, address=str(address))
    return None
