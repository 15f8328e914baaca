"""Opens the S/MIME layers of a mail from the outside in: encrypted, signed, compressed (RFC 8551 section 3.7).

What each layer was and whether its signature covers everything is told; whether anybody is to be
trusted is decided elsewhere. Only an entity that is a layer as a whole is opened, never a part among
others: text beside an encrypted part could carry off what comes out of it (EFAIL, CVE-2017-17689).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal

from ime_gateway.base.errors import UnreadableCms, UnreadableMail
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.message import Message
from ime_gateway.smime.compressed import CompressionLimits, decompress
from ime_gateway.smime.decrypt import LegacyPolicy, Undecryptable, decrypt
from ime_gateway.smime.entity import DATA, SignedEntity, cms_object, opaque_entity, read_entity, signed_entity
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.read import read_cms
from ime_gateway.smime.signature_report import SignatureReport
from ime_gateway.smime.structures import CmsLimits, Compressed, Enveloped, OtherContent, Signed
from ime_gateway.smime.verify import verify

End = Literal["open", "partly-signed", "undecryptable", "unreadable", "too-deep", "too-large"]
"""`open`: the innermost entity was reached. `partly-signed`: a signature covers less than the body, and what stands
beside it was left as it is. The others: a layer is there that could not be opened."""


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """What opening may cost."""

    layers: int = 10
    total_bytes: int = 419_430_400
    """Content of all layers together."""
    cms: CmsLimits = field(default_factory=CmsLimits)
    compression: CompressionLimits = field(default_factory=CompressionLimits)


@dataclass(frozen=True, slots=True)
class EncryptedLayer:
    """A layer that one of the keys opened."""

    inside: Message = field(repr=False)
    integrity: bool
    """The cipher proved that nobody changed the content on the way (AEAD); it does not say who wrote it."""
    cipher: str
    key_method: str
    opened_with: str
    """Thumbprint of the certificate whose key opened it."""
    encrypted_key_digest: str
    """SHA-256 in hexadecimal of the encrypted key that was used."""
    legacy: bool
    """The cipher is one that nobody should use any more."""
    encrypted_key_digests: tuple[str, ...] = ()
    """The same of every encrypted key that names one of the keys given: each of them opens this content."""
    content_digest: str = ""
    """SHA-256 in hexadecimal of the encrypted content with its cipher, vector and tag: other content under the same
    encrypted key is somebody's change."""


@dataclass(frozen=True, slots=True)
class SignedLayer:
    """A layer with signatures, good or bad."""

    inside: Message = field(repr=False)
    report: SignatureReport
    detached: bool
    whole_body: bool
    """The signatures cover everything that a reader of this layer sees."""


@dataclass(frozen=True, slots=True)
class CompressedLayer:
    """A layer that was compressed."""

    inside: Message = field(repr=False)


Layer = EncryptedLayer | SignedLayer | CompressedLayer


@dataclass(frozen=True, slots=True)
class Opened:
    """A mail with its layers taken off."""

    layers: tuple[Layer, ...]
    """From the outside in."""
    message: Message = field(repr=False)
    """The entity behind the last layer: the mail itself when there is none."""
    end: End
    evidence: str = ""
    """For the log, when a layer could not be opened. Outside, all ends but `open` look the same: anything finer
    would tell an attacker about plaintext or padding."""
    for_others: bool = False
    """It ended at an encryption that names none of the keys: anybody could see that from outside."""

    @property
    def encrypted(self) -> bool:
        """At least one layer was encrypted."""
        return any(isinstance(layer, EncryptedLayer) for layer in self.layers)

    @property
    def authentic(self) -> bool:
        """Nobody could have changed `message` on the way through its innermost encryption: that proves integrity
        itself, or an intact signature inside covers everything. False without encryption and without signature."""
        for layer in reversed(self.layers):
            match layer:
                case SignedLayer():
                    if layer.whole_body and layer.report.signers and all(s.intact for s in layer.report.signers):
                        return True
                case EncryptedLayer():
                    return layer.integrity
                case CompressedLayer():
                    continue
        return False


def open_layers(
    message: Message,
    keys: Sequence[OwnedKey],
    limits: LayerLimits,
    randomness: Callable[[int], bytes],
    *,
    known: Sequence[Certificate] = (),
    moment: float | None = None,
    legacy: LegacyPolicy | None = None,
) -> Opened:
    """Take off layer after layer until an entity that is none, or one that cannot be opened.

    keys: only those that may open this mail (P8). known and moment as in `smime.verify`. Content of a
    layer is looked at when the whole of it was read: authenticated ciphers have proved it by then, CBC
    has not, and `authentic` says so. Nothing is raised: a broken layer ends the walk.
    """
    tools = _Tools(keys, randomness, known, moment, legacy or LegacyPolicy())
    return _Walk(tools, limits).run(message)


@dataclass(frozen=True, slots=True)
class _Tools:
    """What opening and judging needs from outside."""

    keys: Sequence[OwnedKey] = field(repr=False)
    randomness: Callable[[int], bytes]
    known: Sequence[Certificate]
    moment: float | None
    legacy: LegacyPolicy


class _Walk:
    """The state of one walk."""

    def __init__(self, tools: _Tools, limits: LayerLimits) -> None:
        self._tools = tools
        self._limits = limits
        self._room = limits.total_bytes
        self._layers: list[Layer] = []

    def run(self, message: Message) -> Opened:
        """Go inwards; every turn takes one layer off."""
        while True:
            try:
                step = self._next(message)
            except (UnreadableMail, UnreadableCms) as error:
                return self._end(message, "unreadable", f"{error} {error.evidence}".strip())
            match step:
                case Undecryptable():
                    told = self._end(message, "undecryptable", f"{step.cause} {step.evidence}".strip())
                    return replace(told, for_others=step.cause == "no-key")
                case None:
                    return self._end(message, "open")
                case str():
                    return self._end(message, step)
            self._layers.append(step)
            if isinstance(step, SignedLayer) and not step.whole_body:
                return self._end(message, "partly-signed")
            message = step.inside

    def _end(self, message: Message, end: End, evidence: str = "") -> Opened:
        return Opened(tuple(self._layers), message, end, evidence)

    def _next(self, message: Message) -> Layer | Undecryptable | Literal["too-deep", "too-large"] | None:
        """The layer that this entity is, taken off; None when it is none."""
        octets = cms_object(message)
        if octets is None:
            signed = signed_entity(message, self._limits.cms)
            if signed is None:
                return None
            return "too-deep" if self._is_full else self._signed(signed)
        cms = read_cms(octets, self._limits.cms)
        if isinstance(cms, OtherContent) or (isinstance(cms, Signed) and cms.content is None and not cms.signers):
            return None  # certificates only (RFC 8551 section 3.8), or nothing that mail knows
        if self._is_full:
            return "too-deep"
        match cms:
            case Enveloped():
                return self._decrypted(cms) if self._take(sum(map(len, cms.ciphertext))) else "too-large"
            case Signed():
                taken = self._take(sum(map(len, cms.content or ())))
                return self._signed(opaque_entity(cms)) if taken else "too-large"
            case Compressed():
                return self._decompressed(cms)

    @property
    def _is_full(self) -> bool:
        return len(self._layers) >= self._limits.layers

    def _take(self, size: int) -> bool:
        """Count content; False when there is no room left for it."""
        self._room -= size
        return self._room >= 0

    def _decrypted(self, envelope: Enveloped) -> EncryptedLayer | Undecryptable:
        result = decrypt(envelope, self._tools.keys, legacy=self._tools.legacy, randomness=self._tools.randomness)
        if isinstance(result, Undecryptable):
            return result
        if result.content_type != DATA:
            raise UnreadableCms("what is encrypted is no mail", f"content type {result.content_type}")
        return EncryptedLayer(
            inside=read_entity(result.content),
            integrity=result.integrity,
            cipher=result.cipher,
            key_method=result.key_method,
            opened_with=result.opened_with,
            encrypted_key_digest=result.encrypted_key_digest,
            legacy=result.legacy,
            encrypted_key_digests=result.encrypted_key_digests,
            content_digest=_content_digest(envelope),
        )

    def _signed(self, signed: SignedEntity) -> SignedLayer:
        content = signed.content if signed.detached else None
        report = verify(signed.signed, content, self._tools.known, moment=self._tools.moment)
        return SignedLayer(signed.entity, report, signed.detached, signed.whole_body)

    def _decompressed(self, compressed: Compressed) -> CompressedLayer | Literal["too-large"]:
        if compressed.content_type != DATA:
            raise UnreadableCms("what is compressed is no mail", f"content type {compressed.content_type}")
        limits = self._limits.compression
        room = min(limits.most_bytes, self._room)
        if room <= 0:
            return "too-large"
        content = decompress(compressed, CompressionLimits(room, limits.ratio, min(limits.free_bytes, room)))
        self._take(len(content))
        return CompressedLayer(read_entity(content))


def _content_digest(envelope: Enveloped) -> str:
    algorithm = envelope.algorithm
    digest = sha256(f"{algorithm.oid} {envelope.content_type}\n".encode())
    for fixed in (algorithm.parameters, envelope.authenticated_attributes, envelope.tag):
        digest.update(sha256(fixed or b"").digest())
    for piece in envelope.ciphertext:
        digest.update(piece)
    return digest.hexdigest()


__all__ = [
    "CompressedLayer",
    "EncryptedLayer",
    "Layer",
    "LayerLimits",
    "Opened",
    "SignedLayer",
    "open_layers",
]
