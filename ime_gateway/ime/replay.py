"""A container is acted upon once: what names it, how long that is remembered, and when it is too old to be new.

Whoever captured a container may send it again in any wrapping: another carrier, another encryption of the same signed
content. What the signer's key really signed stays the same, so that names it; everything outside the signature does
not count. The time window bounds how long the memory must last (threats, F). Old mail that its author forwards signed
is no container either, though it stands under a fresh signature: its own Date tells.
"""

import hashlib
from datetime import UTC
from email.utils import parsedate_to_datetime

from ime_gateway.base.errors import UnreadableMail
from ime_gateway.ime.container import Signature
from ime_gateway.mail.headers import HeaderBlock

KEEP_SECONDS = 14 * 86_400
"""How long an accepted container is remembered: longer than the window of signing times, both ends together."""
OLDEST_SECONDS = 7 * 86_400
"""An Outbox that was offline over a week's holiday still counts."""
NEWEST_SECONDS = 86_400
"""A clock that is wrong by a time zone or a day is an error of people; further ahead is an attempt to be remembered
too short."""
WRITTEN_SECONDS = 7 * 86_400
"""So far may the Date of a message be from its signature; mail programs write both when the mail is sent."""
_LONGEST_DATE = 200


def replay_key(signature: Signature) -> str:
    """The name of a container: hexadecimal SHA-256 over signer key, messageDigest and signingTime."""
    digest = hashlib.sha256(b"ime-gateway container\0")
    for value in (signature.key_digest, signature.message_digest.hex(), repr(float(signature.signing_time))):
        digest.update(value.encode("ascii") + b"\0")
    return digest.hexdigest()


def too_old(signing_time: float, moment: float) -> bool:
    """Signed before the window. Both in seconds since 1970 UTC."""
    return moment - signing_time > OLDEST_SECONDS


def too_early(signing_time: float, moment: float) -> bool:
    """Signed further in the future than a wrong clock explains."""
    return signing_time - moment > NEWEST_SECONDS


def dated(headers: HeaderBlock) -> float:
    """When the message says it was sent (RFC 5322 section 3.6.1: one Date, always there), seconds since 1970 UTC.

    Raises UnreadableMail.
    """
    fields = headers.all("date")
    if len(fields) != 1:
        raise UnreadableMail(f"it has {len(fields) or 'no'} Date field{'s' if fields else ''}")
    text = fields[0].text.strip()
    if len(text) > _LONGEST_DATE:
        raise UnreadableMail("its Date cannot be read")
    try:
        said = parsedate_to_datetime(text)
        # "-0000" is UTC from somewhere unknown (section 3.3), not the zone of this machine.
        return (said if said.tzinfo is not None else said.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableMail("its Date cannot be read") from error


def written_for(date: float, signing_time: float) -> bool:
    """The message was written for this signature, and is not older (or younger) mail inside it."""
    return abs(date - signing_time) <= WRITTEN_SECONDS
