"""Whose certificate is it: all e-mail addresses in it, read as tolerantly as real certificates need.

RFC 8550 section 3 names two places, the subjectAltName and the emailAddress attributes of the subject,
and RFC 9598 a third for non-ASCII local parts (SmtpUTF8Mailbox). Certificates in the field have
several emailAddress values, spaces around them, capitals in the domain, and no subjectAltName at all.
A value that is no address is skipped: it can never be equal to a recipient.
"""

from cryptography import x509
from cryptography.x509.oid import NameOID

from ime_gateway.base.errors import UnreadableCertificate, UnreadableMail
from ime_gateway.certs import der
from ime_gateway.mail.address import parse_path

_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
_UTF8_STRING = 0x0C


def read_addresses(certificate: x509.Certificate, extensions: x509.Extensions) -> tuple[str, ...]:
    """Address keys (`Address.key`) in the certificate, each once, subjectAltName first."""
    keys: dict[str, None] = {}
    for text in (*_alternative_names(extensions), *_subject_addresses(certificate)):
        try:
            keys[parse_path(text.strip()).key] = None
        except UnreadableMail:
            continue
    return tuple(keys)


def _alternative_names(extensions: x509.Extensions) -> list[str]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    found = list(names.get_values_for_type(x509.RFC822Name))
    for other in names.get_values_for_type(x509.OtherName):
        if other.type_id == _SMTP_UTF8_MAILBOX:
            found.extend(_utf8_string(other.value))
    return found


def _utf8_string(encoded: bytes) -> list[str]:
    try:
        element = der.read_element(encoded, 0, len(encoded))
        if element.tag == _UTF8_STRING and element.end == len(encoded):
            return [encoded[element.content : element.end].decode("utf-8")]
    except (UnreadableCertificate, UnicodeDecodeError):
        pass
    return []


def _subject_addresses(certificate: x509.Certificate) -> list[str]:
    values = (attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS))
    return [value for value in values if isinstance(value, str)]
