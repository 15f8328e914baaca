"""What goes wrong with a contacts folder of Exchange, said to people: what happened, and what to do about it.

A refusal (MS-OXWSCDATA, ResponseCodeType) says for certain that nothing was written; a connection that breaks in the
middle of a request does not. The two must never be mixed up: who is told that nothing was changed believes it.
"""

from exchangelib.errors import (
    ErrorAccessDenied,
    ErrorCreateItemAccessDenied,
    ErrorFolderExists,
    ErrorFolderNotFound,
    ErrorIrresolvableConflict,
    ErrorItemNotFound,
    ErrorNonExistentMailbox,
    ErrorQuotaExceeded,
    ErrorServerBusy,
    TransportError,
    UnauthorizedError,
)

from addin_sim.address_list.errors import AddressListError

_AGAIN = "Run the command again"


class UnconfirmedError(AddressListError):
    """The connection broke while something was written: `happened` and `advice` without what the folder holds now."""

    def __init__(self, happened: str, advice: str) -> None:
        self.happened = happened
        self.advice = advice
        super().__init__(f"{happened}. What the folder holds now is not known. {advice}.")

    def with_state(self, state: str) -> AddressListError:
        """The same with what the folder holds now between the two; `state` has its full stop."""
        return AddressListError(f"{self.happened}. {state} {self.advice}.")


def in_words(sentence: str, cause: BaseException | None, place: str) -> tuple[str, str]:
    """What happened in `place` and what to do, each without a full stop; `sentence` is the session's own account."""
    match cause:
        case ErrorAccessDenied() | ErrorCreateItemAccessDenied():
            return (
                f"The account has no right to do this in {place}",
                "Let the owner of the folder give it the role Publishing Editor, or use another account",
            )
        case ErrorFolderNotFound():
            return (
                f"Exchange shows the account no place for {place}",
                "Let the owner of the mailbox give it the right to see the folder, or correct [address_list.ews]",
            )
        case ErrorIrresolvableConflict() | ErrorItemNotFound():
            return f"Somebody changed the contact in {place} in the meantime", _AGAIN
        case ErrorFolderExists():
            return f"Somebody made {place} in the meantime", _AGAIN
        case ErrorQuotaExceeded():
            return f"There is no room left for {place}", "Make room in that mailbox, then run the command again"
        case _:
            return sentence, advice(sentence, cause)


def advice(sentence: str, cause: BaseException | None) -> str:
    """What to do, without a full stop, when the server cannot be asked.

    Failures of the connection differ in their words alone."""
    if isinstance(cause, UnauthorizedError):
        return "Correct user, password (or what password_env names) and auth in [address_list.ews]"
    if isinstance(cause, ErrorNonExistentMailbox):
        return "Correct mailbox in [address_list.ews]"
    if isinstance(cause, ErrorServerBusy) and "the server is busy" in sentence:
        return f"{_AGAIN} when the server has less to do"
    if any(words in sentence for words in ("CA certificate bundle", "certificate is not trusted", "[SSL", "[X509")):
        return "Name the certificate of its CA as ca_file in [address_list.ews]"
    if isinstance(cause, TransportError) and "it answers HTTP 4" in sentence:
        return "Correct url in [address_list.ews]"
    return "See that the server can be reached, then run the command again"
