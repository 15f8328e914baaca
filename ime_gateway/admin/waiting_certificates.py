"""What is said, wherever an administrator looks, of a partner's announced certificate that nobody has approved.

Its mail notice comes once and is easily missed. A month later the partner signs and decrypts with a key that nobody
here believes, and everything here still looks in order.
"""

from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.ports.incoming import Candidate
from ime_gateway.ports.registry import RegistryTransaction


def announced_and_waiting(live: RegistryTransaction, domain: str = "") -> list[Candidate]:
    """Announced certificates of partners (of one `domain`) that wait for approval, the newest first. May raise
    StoreUnavailable."""
    return [one for one in live.candidates.rows(state="pending", owner=domain) if one.origin == "announcement"]


def waiting_note(one: Candidate) -> str:
    """One sentence, with what to do next."""
    return (
        f"{one.owner} announced its next certificate at {rfc3339(one.at)}, and it waits for approval:"
        f' ime-gateway cert approve {one.certificate.thumbprint[:19]} --check "GROUPS" --with "PERSON, NUMBER"'
        " --how phone; until then what it signs with it is not believed"
    )


def waiting_notes(live: RegistryTransaction, domain: str) -> list[str]:
    """All certificates for a whole domain that wait, when its mail is in trouble: a sentence for each announced one,
    and one for those that came otherwise. May raise StoreUnavailable."""
    waiting = live.candidates.rows(state="pending", owner=domain)
    announced = [one for one in waiting if one.origin == "announcement"]
    notes = [waiting_note(one) for one in announced]
    others = len(waiting) - len(announced)
    if others:
        what = "a certificate waits" if others == 1 else f"{others} certificates wait"
        notes.append(f"{what} for approval as that of {domain}; see: ime-gateway cert candidates")
    return notes
