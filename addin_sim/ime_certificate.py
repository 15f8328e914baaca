"""The certificate of the IME address, as Outlook finds it in the address list: containers are encrypted to it.

Encrypting to the wrong certificate would give the mail to somebody else, so whose it is and whether it is
in time are looked at before each sending (RFC 8550 section 2.3).
"""

import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from addin_sim.address_list.errors import AddressListError
from addin_sim.address_list.finding import find
from addin_sim.address_list.outlook_certificates import UNREADABLE, candidates
from addin_sim.outlook_settings import OutlookSettings, SettingsError


def ime_certificate(outlook: OutlookSettings, moment: float) -> x509.Certificate:
    """The configured one, else the one in the address list, fit to be used at `moment` (seconds since 1970 UTC).

    The local part of an IME address may be chosen freely, so the certificate must be of its domain only. What fit
    means stands in `address_list.outlook_certificates`: a file is judged as the address list is.
    Raises `SettingsError`, and `AddressListError` when the address list has none that can be used.
    """
    file = outlook.container.ime_certificate
    if file is None and outlook.address_list.ldap is not None:
        return _found(outlook, moment)
    if file is None:
        raise SettingsError(
            "IME 2.0 needs the certificate of the IME address: export it with `ime-gateway ime export-contact` "
            "and name the file as container.ime_certificate in the settings, or name the address list that has it in "
            "[address_list.ldap]."
        )
    certificate = _read(file)
    (judged,) = candidates((), (certificate.public_bytes(Encoding.DER),), outlook.registry.InternalRecipient, moment)
    if judged.problems:
        why = " and ".join(judged.problems)
        raise SettingsError(
            f"{file}: the certificate of the IME address {why}; export it anew (one that has expired needs "
            "`ime-gateway ime rotate` first), or correct this computer's clock if that is wrong."
        )
    return certificate


def _found(outlook: OutlookSettings, moment: float) -> x509.Certificate:
    found = find(outlook, moment, time.monotonic)
    if found.chosen is None or found.chosen.certificate is None:
        raise AddressListError(found.refusal)
    return found.chosen.certificate


def _read(file: Path) -> x509.Certificate:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except UNREADABLE as error:
        raise SettingsError(f"{file}: holds no certificate in PEM or DER.") from error
