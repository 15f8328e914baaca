"""Does the mail server behind us know a recipient? Asked at RCPT, so that mail to nobody is refused to its sender's
server instead of being accepted and reported to whoever the sender claims to be (RFC 5321 section 6.2)."""

from typing import Literal, Protocol

from ime_gateway.mail.address import Address

Knowledge = Literal["known", "unknown", "unsure", "unasked"]
"""It takes the recipient; it says that there is no such mailbox; it says anything else; it could not be asked: there
was no connection, no answer in time, or it takes no such mail from us."""


class RecipientProbe(Protocol):
    """Asks mail servers about recipients; never raises for what a server does."""

    async def ask(self, route: str, recipient: Address, *, use_tls: bool) -> Knowledge:
        """Ask the server of `route` (`smtp://HOST[:PORT]`), without sending mail."""
        ...
