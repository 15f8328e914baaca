"""Hands a finished mail to the mail server and reports its reply as it was spoken (RFC 6409)."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from addin_sim.outlook_settings import Submission


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the mail for every recipient."""

    reply: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The server did not take the mail; nothing was sent."""

    reply: str
    """What the server said; empty when it could not be asked."""
    sentence: str
    """The same for a reader, with its full stop."""
    for_good: bool = False
    """The mail itself was refused; else (no connection, no login, 4xx) it may be taken later."""


def submit(server: Submission, sender: str, recipients: Sequence[str], data: bytes) -> Accepted | Refused:
    """Submit one mail with CRLF line ends for all recipients or for none."""
    try:
        with smtplib.SMTP(server.host, server.port, timeout=server.timeout_seconds) as connection:
            return _converse(connection, server, sender, recipients, data)
    except smtplib.SMTPResponseException as error:
        return _refusal("The mail server refused the conversation", error.smtp_code, error.smtp_error)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:  # a login in letters beyond ASCII
        return Refused("", ended(f"The mail server {server.host}:{server.port} cannot be used: {error}"))


def ended(text: str) -> str:
    """With a full stop, unless a server's own words brought one: another sentence may follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _converse(
    connection: smtplib.SMTP, server: Submission, sender: str, recipients: Sequence[str], data: bytes
) -> Accepted | Refused:
    connection.ehlo_or_helo_if_needed()
    if server.starttls:
        connection.starttls(context=ssl.create_default_context(cafile=server.ca_file))
        connection.ehlo()
    if server.user:
        connection.login(server.user, server.secret)
    code, text = connection.mail(sender, _parameters(connection, data))
    if code != 250:
        return _refusal(f"The mail server refused the sender {sender}", code, text, of_mail=True)
    for recipient in recipients:
        code, text = connection.rcpt(recipient)
        if code // 100 != 2:
            return _refusal(f"The mail server refused the recipient {recipient}", code, text, of_mail=True)
    code, text = connection.data(data)
    if code != 250:
        return _refusal("The mail server refused the mail", code, text, of_mail=True)
    return Accepted(_spoken(code, text))


def _parameters(connection: smtplib.SMTP, data: bytes) -> list[str]:
    """What must be said about 8-bit mail, where the server knows the words (RFC 6152, RFC 6531)."""
    parameters = []
    header, _, body = data.partition(b"\r\n\r\n")
    if connection.has_extn("size"):
        parameters.append(f"SIZE={len(data)}")
    if connection.has_extn("8bitmime") and not (header.isascii() and body.isascii()):
        parameters.append("BODY=8BITMIME")
    if connection.has_extn("smtputf8") and not header.isascii():
        parameters.append("SMTPUTF8")
    return parameters


def _spoken(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"


def _refusal(what: str, code: int, text: bytes | str, *, of_mail: bool = False) -> Refused:
    reply = _spoken(code, text)
    return Refused(reply, ended(f"{what}: {reply}"), of_mail and code // 100 == 5)
