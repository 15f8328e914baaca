"""Private keys of ours as mail is opened with them: loaded in one way, wherever it comes in.

A key that cannot be read must never look like mail that was not for us, which would pass sealed for good (RFC 5652
section 6.2): the store is in trouble, and the peer comes again.
"""

from ime_gateway.base.errors import StoreUnavailable, UnreadableCertificate
from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.owned_key import OwnedKey


def owned_key(certificate: Certificate, private_key: bytes) -> OwnedKey:
    """The key pair (private_key: PKCS#8 DER) from the store. One that only signs is in nobody's way: no mail is
    encrypted to it. Raises StoreUnavailable when it cannot be read."""
    try:
        return OwnedKey.from_pkcs8(certificate, private_key)
    except UnreadableCertificate as error:
        raise StoreUnavailable("a private key cannot be read", error.evidence or str(error)) from error
