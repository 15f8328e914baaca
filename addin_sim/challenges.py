"""The gateway asks a mailbox: did you sign this container? The add-in answers for its user.

A container signed with a certificate that the gateway doesn't know yet waits (451 at Exchange) until somebody
proves to own both mailbox and key: the question comes to the mailbox, the answer is signed with the same key, in
the manner of RFC 8823. Whoever answers questions that they did not cause would vouch for a forger, so
only the question about our own certificate is answered, and only while a mail of ours waits for its copy.
"""

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from addin_sim.ime2 import sign
from addin_sim.outlook_settings import Account
from addin_sim.own_keys import OwnKeys
from addin_sim.raw_mail import RawMail, UnusableMailError, mailboxes_in, make_field, parse

CHALLENGE_HEADER = "X-IMEGW-Challenge"
"""Carries the one-time token."""

CERTIFICATE_HEADER = "X-IMEGW-Challenge-Certificate"
"""Names the certificate that the question is about."""


_TOKEN = re.compile(r"imegw-[0-9a-hjkmnp-tv-z]{32}")
"""The gateway's own form and no other: our user's key signs what stands here, so nobody else may choose the words."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """The question, as its mail asks it."""

    token: str
    asked_by: tuple[str, ...]
    """The addresses of From, in small letters."""
    answer_to: tuple[str, ...]
    """The addresses of Reply-To, in small letters."""
    thumbprints: tuple[str, ...]
    """The certificates that are asked about."""
    message_id: str


def read_challenge(data: bytes) -> Challenge | None:
    """The question in this mail; None when it is none."""
    header = parse(data)
    tokens = [field.value.strip() for field in header.all(CHALLENGE_HEADER)]
    if len(tokens) != 1 or not _TOKEN.fullmatch(tokens[0]):
        return None
    return Challenge(
        tokens[0],
        _addresses(header, "From"),
        _addresses(header, "Reply-To"),
        tuple(field.value.lower() for field in header.all(CERTIFICATE_HEADER)),
        header.value("Message-ID"),
    )


def may_answer(challenge: Challenge, internal_recipient: str, keys: OwnKeys) -> bool:
    """Was this asked by the IME address that we send to, and about our certificate alone?"""
    ime_address = (internal_recipient.lower(),)
    return (
        challenge.asked_by == ime_address
        and challenge.answer_to == ime_address
        and challenge.thumbprints == (keys.thumbprint,)
    )


def answer(
    challenge: Challenge, account: Account, internal_recipient: str, keys: OwnKeys, *, moment: float, unique: str
) -> bytes:
    """The mail to the IME address with the token in its signed part; `moment` in seconds since 1970 UTC."""
    text = (
        b"Content-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"Yes, this certificate signs for me.\r\n\r\n" + challenge.token.encode("ascii") + b"\r\n"
    )
    signed = parse(sign(text, keys, detached=True, edge=unique))
    domain = account.address.rpartition("@")[2]
    header = [
        make_field("From", email.utils.formataddr((account.display_name, account.address))),
        make_field("To", internal_recipient),
        make_field("Date", email.utils.format_datetime(datetime.fromtimestamp(moment, UTC))),
        make_field("Message-ID", f"<{unique}@{domain}>"),
        make_field("Subject", "Re: Did you send this encrypted message?"),
        make_field("Auto-Submitted", "auto-replied"),
        make_field("MIME-Version", "1.0"),
    ]
    if challenge.message_id:
        header.append(make_field("In-Reply-To", challenge.message_id))
    return RawMail((*header, *signed.fields), signed.body).to_bytes()


def _addresses(header: RawMail, name: str) -> tuple[str, ...]:
    try:
        return tuple(address.lower() for _, address in mailboxes_in(header.all(name)))
    except UnusableMailError:  # nobody whom we know
        return ()
