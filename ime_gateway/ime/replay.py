"""A container is acted upon once: what names it, how long that is remembered, and when it is too old to be new.

Whoever captured a container may send it again in any wrapping: another carrier, another encryption of the same signed
content. What the signer's key really signed stays the same, so that names it; everything outside the signature does
not count. The time window bounds how long the memory must last (threats, F).
"""

import hashlib

from ime_gateway.ime.container import Signature

KEEP_SECONDS = 14 * 86_400
"""How long an accepted container is remembered: longer than the window of signing times, both ends together."""
OLDEST_SECONDS = 7 * 86_400
"""An Outbox that was offline over a week's holiday still counts."""
NEWEST_SECONDS = 86_400
"""A clock that is wrong by a time zone or a day is an error of people; further ahead is an attempt to be remembered
too short."""


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
