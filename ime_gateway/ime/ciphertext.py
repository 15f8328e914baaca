"""One ciphertext for each content key: how a container under CBC is named, so that nobody can ask about two of them.

CBC content (RFC 5652 section 6.3) can be changed unnoticed. Whoever captured a container could send it again and again,
changed each time, until the replies have told its content (Vaudenay; EFAIL). A sender never seals two contents with one
key, so the gateway goes on with the first ciphertext that it meets under a content key, and with exactly that one again
when the mail server repeats it; for every other it has one closed reply, whatever it holds. Nothing but the container
itself says what its names are, so they are known before a key of ours is used.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ime_gateway.smime.owned_key import OwnedKey, addressed
from ime_gateway.smime.structures import Enveloped, KeyTransport

REMEMBERED_SECONDS = 400 * 86_400
"""How long after its last use a content key stays in the ledger: whoever kept a container may ask about one change of
it in that time. A row is some 150 bytes."""
_TAGGED = "0" * 64
"""Stands for every ciphertext under a tag: no CBC ciphertext has this digest."""


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A ciphertext and the key it is under, for the ledger of first ciphertexts."""

    key_digest: str
    """Hexadecimal SHA-256 of the encrypted content key."""
    ciphertext_digest: str
    """Hexadecimal SHA-256 of content cipher, initialisation vector and encrypted content."""


def tagged_ciphertext(key_digest: str) -> Ciphertext:
    """What opened under a tag: it needs no ledger itself, but its key must not serve for questions in CBC later."""
    return Ciphertext(key_digest, _TAGGED)


def encrypted_keys(envelope: Enveloped, keys: Sequence[OwnedKey]) -> set[bytes]:
    """The encrypted content keys that are for `keys`; a renewed certificate of the same key counts no further one."""
    found = set()
    for one in addressed(envelope.recipients, keys):
        if isinstance(one.info, KeyTransport):
            found.add(one.info.encrypted_key)
        elif one.agreed is not None:
            found.add(one.agreed.encrypted_key)
    return found


def name_ciphertext(envelope: Enveloped, encrypted_key: bytes) -> Ciphertext:
    """How the ledger knows the ciphertext of `envelope`; how the sender cut it in segments does not count."""
    algorithm = envelope.algorithm
    digest = hashlib.sha256(algorithm.oid.encode("ascii") + b"\0" + (algorithm.parameters or b""))
    for piece in envelope.ciphertext:
        digest.update(piece)
    return Ciphertext(hashlib.sha256(encrypted_key).hexdigest(), digest.hexdigest())
