"""What a directory server says when it refuses, in sentences for whoever publishes or reads the address list.

Result codes are those of RFC 4511 appendix A; Active Directory hides the real reason of a refused login in the text of
the answer (`data 52e`, MS-ADTS section 3.1.1.3.1.9 and the Win32 error behind it).
"""

import re
import socket
import ssl
from collections.abc import Mapping

from addin_sim.address_list.errors import AddressListError


class LdapError(AddressListError):
    """`happened` is what went wrong, `advice` what to do, each without a full stop; `lost`: the connection broke, so
    what was asked last may have been done; `code`: the result code of RFC 4511 by name, empty when none came."""

    def __init__(self, happened: str, advice: str = "", *, lost: bool = False, code: str = "") -> None:
        self.happened = happened
        self.advice = advice
        self.lost = lost
        self.code = code
        super().__init__(". ".join(filter(None, (happened, advice))) + ".")

    def with_state(self, state: str) -> AddressListError:
        """The same with what the directory holds now between the two."""
        return AddressListError(". ".join(filter(None, (self.happened, state, self.advice))) + ".")


_AD_LOGINS = {
    "525": ("there is no such user", "correct user"),
    "52e": ("the password is wrong", "correct password (or what password_env names)"),
    "530": ("the user may not log in at this hour", "let its logon hours be widened"),
    "531": ("the user may not log in from this machine", "let its logon workstations be widened"),
    "532": ("the password has expired", "let it be renewed"),
    "533": ("the account is disabled", "let it be enabled"),
    "701": ("the account has expired", "let it be extended"),
    "773": ("the password must be changed at the next login", "let a permanent one be set"),
    "80090346": ("it wants a login that is bound to its TLS channel", 'set bind = "simple" in [address_list.ldap]'),
    "775": ("the account is locked after wrong passwords", "let it be unlocked"),
}
_ANSWERS = {
    "strongerAuthRequired": ("it takes no login without TLS", "use ldaps://, or ldap:// with starttls = true"),
    "confidentialityRequired": ("it takes no login without TLS", "use ldaps://, or ldap:// with starttls = true"),
    "inappropriateAuthentication": (
        "it does not take this kind of login",
        "choose another bind in [address_list.ldap]",
    ),
    "authMethodNotSupported": ("it does not take this kind of login", "choose another bind in [address_list.ldap]"),
    "insufficientAccessRights": (
        "the account has no right to do it",
        "give it rights on place as docs/address-list.md shows, or use another account",
    ),
    "noSuchObject": ("there is no such entry", "correct base and place in the settings"),
    "invalidDNSyntax": ("that is no distinguished name", "correct base and place in the settings"),
    "entryAlreadyExists": ("an entry of this name exists already", "publish again to see which one"),
    "sizeLimitExceeded": ("it gives no more answers at once", "choose a narrower base, or let the limit be raised"),
    "adminLimitExceeded": ("it gives no more answers at once", "choose a narrower base, or let the limit be raised"),
    "timeLimitExceeded": ("it took too long", "try again, or raise timeout_seconds"),
    "busy": ("it is busy", "try again later"),
    "unavailable": ("it is shutting down or cannot work now", "try again later"),
    "unwillingToPerform": ("it refuses to do this", "ask its administrator; perhaps it is a read-only copy"),
    "operationsError": ("it wants a login first", "set user and password in [address_list.ldap]"),
}


def refused(what: str, server: str, result: Mapping[str, object]) -> LdapError:
    """The error for a result that is not success. what: what was asked, as `login as x` or `change of DN`; server: its
    URL; result: as ldap3 gives it (`description`, `message`, `referrals`)."""
    code = str(result.get("description") or "no answer")
    text = " ".join(str(result.get("message") or "").split())
    if code == "invalidCredentials":
        reason, advice = _login_reason(text)
        return LdapError(f"{server} refuses the {what}: {reason}{_quoted(code, text)}", _in_settings(advice), code=code)
    if code == "referral":
        others = result.get("referrals")
        elsewhere = ", ".join(map(str, others)) if isinstance(others, list | tuple) and others else "another server"
        return LdapError(
            f"{server} does not hold this part of the directory, or cannot change it, and refers the {what} to "
            f"{elsewhere}",
            "Referrals are not followed, because they would carry the password elsewhere: name that server as url in "
            "[address_list.ldap], or correct base and place",
            code=code,
        )
    if code == "strongerAuthRequired" and "sign or seal" in text.lower():
        reason = "it wants Kerberos to sign each message besides TLS, which this program does not do"
        advice = 'Set bind = "simple" in [address_list.ldap], or let the server take SASL over TLS unsigned'
        return LdapError(f"{server} refuses the {what}: {reason}{_quoted(code, text)}", advice, code=code)
    reason, advice = _ANSWERS.get(code, ("it says", "ask the administrator of the directory"))
    return LdapError(f"{server} refuses the {what}: {reason}{_quoted(code, text)}", _in_settings(advice), code=code)


def unreachable(server: str, error: BaseException) -> LdapError:
    """The error for a connection that cannot be made."""
    return LdapError(
        f"{server} cannot be reached: {words(error)}",
        "See that the server runs and that url in [address_list.ldap] is right",
    )


def connection_lost(what: str, server: str, error: BaseException) -> LdapError:
    """The error for a connection that broke during the operation `what`."""
    return LdapError(
        f"The connection to {server} broke during the {what} ({words(error)})",
        "Run the same command again when the server is back; doing it twice does no harm",
        lost=True,
    )


def no_ticket(what: str, server: str, error: BaseException) -> LdapError:
    """The error for a Kerberos login that failed before the server was asked (RFC 4752)."""
    text = " ".join(str(error).split())
    found = re.search(r"Minor \(\d+\): (.+)", text)
    return LdapError(
        f"The {what} at {server} fails in Kerberos: {(found.group(1) if found else text)[:200].rstrip('.')}",
        "Get a ticket of that account with kinit, and let url in [address_list.ldap] be the full name of the server",
    )


def untrusted(server: str, ca_file: object, error: Exception) -> LdapError:
    """The error for a TLS handshake that failed (RFC 4513 section 3.1.3); nothing but the handshake was sent."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return LdapError(
            f"{server} does not begin TLS: {words(error)}",
            "See that the port is right: ldaps:// is port 636, ldap:// with StartTLS is port 389",
        )
    known = f"the CA in {ca_file}" if ca_file else "a CA that this system knows"
    if "mismatch" in error.verify_message or "not valid for" in error.verify_message:
        return LdapError(
            f"The certificate of {server} is for another name ({error.verify_message.rstrip('.')})",
            "Use the name in the certificate as url in [address_list.ldap]; the password was not sent",
        )
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        return LdapError(
            f"The certificate of {server} is out of time ({error.verify_message})",
            "Let it be renewed; the password was not sent",
        )
    return LdapError(
        f"The certificate of {server} is not signed by {known} ({error.verify_message})",
        "Name the certificate of the right CA as ca_file in [address_list.ldap]; the password was not sent",
    )


def words(error: BaseException) -> str:
    """The reason of an exception in one line, without the library's ornaments."""
    if isinstance(error, TimeoutError | socket.timeout) or "timed out" in str(error):
        return "it does not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    found = re.search(r"\[Errno -?\d+\] ([^'\"()\[\]]+)", text)
    return (found.group(1).strip() if found else text[:120]) or type(error).__name__


def _login_reason(text: str) -> tuple[str, str]:
    found = re.search(r"\bdata ([0-9a-fA-F]+)", text)
    reason = _AD_LOGINS.get(found.group(1).lower()) if found else None
    return reason or ("user or password is wrong", "correct user and password (or what password_env names)")


def _in_settings(advice: str) -> str:
    where = " in [address_list.ldap]" if advice.startswith("correct") else ""
    return f"{advice[0].upper()}{advice[1:]}".replace(" in the settings", "") + where


def _quoted(code: str, text: str) -> str:
    """The server's own words, for whoever searches the manual for them."""
    data = re.search(r"\bdata [0-9a-fA-F]+", text)
    own = data.group(0) if data else text[:120].rstrip(".")
    return f" ({code}: {own})" if own else f" ({code})"
