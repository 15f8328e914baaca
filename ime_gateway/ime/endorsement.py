"""A signer that brings its successor: the certificate of a new machine, named in a container that the old one signed.

The inner header `X-IMEGW-New-Signer` holds the base64 of one DER certificate. It stands under the signature of a signer
who is known for the person, so the person vouches for the new one as they would by answering a challenge. The header is
ours (`x-imegw-`), so it is stripped from everything that goes on.
"""

import binascii

from ime_gateway.base.errors import UnreadableCertificate
from ime_gateway.certs.certificate import Certificate
from ime_gateway.mail.headers import HeaderBlock

NEW_SIGNER_HEADER = "X-IMEGW-New-Signer"
_LONGEST = 32_768


def new_signer(headers: HeaderBlock) -> Certificate | None:
    """The certificate that is endorsed; None when there is no such header.

    Raises UnreadableCertificate when there are several, or it holds no certificate.
    """
    fields = headers.all(NEW_SIGNER_HEADER)
    if not fields:
        return None
    if len(fields) > 1:
        raise UnreadableCertificate(f"{NEW_SIGNER_HEADER} is there {len(fields)} times")
    value = b"".join(fields[0].value.split())
    if len(value) > _LONGEST:
        raise UnreadableCertificate(f"{NEW_SIGNER_HEADER} is longer than {_LONGEST} bytes")
    try:
        encoded = binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error as error:
        raise UnreadableCertificate(f"{NEW_SIGNER_HEADER} is no base64") from error
    return Certificate.from_der(encoded)
