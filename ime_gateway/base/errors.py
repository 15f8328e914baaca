"""The errors that cross floors.

    GatewayError
    |-- ConfigurationError    the administrator's file is wrong: no start, key and line named
    |-- UserError             a command was refused; the sentence says what to do
    |-- StoreUnavailable      database, disk or master key cannot be used now: 451, nothing lost
    |-- UnreadableMail        bytes that are no message we could handle safely
    |-- UnreadableCms         bytes that are no CMS object we could handle safely
    |-- UnreadableCertificate bytes that are no certificate or key that we can read
    |-- AlreadySeen           a container that was accepted before, found while committing it
    |-- OpenedForOthers       a content key that was opened for somebody else meanwhile, found while committing it
    `-- OtherSignerFirst      a first container whose sender got another signer meanwhile, found while committing it

Every error has two voices: `str(error)` is one sentence that may be shown to whoever asked,
`evidence` is for the log.
"""


class GatewayError(Exception):
    """Base of all errors that the gateway raises on purpose."""

    def __init__(self, sentence: str, evidence: str = "") -> None:
        super().__init__(sentence)
        self.evidence = evidence


class ConfigurationError(GatewayError):
    """A file of the administrator cannot be used; names file, key and line where known."""


class UserError(GatewayError):
    """A command cannot be carried out; the sentence says why and what to do instead."""


class StoreUnavailable(GatewayError):
    """The store cannot read or write now; the peer hears 451 and keeps its message."""


class UnreadableMail(GatewayError):
    """The bytes cannot be read as mail without guessing."""


class UnreadableCertificate(GatewayError):
    """The bytes hold no certificate or private key, or the password does not open them."""


class UnreadableCms(GatewayError):
    """The bytes are no CMS object (RFC 5652), or one beyond our limits; says nothing of keys or content."""


class AlreadySeen(GatewayError):
    """This container was accepted before, perhaps by another worker a moment ago; nothing was written."""


class OtherSignerFirst(GatewayError):
    """Another certificate became known for this person before the first use of this one; nothing was written."""


class OpenedForOthers(GatewayError):
    """A content key of this mail was opened for other recipients a moment ago; nothing was written."""
