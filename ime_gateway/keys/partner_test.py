"""What a self-test with a partner found out, direction by direction, in the form that programs read.

Both directions must be proved: ours, that the partner opened our mail and trusts its signature; theirs, that the answer
came encrypted to us, opened here, and carries a signature that we trust. Everything else names what to mend.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ime_gateway.keys.exchange_note import SelfTestAnswer

Report = dict[str, object]
FRESH_SECONDS: Final = 7 * 86_400.0
"""So old may a request or an answer be: mail waits in queues. And so far may clocks differ by a part of it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """How the answer came in here."""

    at: float
    """Seconds since 1970 UTC."""
    encrypted: bool
    opened_with: str
    """Thumbprint of the certificate whose key opened it; empty: none did."""
    key_state: str
    """Of that key: current, next or older; empty."""
    cipher: str
    signed_by: str
    """Thumbprint; empty: it has no signature that holds."""
    trusted: bool
    """The signer is one of the partner's certificates, and usable."""
    detail: str
    """The verdict on it, one line."""


def sent_report(message: str, recipient: str, encrypted_to: str, signed_with: str) -> Report:
    """The report of a test whose mail is queued. message: the id that tracking knows."""
    there = {"id": message, "recipient": recipient, "encrypted_to": encrypted_to, "signed_with": signed_with}
    return {"there": there, "here": None, "problems": []}


def answered_report(sent: Mapping[str, object], answer: SelfTestAnswer | None, arrived: Arrived) -> tuple[bool, Report]:
    """Whether both directions are proved, and the finished report. answer: None when a person answered by hand, who
    could read the token but cannot tell what a program made of the signature."""
    there = sent.get("there")
    ours: Report = dict(there) if isinstance(there, dict) else {}
    problems: list[str] = []
    if answer is None:
        ours |= {"opened": True, "opened_with": None, "cipher": None, "signed_by": None, "trusted": None}
        ours |= {"detail": "answered by hand: what our signature is worth there is not known"}
    else:
        ours |= {"opened": bool(answer.opened_with), "opened_with": answer.opened_with or None}
        ours |= {"cipher": answer.cipher, "signed_by": answer.signed_by, "trusted": answer.trusted}
        ours |= {"detail": answer.detail}
        if not answer.opened_with:
            problems.append("our mail was not encrypted when the partner got it")
        if not answer.trusted:
            problems.append(f"the partner does not trust our signature: {answer.detail}")
    if not arrived.encrypted:
        problems.append("the answer came in clear: the partner does not encrypt to us")
    elif not arrived.opened_with:
        problems.append("the answer could not be opened here")
    if arrived.key_state == "older":
        problems.append("the partner encrypts to an older certificate of ours")
    if not arrived.trusted:
        problems.append(f"we do not trust the signature of the answer: {arrived.detail}")
    here = {
        "at": arrived.at,
        "encrypted": arrived.encrypted,
        "opened_with": arrived.opened_with or None,
        "key_state": arrived.key_state or None,
        "cipher": arrived.cipher or None,
        "signed_by": arrived.signed_by or None,
        "trusted": arrived.trusted,
        "detail": arrived.detail,
    }
    return not problems, {"there": ours, "here": here, "problems": problems}
