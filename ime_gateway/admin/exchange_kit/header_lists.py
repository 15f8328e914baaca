"""Which of our headers Exchange must neither take from outsiders nor show to them.

The header firewall of Exchange guards `X-MS-Exchange-Organization-*` and `-Forest-*` only. What the gateway and the
add-in say to each other is ordinary to it, so rules do the same for these. The gateway removes all of them from
outsiders' mail; the rules are for mail that never passes it (design 6.4, promise P5).
"""

from typing import Final, NamedTuple


class GuardedHeader(NamedTuple):
    """A header field and why it is guarded."""

    name: str
    why: str


BLIND: Final = (
    GuardedHeader("X-SM-ORIGTO", "the recipients of an IME 1.0 mail"),
    GuardedHeader("X-SM-ORIGCC", "the recipients of an IME 1.0 mail"),
    GuardedHeader("X-SM-ORIGBCC", "the blind recipients of an IME 1.0 mail: nobody may ever see them"),
)
"""Written by the add-in; the gateway reads and removes them."""
STATUS: Final = (
    GuardedHeader("X-SM-incoming", "says that the gateway took the mail from outside"),
    GuardedHeader("X-SM-internal", "says that the gateway handled the mail inside"),
    GuardedHeader("X-SM-outgoing", "says that the mail left through the gateway"),
    GuardedHeader("X-SM-encrypted", "says that the gateway encrypted the mail"),
    GuardedHeader("X-SM-decrypted", "says that the mail came encrypted and was opened"),
    GuardedHeader("X-ESWmail-InternalEncrypt", "marks internally encrypted mail"),
    GuardedHeader("X-ESWmail-InternalEncrypt-sentcopy", "the add-in files such a mail in Sent Items"),
    GuardedHeader("X-ESWmail-Encrypted", "marks mail of the portal"),
    GuardedHeader("X-IMEGW-Encryption", "how the mail was encrypted when it came"),
    GuardedHeader("X-IMEGW-Signature", "what was found about its signature"),
    GuardedHeader("X-IMEGW-Signed", "whether it was signed, and whether that was good"),
    GuardedHeader("X-IMEGW-Clear", "a partner's mail that should have been encrypted came readable"),
    GuardedHeader("X-IMEGW-Reused", "its ciphertext came before in another mail"),
    GuardedHeader("X-IMEGW-Challenge", "the gateway asks the add-in whether a certificate is its user's"),
    GuardedHeader("X-IMEGW-Challenge-Certificate", "the certificate of that question"),
)
"""Written by the gateway only; forged, they would be a false seal."""
FROM_OUTSIDE: Final = STATUS
"""Removed from unauthenticated mail that did not come from the gateway. The ORIG headers are not among them: on such
mail nothing reads them, because unauthenticated mail to an IME address is refused."""
TO_OUTSIDE: Final = (*BLIND, *STATUS)
"""Removed from mail that leaves the organisation, unless it goes to an IME address. Control headers such as x-smenc
are not among them: on the way to the gateway they ask for encryption, and without them mail would leave in clear."""
TRACE: Final = "X-IMEGW-Trace"
"""Shows that a mail went through the gateway already. It is never removed: it ends loops."""
