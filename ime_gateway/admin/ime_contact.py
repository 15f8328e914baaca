"""The files from which the IME address becomes a contact in everybody's address list.

Outlook encrypts a container to the certificate of that contact. It reads `userSMIMECertificate` first, a signed
value that only the holder of the private key can make, and `userCertificate` otherwise; both are exported, and
whoever publishes them must always replace both, because an old `userSMIMECertificate` beats a new certificate
(RFC 2798 section 2.8, MS-OXOABK section 2.2.4.36).
"""

import base64
import json
import unicodedata
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ime_gateway.admin.certificate_files import pem
from ime_gateway.admin.key_pairs import KeyPair, groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.smime.contact_blob import contact_blob
from ime_gateway.smime.owned_key import OwnedKey
from ime_gateway.smime.sign import PrivateKey, SigningKey

CONTACT_VERSION = 1
"""`version` in contact.json; a change that a reader must know raises it."""
FILE_NAMES = frozenset(
    {
        "README.txt",
        "certificate.pem",
        "certificate.der",
        "certificate.p7c",
        "userCertificate.der",
        "userSMIMECertificate.bin",
        "contact.json",
        "contact.ldif",
    }
)
_README = """\
The contact of an IME address: {address} ({domain}).
Made {made} by `ime-gateway ime export-contact {domain}`. There is nothing secret in this folder.

certificate.pem           the certificate as text (PEM)
certificate.der           the same in binary; Windows opens it by a double click
certificate.p7c           the same as a PKCS#7 bundle without signature
userCertificate.der       value of the attribute userCertificate (the certificate, without ;binary in Active Directory)
userSMIMECertificate.bin  value of the attribute userSMIMECertificate: signed with the IME key; Outlook reads it first
contact.json              everything a publishing program needs: names, address, thumbprint, validity, file names
contact.ldif              an Active Directory contact; put your own place into the line that begins with dn:

Thumbprint (SHA-256): {groups}
Valid until {until}.

Publish both attributes together, in one change, and replace what was there: an old userSMIMECertificate beats a
new userCertificate in Outlook. The contact's name begins with "_" because the add-in looks it up at each start of
Outlook, and a late place in the alphabet slows that down. The address must not exist in your mail system: its
domain has no mailboxes, so that the mail server sends containers to the gateway.
After a change of the key, export and publish again at once; the old key opens containers to the end of its overlap.
"""


@dataclass(frozen=True, slots=True)
class ContactFiles:
    """The files by name, and what they are about."""

    address: str
    thumbprint: str
    display_name: str
    files: dict[str, bytes]


def default_display_name(address: str) -> str:
    """`_IME` and the local part: the add-in finds an early entry of the address list fastest."""
    return f"_IME {address.rpartition('@')[0]}"


def contact_files(domain: str, address: str, pair: KeyPair, display_name: str, moment: float) -> ContactFiles:
    """All files; `display_name` empty takes the default; `moment` is now, seconds since 1970 UTC.

    Raises UserError or UnreadableCertificate for a key that cannot sign."""
    certificate = pair.certificate
    name = display_name or default_display_name(address)
    private_key = OwnedKey.from_pkcs8(certificate, pair.private_key).private_key
    if not isinstance(private_key, PrivateKey):
        raise UserError(f"a key of kind {certificate.key_kind} cannot sign the contact; use an RSA key")
    blob = contact_blob(SigningKey(certificate, private_key), moment)
    facts = {
        "version": CONTACT_VERSION,
        "domain": domain,
        "address": address,
        "display_name": name,
        "common_name": _common_name(name, address),
        "thumbprint": certificate.thumbprint,
        "not_before": rfc3339(certificate.not_before),
        "not_after": rfc3339(certificate.not_after),
        "made_at": rfc3339(moment),
        "user_certificate": "userCertificate.der",
        "user_smime_certificate": "userSMIMECertificate.bin",
    }
    readme = _README.format(
        address=address,
        domain=domain,
        made=rfc3339(moment),
        groups=groups(certificate.thumbprint),
        until=rfc3339(certificate.not_after),
    )
    files = {
        "README.txt": readme.encode(),
        **{f"certificate.{ending}": content for ending, content in certificate_forms(certificate).items()},
        "userCertificate.der": certificate.der,
        "userSMIMECertificate.bin": blob,
        "contact.json": (json.dumps(facts, indent=2, ensure_ascii=True) + "\n").encode(),
        "contact.ldif": _ldif(name, _common_name(name, address), address, certificate.der, blob),
    }
    return ContactFiles(address, certificate.thumbprint, name, files)


def certificate_forms(certificate: Certificate) -> dict[str, bytes]:
    """The certificate alone by the ending of its file: what may be shown to everybody."""
    bundle = pkcs7.serialize_certificates([certificate.x509], Encoding.DER)
    return {"pem": pem(certificate), "der": certificate.der, "p7c": bundle}


def _ldif(name: str, common_name: str, address: str, der: bytes, blob: bytes) -> bytes:
    """An LDIF record (RFC 2849) of a contact; only its place in the directory is left to fill in."""
    lines = [
        "version: 1",
        _attribute("dn", f"CN={_escaped(common_name)},OU=PUT-YOUR-OWN,DC=PUT-YOUR-OWN"),
        "changetype: add",
        "objectClass: contact",
        _attribute("cn", common_name),
        _attribute("displayName", name),
        _attribute("mail", address),
        _attribute("proxyAddresses", f"SMTP:{address}"),
        _attribute("targetAddress", f"SMTP:{address}"),
        "mAPIRecipient: FALSE",
        "internetEncoding: 1310720",
        f"userCertificate:: {_base64(der)}",
        f"userSMIMECertificate:: {_base64(blob)}",
    ]
    return ("\n".join(_folded(line) for line in lines) + "\n").encode("ascii")


def _common_name(name: str, address: str) -> str:
    """The display name in ASCII: tools for directories garble other letters in a `dn`, and base64 there cannot be
    edited by hand."""
    spelt = unicodedata.normalize("NFC", name).translate(_GERMAN)
    letters = unicodedata.normalize("NFKD", spelt).encode("ascii", "ignore").decode("ascii")
    return " ".join(letters.split())[:_LONGEST_COMMON_NAME].strip() or default_display_name(address)


_GERMAN = str.maketrans(
    {"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00df": "ss", "\u00c4": "Ae", "\u00d6": "Oe", "\u00dc": "Ue"}
)
_LONGEST_COMMON_NAME = 64
"""ub-common-name of X.520."""


def _attribute(name: str, value: str) -> str:
    """As text where RFC 2849 has it so (SAFE-STRING), else as base64."""
    safe = value.isascii() and value.isprintable() and not value.startswith((" ", ":", "<")) and not value.endswith(" ")
    return f"{name}: {value}" if safe else f"{name}:: {_base64(value.encode())}"


def _escaped(value: str) -> str:
    """RFC 4514 section 2.4."""
    escaped = "".join(f"\\{character}" if character in ',+"\\<>;=' else character for character in value)
    return f"\\{escaped}" if escaped.startswith((" ", "#")) else escaped


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _folded(line: str) -> str:
    """Lines of at most 76 characters; what follows a line end and a space belongs to it (RFC 2849, note 2)."""
    first, rest = line[:76], line[76:]
    return "\n ".join([first, *(rest[start : start + 75] for start in range(0, len(rest), 75))])
