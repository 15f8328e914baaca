"""How Exchange says no: in the answer to one item, or as a SOAP fault for the whole request.

The codes are those of `ResponseCodeType`; the sentences are written as an administrator of Exchange knows them.
"""

from dataclasses import dataclass, field


@dataclass
class EwsError(Exception):
    """One refusal: the code that programs read, a sentence, and values such as BackOffMilliseconds."""

    code: str
    sentence: str
    values: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"


class EwsFault(EwsError):
    """A refusal of the whole request (HTTP status 500 and a SOAP fault)."""


def item_not_found() -> EwsError:
    """The item was deleted or moved: its id names nothing any more."""
    return EwsError(
        "ErrorItemNotFound",
        "The specified object was not found in the store., The process failed to get the correct properties.",
    )


def folder_not_found() -> EwsError:
    """No folder has this id or this well-known name."""
    return EwsError("ErrorFolderNotFound", "The specified folder could not be found in the store.")


def access_denied() -> EwsError:
    """The user may not open this mailbox."""
    return EwsError("ErrorAccessDenied", "Access is denied. Check credentials and try again.")
