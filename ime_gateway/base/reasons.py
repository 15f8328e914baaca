"""The closed list of reasons: why a recipient was or was not served, in one word each.

Replies, logs, the tracking page, `explain` and metrics all speak these words (design 6.6), so an
administrator who reads one of them can search the others. A reason says *why*; the evidence
(which certificate, which date) stands beside it in `detail`.
"""

from enum import StrEnum


class Reason(StrEnum):
    """One word for one decision; `sentence` explains it to a person."""

    PERSONAL_CERTIFICATE = "personal-certificate"
    DOMAIN_CERTIFICATE = "domain-certificate"
    NOT_REQUIRED = "not-required"
    PLAIN_OVERRULED = "plain-overruled"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_DENIED = "certificate-denied"
    CERTIFICATE_UNFIT = "certificate-unfit"
    CERTIFICATE_WEAK = "certificate-weak"
    REVOCATION_UNKNOWN = "revocation-unknown"
    METHOD_DISABLED = "method-disabled"
    METHOD_NOT_AVAILABLE = "method-not-available"
    RECIPIENT_IS_GROUP = "recipient-is-group"
    RECIPIENT_UNKNOWN = "recipient-unknown"
    SENDER_NOT_MANAGED = "sender-not-managed"
    FROM_MISMATCH = "from-mismatch"
    FROM_AMBIGUOUS = "from-ambiguous"
    NO_SENDER_CERTIFICATE = "no-sender-certificate"
    IME_NO_RECIPIENTS = "ime-no-recipients"
    IME_MALFORMED = "ime-malformed"
    IME_UNSIGNED = "ime-unsigned"
    IME_BAD_SIGNATURE = "ime-bad-signature"
    IME_SIGNER_UNKNOWN = "ime-signer-unknown"
    IME_SIGNER_MISMATCH = "ime-signer-mismatch"
    IME_REPLAY = "ime-replay"
    IME_TOO_OLD = "ime-too-old"
    IME_NESTED = "ime-nested"
    IME_TNEF = "ime-tnef"
    IME_CALENDAR = "ime-calendar"
    TOO_LARGE = "too-large"
    MALFORMED = "malformed"
    LOOP = "loop"
    RELAY_DENIED = "relay-denied"
    STORE_UNAVAILABLE = "store-unavailable"
    LOOKUP_TIMEOUT = "lookup-timeout"
    CIPHERTEXT_REUSED = "ciphertext-reused"
    DECRYPTED = "decrypted"
    NOT_ENCRYPTED = "not-encrypted"
    SIGNATURE_INVALID = "signature-invalid"
    DESKTOP_ENCRYPTED = "desktop-encrypted"
    KEY_EXCHANGE = "key-exchange"

    @property
    def sentence(self) -> str:
        """One sentence for people: what it means and, where somebody can act, what to do."""
        return _SENTENCES[self]

    def sentence_with(self, detail: str) -> str:
        """`sentence (detail)`; evidence that only repeats the sentence is left out."""
        said = detail.strip().rstrip(".")
        return self.sentence if said.casefold() in self.sentence.casefold() else f"{self.sentence} ({said})"


_SENTENCES: dict[Reason, str] = {
    Reason.PERSONAL_CERTIFICATE: "Encrypted with the recipient's own S/MIME certificate.",
    Reason.DOMAIN_CERTIFICATE: "Encrypted with the certificate of the recipient's domain.",
    Reason.NOT_REQUIRED: "No policy and no sender asked for protection; the mail passes as it came.",
    Reason.PLAIN_OVERRULED: "The sender asked for plain mail, but policy demands encryption.",
    Reason.NO_CERTIFICATE: "No certificate is known for this recipient; ask the administrator to add one.",
    Reason.CERTIFICATE_EXPIRED: "The recipient's certificate has expired; a renewed one is needed.",
    Reason.CERTIFICATE_NOT_YET_VALID: "The recipient's certificate is not valid yet.",
    Reason.CERTIFICATE_REVOKED: "The recipient's certificate was revoked by its issuer.",
    Reason.CERTIFICATE_UNTRUSTED: "The recipient's certificate leads to no trusted root and is not on the trust list.",
    Reason.CERTIFICATE_DENIED: "The recipient's certificate, or its issuer, is denied by the trust list.",
    Reason.CERTIFICATE_UNFIT: "The recipient's certificate is not made for encrypting mail.",
    Reason.CERTIFICATE_WEAK: "The recipient's certificate uses a key or signature that is too weak.",
    Reason.REVOCATION_UNKNOWN: "Whether the certificate was revoked could not be found out.",
    Reason.METHOD_DISABLED: "This protection is switched off by policy.",
    Reason.METHOD_NOT_AVAILABLE: "This version of the gateway cannot do what was asked.",
    Reason.RECIPIENT_IS_GROUP: "The recipient is a distribution group; address its members instead.",
    Reason.RECIPIENT_UNKNOWN: "The recipient is not known here.",
    Reason.SENDER_NOT_MANAGED: "The envelope sender is not in a domain that this gateway serves.",
    Reason.FROM_MISMATCH: "The envelope sender is neither in From nor in Sender.",
    Reason.FROM_AMBIGUOUS: "The message has no From, several, or one that programs read differently.",
    Reason.NO_SENDER_CERTIFICATE: "The sender has no usable certificate of their own.",
    Reason.IME_NO_RECIPIENTS: (
        "The message names no recipients; a system between Outlook and here may remove X-headers."
    ),
    Reason.IME_MALFORMED: "The list of recipients, or the container, cannot be read safely.",
    Reason.IME_UNSIGNED: "The container is not signed.",
    Reason.IME_BAD_SIGNATURE: "The signature of the container is not valid.",
    Reason.IME_SIGNER_UNKNOWN: "The certificate that signed the container is not known for this sender.",
    Reason.IME_SIGNER_MISMATCH: "The container was signed by somebody else than its sender.",
    Reason.IME_REPLAY: "This container was already processed for another sender.",
    Reason.IME_TOO_OLD: "The times of the container do not fit: it is too old, or a clock is wrong.",
    Reason.IME_NESTED: "A container lies inside the container.",
    Reason.IME_TNEF: "The message is in Outlook's own format (winmail.dat); send it as HTML or plain text.",
    Reason.IME_CALENDAR: "Invitations cannot be encrypted internally; send a normal message instead.",
    Reason.TOO_LARGE: "The message is larger than this gateway or the next server accepts.",
    Reason.MALFORMED: "The message breaks the mail standards in a way that is not safe to pass on.",
    Reason.LOOP: "The message has been here too often; two systems send it to each other.",
    Reason.RELAY_DENIED: "This peer may not send mail from that sender to that recipient here.",
    Reason.STORE_UNAVAILABLE: "The message could not be stored safely; it will be accepted later.",
    Reason.LOOKUP_TIMEOUT: "An answer that is needed for the decision did not come in time.",
    Reason.CIPHERTEXT_REUSED: "The encrypted content was seen before in another message.",
    Reason.DECRYPTED: "It came encrypted and was opened here for its recipient.",
    Reason.NOT_ENCRYPTED: (
        "Mail from this partner must come encrypted, and this one did not; ask its sender to encrypt it."
    ),
    Reason.SIGNATURE_INVALID: "The signature of the mail does not hold, and policy refuses such mail.",
    Reason.DESKTOP_ENCRYPTED: (
        "The mail is encrypted to a key that is not on this gateway, and policy refuses what cannot be scanned."
    ),
    Reason.KEY_EXCHANGE: "The mail was for the gateway itself: it exchanges certificates, nobody reads it.",
}
