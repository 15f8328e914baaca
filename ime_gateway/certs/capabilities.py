"""What a certificate says its owner's programs can read: SMIMECapabilities in an extension (RFC 4262).

Only what is stated there, or was learnt from a verified signature, makes us use AES-GCM: classic Outlook cannot
read it, and says nothing (RFC 8551 sections 2.5.2 and 2.7).
"""

from cryptography import x509

from ime_gateway.certs.certificate import Certificate

_SMIME_CAPABILITIES = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
_AES_256_GCM = bytes.fromhex("060960864801650304012e")
"""The DER encoding of id-aes256-GCM (RFC 5084 section 3.2), as it stands in a capability."""


def reads_gcm(certificate: Certificate) -> bool:
    """Whether the certificate lists AES-256-GCM; False when it lists nothing."""
    return certificate.keep("reads_gcm", lambda: _lists_gcm(certificate))


def _lists_gcm(certificate: Certificate) -> bool:
    try:
        extension = certificate.x509.extensions.get_extension_for_oid(_SMIME_CAPABILITIES)
    except x509.ExtensionNotFound:
        return False
    value = extension.value
    return isinstance(value, x509.UnrecognizedExtension) and _AES_256_GCM in value.value
