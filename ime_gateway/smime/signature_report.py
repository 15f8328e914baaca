"""What verification says of each signature: the words in which a forged mail differs from an outdated one.

Who signed, whether the signature holds, and what is wrong with it, signer by signer (RFC 5652 section 5.6).
Nothing here says whether the signer is trusted (`keys/signer`) or is the author of the mail: a signature that
holds proves only that the owner of a key signed these octets.
"""

from dataclasses import dataclass
from enum import StrEnum

from ime_gateway.certs.certificate import Certificate


class SignatureFault(StrEnum):
    """Why a signature is not intact. The closed list, one sentence each; empty for none."""

    NONE = ""
    NO_CONTENT = "there is no content that the signature could cover"
    TWO_CONTENTS = "the signature brings content of its own beside the content that is shown"
    NOT_MAIL_CONTENT = "the signature is about something else than mail"
    NO_CERTIFICATE = "the certificate of the signer is missing"
    AMBIGUOUS_CERTIFICATE = "several certificates answer to the name of the signer"
    OTHER_CERTIFICATE = "the signature was made for another certificate"
    UNKNOWN_DIGEST = "the digest algorithm is not known"
    UNKNOWN_SIGNATURE = "the signature algorithm is not known"
    BAD_PARAMETERS = "the parameters of the algorithms are not allowed"
    ALGORITHMS_DISAGREE = "digest and signature algorithm do not go together"
    NOT_THIS_KEY = "the key of the certificate is of another kind than the signature"
    UNKNOWN_KEY = "the key of the certificate cannot be used"
    DUPLICATE_ATTRIBUTE = "a signed attribute is there twice"
    MALFORMED_ATTRIBUTE = "a signed attribute cannot be read"
    NO_CONTENT_TYPE = "the signed attributes do not name the content type"
    OTHER_CONTENT_TYPE = "the signed attributes name another content type"
    NO_MESSAGE_DIGEST = "the signed attributes have no digest of the content"
    ATTRIBUTES_NEEDED = "content of this type must be signed with attributes"
    ATTRIBUTES_AS_CONTENT = "the content is the signed attributes of another message"
    CONTENT_CHANGED = "the content is not what was signed"
    WRONG_SIGNATURE = "the signature does not match"
    WEAK_DIGEST = "the digest algorithm can be forged"
    WEAK_KEY = "the key of the signer is too weak"
    FROM_THE_FUTURE = "the signature is dated in the future"
    TOO_MANY = "there are too many signatures"


@dataclass(frozen=True, slots=True)
class SignerVerdict:
    """One signature, judged alone."""

    intact: bool
    """The owner of the key of `certificate` signed this content, by algorithms that cannot be forged."""
    fault: SignatureFault
    """Why it is not; `NONE` exactly when intact."""
    certificate: Certificate | None
    """Whom the signature names. Without `intact` that is a claim."""
    signing_time: float | None
    """Seconds since 1970 UTC as the signer says; None when it does not, or when not intact."""
    digest_algorithm: str
    """`sha256`, ...; the dotted name when unknown."""
    message_digest: bytes
    """Of the content by that algorithm; empty when it was not made."""
    attributes_signed: bool
    key_digest: str
    """Hexadecimal SHA-256 of the signer's SubjectPublicKeyInfo; empty without certificate."""
    capabilities: bytes | None
    """SMIMECapabilities in DER as signed (RFC 8551 section 2.5.2); None without, or when not intact."""
    preferred: Certificate | None
    """The carried certificate that the signer prefers for encryption (section 2.5.3); None as above. A wish of the
    signer: never a reason to trust that certificate."""


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """All signatures of one SignedData, in its order. No signers: nothing is signed."""

    signers: tuple[SignerVerdict, ...]
    certificates: tuple[Certificate, ...]
    """Those carried along that can be read, each once. Anybody may have put them there: unsigned."""
