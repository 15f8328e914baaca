"""Certificate requests (PKCS#10, RFC 2986) for CAs of others, and finding the key that a certificate belongs to.

The key never leaves the gateway: the request goes out, the certificate comes in (RFC 5967 for the file).
"""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.key_kinds import SigningPrivateKey, digest_for
from ime_gateway.certs.profile import mail_extensions, mailbox_subject
from ime_gateway.mail.address import parse_path


def make_request(addresses: Sequence[str], private_key: SigningPrivateKey) -> bytes:
    """A request in DER for a certificate with these addresses, the first of which names it. The wanted extensions
    stand in it (RFC 2985 section 5.4.2), though most CAs go by their own profile. Raises UnreadableMail."""
    mailboxes = [parse_path(address) for address in addresses]
    subject = mailbox_subject(mailboxes[0])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    wanted = mail_extensions(mailboxes, subject, private_key.public_key(), opened_here=False)
    for extension, critical in wanted:
        if isinstance(extension, x509.SubjectKeyIdentifier | x509.BasicConstraints):
            continue  # the CA's business
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(private_key, digest_for(private_key)).public_bytes(Encoding.DER)


def request_pem(request: bytes) -> bytes:
    """A request as text (RFC 7468 section 7), which every CA's form takes."""
    return x509.load_der_x509_csr(request).public_bytes(Encoding.PEM)


def answers(certificate: Certificate, request: bytes) -> bool:
    """Whether a certificate is for the key of a request."""
    if certificate.key_kind == "unknown":
        return False
    asked = x509.load_der_x509_csr(request).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key.public_bytes(*form) == asked.public_bytes(*form)
