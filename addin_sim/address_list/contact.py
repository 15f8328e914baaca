"""The folder that `ime-gateway ime export-contact` wrote, judged before anything of it reaches an address list.

Everybody's Outlook encrypts to what is published, so a folder whose parts do not belong together (a certificate of
another address, a signed value of an older key) is refused here. The form is version 1 of contact.json; the signed
value is that of RFC 2798 section 2.8 and MS-OXOABK section 2.2.4.36.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.outlook_certificates import UNREADABLE, certificates_in
from addin_sim.address_list.publisher import Contact
from addin_sim.own_keys import mail_addresses, thumbprint

VERSION = 1
_LONGEST_VALUE = 32768
"""Octets of one value of userCertificate or userSMIMECertificate (rangeUpper in Active Directory's schema)."""
_LONGEST_NAME = 256
"""Characters of displayName and of mail (rangeUpper there)."""
_LONGEST_COMMON_NAME = 64
"""ub-common-name of X.520."""
_CLOCK_SKEW = timedelta(minutes=5)


def read_contact(folder: Path, moment: float, *, must_be_valid: bool = True) -> Contact:
    """The contact in `folder`; raises AddressListError when a part is missing or does not belong to the others.

    moment: now, seconds since 1970 UTC; must_be_valid: the certificate must be in time, which taking a contact away
    does not need."""
    facts = _facts(folder / "contact.json")
    certificate_file = folder / _file_name(folder, facts, "user_certificate")
    smime_file = folder / _file_name(folder, facts, "user_smime_certificate")
    der, smime_value = _value(certificate_file), _value(smime_file)
    certificate = _certificate(certificate_file, der)
    address = _address(folder, facts)
    contact = Contact(
        address=address,
        display_name=_name(folder, facts, "display_name", _LONGEST_NAME),
        common_name=_name(folder, facts, "common_name", _LONGEST_COMMON_NAME),
        certificate=der,
        smime_value=smime_value,
        thumbprint=thumbprint(certificate),
        not_after=certificate.not_valid_after_utc,
    )
    _require_belonging(folder, facts, contact, certificate)
    if must_be_valid:
        _require_in_time(folder, certificate, datetime.fromtimestamp(moment, UTC))
    return contact


def _facts(file: Path) -> dict[str, object]:
    try:
        facts = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise _refused(
            f"{file} cannot be read ({error.strerror})", "Name the folder of `ime-gateway ime export-contact`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refused(f"{file} is no JSON text", "Export the contact anew") from error
    if not isinstance(facts, dict):
        raise _refused(f"{file} is no JSON object", "Export the contact anew")
    if facts.get("version") != VERSION or isinstance(facts.get("version"), bool):
        raise _refused(
            f"{file} has version {facts.get('version')!r}, and this program reads version {VERSION}",
            "Use programs of the same release",
        )
    return facts


def _text(folder: Path, facts: dict[str, object], key: str) -> str:
    value = facts.get(key)
    if not isinstance(value, str) or not value or not value.isprintable() or value != value.strip():
        raise _refused(f"{folder}/contact.json has no usable {key}", "Export the contact anew")
    return value


def _name(folder: Path, facts: dict[str, object], key: str, longest: int) -> str:
    value = _text(folder, facts, key)
    if len(value) > longest:
        raise _refused(f"{key} in {folder}/contact.json is longer than {longest} characters", "Export it with --name")
    return value


def _address(folder: Path, facts: dict[str, object]) -> str:
    value = _name(folder, facts, "address", _LONGEST_NAME)
    if not re.fullmatch(r"[^@\s<>,;:\"()\\*]+@[^@\s<>,;:\"()\\*]+", value):
        raise _refused(f"address in {folder}/contact.json is no address: {value}", "Export the contact anew")
    return value


def _file_name(folder: Path, facts: dict[str, object], key: str) -> str:
    """A name in the folder itself: contact.json may come from elsewhere and must not make us publish another file."""
    value = _text(folder, facts, key)
    if Path(value).name != value or value in (".", "..") or "\\" in value:
        raise _refused(f"{key} in {folder}/contact.json names no file of that folder", "Export the contact anew")
    return value


def _value(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(_LONGEST_VALUE + 1)
    except OSError as error:
        raise _refused(f"{file} cannot be read ({error.strerror})", "Export the contact anew") from error
    if len(data) > _LONGEST_VALUE:
        raise _refused(f"{file} has more than the {_LONGEST_VALUE} bytes that a directory takes", "Use a smaller key")
    return data


def _certificate(file: Path, der: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(der)
        mail_addresses(certificate)
    except UNREADABLE as error:
        raise _refused(f"{file} is no certificate in DER", "Export the contact anew") from error
    return certificate


def _require_belonging(folder: Path, facts: dict[str, object], contact: Contact, certificate: x509.Certificate) -> None:
    if _text(folder, facts, "thumbprint").lower() != contact.thumbprint:
        raise _refused(
            f"{folder}/contact.json speaks of another certificate than the one that lies beside it",
            "Export the contact anew into an empty folder",
        )
    owners = mail_addresses(certificate)
    domain = contact.address.lower().partition("@")[2]
    if not any(owner.partition("@")[2] == domain for owner in owners):
        raise _refused(
            f"The certificate in {folder} is of {', '.join(sorted(owners)) or 'nobody'}, not of {contact.address}",
            "Export the contact anew",
        )
    is_cms = contact.smime_value[:1] == b"\x30" and contact.smime_value != contact.certificate
    if not is_cms or certificates_in(contact.smime_value) != (certificate,):  # Outlook would take any other in it
        raise _refused(
            f"The signed value in {folder} (userSMIMECertificate) is not that of its certificate",
            "Export the contact anew into an empty folder: Outlook believes the signed value first",
        )


def _require_in_time(folder: Path, certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise _refused(
            f"The certificate in {folder} expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            "Give the IME address a new key at the gateway, export the contact and publish it",
        )
    if now < certificate.not_valid_before_utc - _CLOCK_SKEW:
        raise _refused(
            f"The certificate in {folder} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "Publish it then, or correct this machine's clock",
        )


def _refused(happened: str, advice: str) -> AddressListError:
    return AddressListError(f"{happened}. Nothing was changed. {advice}.")
