"""A key pair for an IME address: made here, or brought in a file, and what speaks against using it.

Everybody's Outlook encrypts containers to this certificate, so what is wrong with it is said before it is in
force: another address, a key that is too short, no private key. Who signed it does not matter; the contact in
the address list brings it to the clients (RFC 8550 section 4.4).
"""

from ime_gateway.admin.key_pairs import DAY_SECONDS, KeyPair
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate
from ime_gateway.certs.fitness import fitness_fault
from ime_gateway.certs.issue import new_key, private_key_der, self_signed
from ime_gateway.ports.clock import Randomness


def make_key_pair(address: str, moment: float, days: int, randomness: Randomness) -> KeyPair:
    """A fresh RSA-3072 pair with a self-signed certificate for `days` from `moment` on. Takes a good part of a
    second: never call it while a transaction is open."""
    key = new_key()
    certificate = self_signed(address, "", key, moment=moment, days=days, randomness=randomness)
    return KeyPair(certificate, private_key_der(key))


def require_fit(certificate: Certificate, address: str) -> None:
    """Raises UserError when containers to `address` could never be encrypted to this certificate. What time changes
    and what only some programs mind is said by `doubts`."""
    domain = address.rpartition("@")[2]
    owners = sorted(certificate.addresses)
    if owners and not any(owner.rpartition("@")[2] == domain for owner in owners):
        raise UserError(
            f"the certificate is for {', '.join(owners)}, not for {address}; users' programs would refuse it"
        )
    fault = fitness_fault(certificate)
    if fault is not None and "keyEncipherment" not in fault.detail:
        raise UserError(f"the certificate cannot be used: {fault.detail}")


def doubts(certificate: Certificate, domain: str, address: str, warning_days: int, moment: float) -> list[str]:
    """What an administrator should know about the certificate of a managed domain's IME address that can be used, one
    sentence each; `moment` is now."""
    found = []
    advice = f"run: ime-gateway ime rotate {domain}"
    if not certificate.addresses:
        found.append(f"the IME certificate names no mail address; some programs want {address} in it")
    elif address not in certificate.addresses:
        owners = ", ".join(sorted(certificate.addresses))
        found.append(f"the IME certificate is for {owners}, the IME address is {address}; {advice}")
    fault = fitness_fault(certificate)
    if fault is not None:
        found.append(f"the IME certificate: {fault.detail}; Outlook may refuse to encrypt to it")
    if certificate.not_before > moment:
        found.append(f"the IME certificate is not valid before {rfc3339(certificate.not_before)}")
    left = certificate.not_after - moment
    if left < 0:
        found.append(f"the IME certificate expired at {rfc3339(certificate.not_after)}; {advice}")
    elif left < warning_days * DAY_SECONDS:
        found.append(f"the IME certificate expires at {rfc3339(certificate.not_after)}; {advice}")
    return found
