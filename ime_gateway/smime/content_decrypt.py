"""Decrypt the content of an S/MIME message into one buffer, and give nothing away before it is checked.

Ciphertext comes in the segments in which the sender cut it and is fed as it is. AES-GCM, AES-CCM and
ChaCha20-Poly1305 (RFC 5084, RFC 8103) release plaintext only under a right tag. CBC (RFC 5652 section 6.3) has
nothing but its padding, so what comes out of it is unauthenticated: whoever uses it must know that (EFAIL).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM

from ime_gateway.base.errors import UnreadableCertificate, UnreadableCms
from ime_gateway.base.octets import Buffer
from ime_gateway.certs import der
from ime_gateway.smime.structures import AlgorithmIdentifier, Enveloped, Pieces

MINIMUM_TAG_BYTES = 12
"""RFC 5084 section 3.2 has 12 to 16 for GCM; shorter tags of CCM (section 3.1) are not accepted either."""
_MAXIMUM_TAG_BYTES = 16
_BUNCH_BYTES = 65_536
"""Segments of a few octets are joined up to this size before they are decrypted: one call costs a microsecond."""
_RC2_128_BITS = 58
"""RFC 2268 section 6: the version number that stands for 128 effective bits; the library does no other size."""


@dataclass(frozen=True, slots=True)
class ContentCipher:
    """A contentEncryptionAlgorithm, read."""

    name: str
    """`aes-256-cbc`, `chacha20-poly1305` ..."""
    mode: str
    """`cbc`, `gcm`, `ccm` or `chacha20-poly1305`."""
    key_bytes: int
    nonce: bytes = field(repr=False)
    tag_bytes: int = 0
    """0 for CBC."""
    legacy: str = ""
    """`triple_des` or `rc2`: read only where a LegacyPolicy says so."""

    @property
    def integrity(self) -> bool:
        """Whether a changed ciphertext is found out."""
        return self.tag_bytes > 0


@dataclass(frozen=True, slots=True)
class OpenedContent:
    """Plaintext, and which of the keys it came out under."""

    key: bytes = field(repr=False)
    content: memoryview = field(repr=False)


_AES = "2.16.840.1.101.3.4.1."
_TABLE: dict[str, tuple[str, str, int]] = {
    _AES + "2": ("aes-128-cbc", "cbc", 16),
    _AES + "22": ("aes-192-cbc", "cbc", 24),
    _AES + "42": ("aes-256-cbc", "cbc", 32),
    _AES + "6": ("aes-128-gcm", "gcm", 16),
    _AES + "26": ("aes-192-gcm", "gcm", 24),
    _AES + "46": ("aes-256-gcm", "gcm", 32),
    _AES + "7": ("aes-128-ccm", "ccm", 16),
    _AES + "27": ("aes-192-ccm", "ccm", 24),
    _AES + "47": ("aes-256-ccm", "ccm", 32),
    "1.2.840.113549.1.9.16.3.18": ("chacha20-poly1305", "chacha20-poly1305", 32),
    "1.2.840.113549.3.7": ("3des-cbc", "cbc", 24),
    "1.2.840.113549.3.2": ("rc2-128-cbc", "cbc", 16),
}
_LEGACY = {"3des-cbc": "triple_des", "rc2-128-cbc": "rc2"}
_NONCE_SIZES = {"gcm": range(8, 129), "ccm": range(7, 14), "chacha20-poly1305": range(12, 13)}
"""GCM: what the library takes (RFC 5084 recommends 12). CCM: RFC 5084 section 3.1. RFC 8103 section 3."""


def read_cipher(envelope: Enveloped) -> ContentCipher | str:
    """The cipher of an envelope, or in a few words why this version does not open it.

    Authenticated ciphers stand in AuthEnvelopedData and nowhere else, the others never do (RFC 5083, RFC 5084): so
    that nobody turns one into the other. Raises UnreadableCms when the parameters make no sense.
    """
    algorithm = envelope.algorithm
    if algorithm.oid not in _TABLE:
        return f"content encryption {algorithm.oid}"
    name, mode, key_bytes = _TABLE[algorithm.oid]
    if (mode != "cbc") != envelope.authenticated:
        return f"{name} in {'AuthEnvelopedData' if envelope.authenticated else 'EnvelopedData'}"
    try:
        if mode == "cbc":
            return _read_cbc(name, key_bytes, algorithm)
        return _read_aead(name, mode, key_bytes, algorithm)
    except (UnreadableCertificate, ValueError) as error:
        raise UnreadableCms("the encrypted message cannot be read", f"parameters of {name}: {error}") from error


def _read_cbc(name: str, key_bytes: int, algorithm: AlgorithmIdentifier) -> ContentCipher | str:
    values = _values(algorithm.parameters)
    if name == "rc2-128-cbc":
        # RC2-CBC-Parameter (RFC 2268 section 6): a version that stands for the key's effective bits, and the IV.
        if [tag for tag, _ in values] != [der.INTEGER, der.OCTET_STRING]:
            return "rc2-cbc without its number of effective bits"
        version = int.from_bytes(values.pop(0)[1], "big")
        if version != _RC2_128_BITS:
            return f"rc2-cbc of other than 128 effective bits (version {version})"
    ((tag, nonce),) = values
    if tag != der.OCTET_STRING or len(nonce) != (8 if name in _LEGACY else 16):
        raise ValueError("initialisation vector")
    return ContentCipher(name, "cbc", key_bytes, nonce, legacy=_LEGACY.get(name, ""))


def _read_aead(name: str, mode: str, key_bytes: int, algorithm: AlgorithmIdentifier) -> ContentCipher | str:
    (first_tag, nonce), *rest = _values(algorithm.parameters)
    if first_tag != der.OCTET_STRING or len(rest) > 1 or any(tag != der.INTEGER for tag, _ in rest):
        raise ValueError("nonce and tag size")
    if mode == "chacha20-poly1305":
        if rest:
            raise ValueError("nonce")
        tag_bytes = _MAXIMUM_TAG_BYTES
    else:
        # aes-ICVlen DEFAULT 12 (RFC 5084 sections 3.1 and 3.2)
        tag_bytes = int.from_bytes(rest[0][1], "big", signed=True) if rest else MINIMUM_TAG_BYTES
    if not MINIMUM_TAG_BYTES <= tag_bytes <= _MAXIMUM_TAG_BYTES or (mode == "ccm" and tag_bytes % 2):
        return f"{name} with a tag of {tag_bytes} octets"
    if len(nonce) not in _NONCE_SIZES[mode]:
        return f"{name} with a nonce of {len(nonce)} octets"
    return ContentCipher(name, mode, key_bytes, nonce, tag_bytes)


def _values(parameters: bytes | None) -> list[tuple[int, bytes]]:
    """Tag and content of the parameters: of one element alone, or of each inside a SEQUENCE."""
    encoded = parameters or b""
    outer = der.read_element(encoded, 0, len(encoded))
    if outer.end != len(encoded):
        raise ValueError("octets behind the parameters")
    parts = der.children(encoded, outer) if outer.tag == der.SEQUENCE else [outer]
    return [(part.tag, encoded[part.content : part.end]) for part in parts]


def open_content(cipher: ContentCipher, keys: Sequence[bytes], envelope: Enveloped) -> OpenedContent | None:
    """The plaintext under the first of `keys` that fits (each of `cipher.key_bytes`), or None and not a word why.

    Costs one pass over the ciphertext for CBC, whatever happens, and at most one for each key otherwise.
    Holds the plaintext in memory once, beside the ciphertext; CCM and ChaCha20-Poly1305 join segments once more.
    """
    size = sum(len(piece) for piece in envelope.ciphertext)
    if not cipher.integrity:
        return _open_cbc(cipher, keys, envelope.ciphertext, size)
    if len(envelope.tag) != cipher.tag_bytes:
        return None
    open_under = _open_gcm if cipher.mode == "gcm" else _open_one_shot
    for key in keys:
        plain = open_under(cipher, key, envelope, size)
        if plain is not None:
            return OpenedContent(key, plain)
    return None


def _open_gcm(cipher: ContentCipher, key: bytes, envelope: Enveloped, size: int) -> memoryview | None:
    mode = GCM(cipher.nonce, envelope.tag, min_tag_length=MINIMUM_TAG_BYTES)
    opening = Cipher(AES(key), mode).decryptor()
    if envelope.authenticated_attributes is not None:
        opening.authenticate_additional_data(envelope.authenticated_attributes)
    plain = _decrypt_pieces(opening.update_into, envelope.ciphertext, size)
    try:
        opening.finalize()
    except InvalidTag:
        return None
    return plain


def _open_one_shot(cipher: ContentCipher, key: bytes, envelope: Enveloped, size: int) -> memoryview | None:
    """The library decrypts with these two in one call only."""
    joined = b"".join((*envelope.ciphertext, envelope.tag))
    plain = np.empty(size, np.uint8).data
    opening = ChaCha20Poly1305(key) if cipher.mode == "chacha20-poly1305" else AESCCM(key, cipher.tag_bytes)
    try:
        opening.decrypt_into(cipher.nonce, joined, envelope.authenticated_attributes, plain)
    except (InvalidTag, ValueError):
        return None
    return plain


def _open_cbc(cipher: ContentCipher, keys: Sequence[bytes], pieces: Pieces, size: int) -> OpenedContent | None:
    block = len(cipher.nonce)
    if not size or size % block:
        return None
    # The padding tells with one block which of several keys it is; then there is one pass, good or bad.
    end = _last_octets(pieces, 2 * block)
    before, last = end[:-block] or cipher.nonce, end[-block:]
    chosen = keys[0]
    for key in reversed(keys):
        trial = Cipher(_block_cipher(cipher, key), CBC(before)).decryptor()
        if padding_size(trial.update(last) + trial.finalize()):
            chosen = key
    opening = Cipher(_block_cipher(cipher, chosen), CBC(cipher.nonce)).decryptor()
    plain = _decrypt_pieces(opening.update_into, pieces, size)
    opening.finalize()
    padding = padding_size(bytes(plain[size - block :]))
    return OpenedContent(chosen, plain[: size - padding]) if padding else None


def _block_cipher(cipher: ContentCipher, key: bytes) -> BlockCipherAlgorithm:
    match cipher.legacy:
        case "triple_des":
            return TripleDES(key)
        case "rc2":
            return RC2(key)
        case _:
            return AES(key)


def padding_size(block: bytes) -> int:
    """Octets of padding at the end of the last block (RFC 5652 section 6.3); 0 when they are wrong.

    Looks at every octet of the block whatever they say, so that the time does not tell where it is wrong.
    """
    claimed = block[-1]
    wrong = (claimed - 1 | len(block) - claimed) >> 8 & 0xFF
    for position, octet in enumerate(reversed(block)):
        within = (position - claimed) >> 8 & 0xFF
        wrong |= within & (octet ^ claimed)
    return claimed * (wrong == 0)


def _decrypt_pieces(update_into: Callable[[Buffer, memoryview], int], pieces: Pieces, size: int) -> memoryview:
    # numpy hands out memory without zeroing it first; a block more is room that `update_into` insists on.
    plain = np.empty(size + 16, np.uint8).data
    written = 0
    for bunch in _bunches(pieces):
        written += update_into(bunch, plain[written:])
    return plain[:size]


def _bunches(pieces: Pieces) -> Iterator[Buffer]:
    """The same octets in pieces that are worth a call."""
    waiting: list[memoryview] = []
    size = 0
    for piece in pieces:
        if waiting and size + len(piece) > _BUNCH_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
        if len(piece) >= _BUNCH_BYTES:
            yield piece
        else:
            waiting.append(piece)
            size += len(piece)
    if waiting:
        yield b"".join(waiting)


def _last_octets(pieces: Pieces, count: int) -> bytes:
    found = b""
    for piece in reversed(pieces):
        found = bytes(piece[-(count - len(found)) :]) + found
        if len(found) >= count:
            break
    return found
