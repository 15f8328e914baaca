"""Open an encrypted S/MIME message with a key of ours (RFC 5652 section 6, RFC 5083), without becoming an oracle.

Whoever can send us mail can send us somebody else's ciphertext, changed. So whatever goes wrong behind "this is
for us, and of a kind that we know" ends the same way, after the same work: a key that cannot be unwrapped is
replaced by a random one, and the content is decrypted with that (RFC 3218 section 2.3.2, RFC 8551 section 6).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from ime_gateway.base.errors import UnreadableCms
from ime_gateway.smime.content_decrypt import ContentCipher, open_content, read_cipher
from ime_gateway.smime.key_agreement import CURVES, agree_with_originator, read_method
from ime_gateway.smime.key_unwrap import RSA_1_5, read_transport, unwrap
from ime_gateway.smime.owned_key import Addressed, OwnedKey, addressed, described
from ime_gateway.smime.structures import AgreementKey, Enveloped, KeyAgreement, KeyTransport

__all__ = ["Decrypted", "LegacyPolicy", "OwnedKey", "Undecryptable", "decrypt"]

MAXIMUM_KEY_OPERATIONS = 16
"""Operations with private keys for one message; a flood of recipient infos for us costs no more than these."""
_STRONG_RSA_BITS = 2048
_SHORTEST_RSA_BITS = 1024


@dataclass(frozen=True, slots=True)
class LegacyPolicy:
    """Which old forms are still opened; such mail is marked (RFC 8551 sections 2.7 and 4.1 call them historic)."""

    triple_des: bool = True
    """Triple-DES, for content and key wrap."""
    rc2: bool = False
    """RC2 with 128 effective bits. The export forms of 40 and 64 bits are never opened."""
    short_rsa: bool = True
    """Own RSA keys of 1024 to 2047 bits."""


@dataclass(frozen=True, slots=True)
class Decrypted:
    """An opened message."""

    content: memoryview = field(repr=False)
    content_type: str
    """Of what is inside, dotted; `1.2.840.113549.1.7.1` is data: a MIME entity."""
    integrity: bool
    """The cipher would have shown a change. False: anybody may have changed the text; only a signature helps."""
    cipher: str
    """`aes-256-gcm`, `aes-256-cbc` ..."""
    key_method: str
    """`rsa-v1.5`, `rsa-oaep-sha256`, `ecdh-p256-sha256`, `x25519-hkdf-sha256` ..."""
    opened_with: str
    """Thumbprint of the certificate whose key opened it."""
    encrypted_key_digest: str
    """Hexadecimal SHA-256 of the encryptedKey used: the same value twice is the same sealed content key."""
    legacy: bool
    """Opened by leave of a LegacyPolicy."""
    encrypted_key_digests: tuple[str, ...] = ()
    """The same for every recipient info that names one of the given keys, used or not: each leads to this content.
    At most MAXIMUM_KEY_OPERATIONS beside the one used."""


@dataclass(frozen=True, slots=True)
class Undecryptable:
    """A message that was not opened; outside, all causes sound the same."""

    cause: Literal["no-key", "unsupported", "failed"]
    evidence: str
    """For the log only."""


class _Attempt(NamedTuple):
    """A recipient info of ours, of a kind that we know."""

    addressed: Addressed
    method: str
    legacy: bool
    unwrap: Callable[[], bytes | None]

    @property
    def encrypted_key(self) -> bytes:
        return _encrypted_key(self.addressed)


def _encrypted_key(one: Addressed) -> bytes:
    if isinstance(one.info, KeyTransport):
        return one.info.encrypted_key
    return one.agreed.encrypted_key if one.agreed else b""


def decrypt(
    envelope: Enveloped,
    keys: Sequence[OwnedKey],
    *,
    legacy: LegacyPolicy = LegacyPolicy(),
    randomness: Callable[[int], bytes],
) -> Decrypted | Undecryptable:
    """Open `envelope` with one of `keys`. `randomness(n)` gives n bytes fit for cryptographic keys.

    Never raises for what a message says. At most MAXIMUM_KEY_OPERATIONS private-key operations, one buffer of
    the size of the ciphertext.
    """
    mine = list(islice(addressed(envelope.recipients, keys), MAXIMUM_KEY_OPERATIONS * 4))
    if not mine:
        named = described(envelope.recipients)
        return Undecryptable("no-key", f"it is for none of {len(keys)} keys that open here now, but for {named}")
    try:
        cipher = read_cipher(envelope)
    except UnreadableCms as error:
        return Undecryptable("failed", error.evidence)
    if isinstance(cipher, str):
        return Undecryptable("unsupported", cipher)
    if (cipher.legacy == "triple_des" and not legacy.triple_des) or (cipher.legacy == "rc2" and not legacy.rc2):
        return Undecryptable("unsupported", f"{cipher.name} is not allowed by policy")
    read = [_attempt(one, legacy) for one in mine]
    attempts = [one for one in read if not isinstance(one, str)][:MAXIMUM_KEY_OPERATIONS]
    if not attempts:
        return Undecryptable("unsupported", "; ".join(dict.fromkeys(one for one in read if isinstance(one, str))))
    opened = _open(envelope, cipher, attempts, randomness)
    if isinstance(opened, Undecryptable):
        return opened
    # No honest mail names the keys of one reader more often; beyond, each would cost its place in somebody's memory.
    others = (_encrypted_key(one) for one in mine[:MAXIMUM_KEY_OPERATIONS])
    digests = {opened.encrypted_key_digest, *(sha256(key).hexdigest() for key in others if key)}
    return replace(opened, encrypted_key_digests=tuple(sorted(digests)))


def _open(
    envelope: Enveloped, cipher: ContentCipher, attempts: Sequence[_Attempt], randomness: Callable[[int], bytes]
) -> Decrypted | Undecryptable:
    """Unwrap every key first, then decrypt: what went wrong where is not to be seen from the order of work."""
    substitute = randomness(cipher.key_bytes)
    found: dict[bytes, _Attempt] = {}
    # Keys that came with a check value go first: of CBC's wrong keys one in 256 looks right.
    for one in sorted(attempts, key=lambda one: one.method == RSA_1_5):
        key = one.unwrap()
        if key is not None and len(key) == cipher.key_bytes:
            found.setdefault(key, one)
    # A guess at v1.5 must not even learn that its padding was wrong from never seeing garbage: garbage it gets.
    guessed = next((one for one in attempts if one.method == RSA_1_5), None)
    opened = open_content(cipher, tuple(found) or (substitute,), envelope)
    attempt = None if opened is None else found.get(opened.key, guessed)
    if opened is None or attempt is None:
        methods = ", ".join(dict.fromkeys(one.method for one in attempts))
        return Undecryptable("failed", f"{len(attempts)} recipient infos by {methods}; content by {cipher.name}")
    return Decrypted(
        content=opened.content,
        content_type=envelope.content_type,
        integrity=cipher.integrity,
        cipher=cipher.name,
        key_method=attempt.method,
        opened_with=attempt.addressed.owned.certificate.thumbprint,
        encrypted_key_digest=sha256(attempt.encrypted_key).hexdigest(),
        legacy=attempt.legacy or bool(cipher.legacy),
    )


def _attempt(one: Addressed, legacy: LegacyPolicy) -> _Attempt | str:
    """How to unwrap the key, or in a few words why this version does not. Private keys are not used yet."""
    key = one.owned.private_key
    if isinstance(one.info, KeyTransport) and isinstance(key, rsa.RSAPrivateKey):
        return _transport(one, one.info, key, legacy)
    if (
        isinstance(one.info, KeyAgreement)
        and one.agreed is not None
        and isinstance(key, (ec.EllipticCurvePrivateKey, x25519.X25519PrivateKey))
    ):
        return _agreement(one, one.info, one.agreed, key, legacy)
    return f"{type(one.info).__name__} for a key of type {one.owned.certificate.key_kind}"


def _transport(one: Addressed, info: KeyTransport, key: rsa.RSAPrivateKey, legacy: LegacyPolicy) -> _Attempt | str:
    method = read_transport(info.algorithm)
    if method is None:
        return f"key transport {info.algorithm.oid} or its parameters"
    if key.key_size < (_SHORTEST_RSA_BITS if legacy.short_rsa else _STRONG_RSA_BITS):
        return f"RSA key of {key.key_size} bits is not allowed by policy"
    return _Attempt(one, method.name, key.key_size < _STRONG_RSA_BITS, lambda: method.unwrap(key, info.encrypted_key))


def _agreement(
    one: Addressed,
    info: KeyAgreement,
    agreed: AgreementKey,
    key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey,
    legacy: LegacyPolicy,
) -> _Attempt | str:
    curve = "x25519" if isinstance(key, x25519.X25519PrivateKey) else CURVES.get(key.curve.name)
    if curve is None:
        return "a key on a curve that mail does not use"
    if info.originator_key is None:
        return "key agreement with a static key of the sender"
    method, originator = read_method(info.algorithm), info.originator_key
    if method is None:
        return f"key agreement {info.algorithm.oid} or its key wrap"
    if method.wrap.triple_des and not legacy.triple_des:
        return f"{method.wrap.name} is not allowed by policy"

    def unwrap_key() -> bytes | None:
        shared = agree_with_originator(key, originator)
        if shared is None:
            return None
        return unwrap(method.wrap, method.key_encryption_key(shared, info.ukm), agreed.encrypted_key)

    name = curve if curve == "x25519" else f"ecdh-{curve}"
    return _Attempt(one, f"{name}-{method.derivation.name}", method.wrap.triple_des, unwrap_key)
