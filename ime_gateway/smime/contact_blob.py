"""The value of `userSMIMECertificate` in an address list: certificate and capabilities in one signed object.

RFC 2798 section 2.8: a SignedData of type id-data with the content left out, the certificate and those above it
inside, and SMIMECapabilities as a signed attribute; MS-OXOABK section 2.2.4.36 adds that the certificate's own key
signs it. Outlook reads it before `userCertificate`, so an old value must never stay beside a new certificate.
"""

from ime_gateway.certs.capabilities import own_capabilities
from ime_gateway.smime.sign import SigningKey, sign_detached


def contact_blob(key: SigningKey, moment: float) -> bytes:
    """The attribute value in DER for the certificate of `key`, signed with that key.

    moment: the signing time, seconds since 1970 UTC.
    """
    return sign_detached((), key, moment=moment, capabilities=own_capabilities())
