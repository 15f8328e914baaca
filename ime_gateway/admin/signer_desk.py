"""Who may sign containers for whom: look, approve, revoke.

A pin says that a certificate belongs to a person and may sign that person's containers; usually the certificate
is self-signed, so nobody else vouches for it. It never says that anything is encrypted to it. A person may have
several (several machines), and what an administrator revokes no container, answer or endorsement brings back.
"""

from ime_gateway.admin.intake import address_key
from ime_gateway.admin.judging import certificate_json
from ime_gateway.admin.key_pairs import groups
from ime_gateway.admin.timestamps import rfc3339
from ime_gateway.base.errors import UnreadableCertificate, UserError
from ime_gateway.certs.bundle import read_bundle
from ime_gateway.certs.certificate import Certificate, thumbprint_digits, whole_thumbprint
from ime_gateway.certs.signing_fitness import signing_fault
from ime_gateway.ports.clock import Clock
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.registry import Registry, RegistryTransaction

_SHORTEST_BEGINNING = 6
_ENOUGH_TO_APPROVE = 32
"""128 bits: nobody can make a second certificate that begins so. One that shares the first few digits with somebody
else's is made in minutes, and carries the same name, because nobody vouches for what is in it."""
_SHOWN = 3


class SignerDesk:
    """The desk of signers. Every method may raise StoreUnavailable."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def rows(self, *, address: str = "", pending: bool = False, limit: int = 1000, offset: int = 0) -> list[Pin]:
        """Pins of one person (any spelling of the address) or of all; those that wait first, then the newest."""
        person = address_key(address) if address else ""
        state = "pending" if pending else ""
        with self._registry.transaction(write=False) as live:
            return live.pins(address=person, state=state, limit=limit, offset=offset)

    def pin(self, thumbprint: str, address: str) -> Pin:
        """One signer of one person by its thumbprint or its beginning; raises UserError."""
        with self._registry.transaction(write=False) as live:
            return _only(live.pins(address=address_key(address), thumbprint=_beginning(thumbprint)), thumbprint)

    def approve(self, thumbprint: str, address: str, note: str, actor: str) -> tuple[Pin, bool]:
        """Believe a signer that is known here; the pin, and whether it changed. Raises UserError, as for a thumbprint
        of which fewer than 32 digits are given: other certificates may begin with them."""
        person, digits = address_key(address), _digits(thumbprint)
        with self._registry.transaction(write=True) as live:
            found = live.pins(address=person, thumbprint=f"sha256:{digits}")
            if len(digits) < _ENOUGH_TO_APPROVE:
                raise _too_few(digits, found)
            if not found:
                raise UserError(
                    f"no signer of {person} is known whose thumbprint begins so; see: ime-gateway ime signers list"
                    f" --address {person}, or register a certificate: --file CERT"
                )
            known = _only(found, thumbprint)
            _require_in_time(known.certificate, self._clock.now())
            said = "" if known.state == "pending" else known.note  # of a pending one it is ours, not an administrator's
            return self._set(live, known.certificate, person, note or said, actor)

    def register(self, data: bytes, address: str, note: str, actor: str) -> tuple[Pin, bool]:
        """Believe the certificate in a file (PEM, DER, PKCS#7) as a signer for a person of a managed domain."""
        person = address_key(address)
        certificate = _one_certificate(data)
        _require_fit(certificate, person)
        _require_in_time(certificate, self._clock.now())
        with self._registry.transaction(write=True) as live:
            if person.rpartition("@")[2] not in live.view().managed:
                raise UserError(f"{person} is in no managed domain, and only people of ours send containers")
            return self._set(live, certificate, person, note, actor)

    def revoke(self, thumbprint: str, address: str, actor: str) -> list[Pin]:
        """Never believe a signer again, for one person or (without address) for everybody who has it; the pins.

        Raises UserError when no signer is known by that thumbprint, or several begin so."""
        person = address_key(address) if address else ""
        with self._registry.transaction(write=True) as live:
            found = live.pins(address=person, thumbprint=_beginning(thumbprint))
            if not found:
                whose = f" of {person}" if person else ""
                raise UserError(
                    f"no signer{whose} is known whose thumbprint begins so; see: ime-gateway ime signers list."
                    " To refuse a certificate that never came: ime-gateway trust deny FILE"
                )
            if len({pin.certificate.thumbprint for pin in found}) > 1:
                raise UserError(f"the certificates of several signers begin with {thumbprint}; give more digits")
            revoked = []
            for known in found:
                pin = Pin(known.address, known.certificate, "revoked", known.origin, self._clock.now(), known.note)
                if known.state != "revoked" and live.put_pin(pin):
                    live.audit(actor, "ime-signer-revoke", f"{pin.address} {pin.certificate.thumbprint}")
                    revoked.append(pin)
        return revoked

    def _set(
        self, live: RegistryTransaction, certificate: Certificate, person: str, note: str, actor: str
    ) -> tuple[Pin, bool]:
        _require_no_ime_key(certificate, live)
        known = live.pins(address=person, thumbprint=certificate.thumbprint)
        if known and known[0].state == "approved" and note in ("", known[0].note):
            return known[0], False
        pin = Pin(person, certificate, "approved", "registered", self._clock.now(), note)
        live.put_pin(pin)
        before = f", before {known[0].state}" if known else ""
        live.audit(actor, "ime-signer-approve", f"{person} {certificate.thumbprint}{before}")
        return pin, True


def signer_json(pin: Pin) -> dict[str, object]:
    """One row of `ime signers list --json`."""
    return certificate_json(pin.certificate) | {
        "address": pin.address,
        "state": pin.state,
        "origin": pin.origin,
        "at": rfc3339(pin.at),
        "note": pin.note,
        "thumbprint_groups": groups(pin.certificate.thumbprint),
        "self_signed": pin.certificate.self_issued,
    }


def is_whole_thumbprint(text: str) -> bool:
    """Does it name one certificate, and not only a beginning?"""
    return bool(whole_thumbprint(text))


def _digits(thumbprint: str) -> str:
    digits = thumbprint_digits(thumbprint)
    if not set(digits) <= set("0123456789abcdef") or len(digits) > 64:
        raise UserError(f"{thumbprint!r} is no thumbprint (SHA-256, up to 64 hexadecimal digits)")
    return digits


def _too_few(digits: str, found: list[Pin]) -> UserError:
    """Says what to do, and shows the whole thumbprints that could be meant."""
    sentence = (
        f"give the whole thumbprint, or at least {_ENOUGH_TO_APPROVE} of its 64 digits, not {len(digits)}: anybody can"
        " make a certificate that begins with the same few. Compare all digits with the person"
    )
    if not found:
        return UserError(f"{sentence}; no signer of this person begins so, see: ime-gateway ime signers list")
    shown = " or ".join(pin.certificate.thumbprint for pin in found[:_SHOWN])
    more = f" or another of {len(found)}" if len(found) > _SHOWN else ""
    return UserError(f"{sentence}, then copy: {shown}{more}")


def _beginning(thumbprint: str) -> str:
    digits = _digits(thumbprint)
    if len(digits) < _SHORTEST_BEGINNING:
        raise UserError(f"give at least {_SHORTEST_BEGINNING} digits of the thumbprint, not {thumbprint!r}")
    return f"sha256:{digits}"


def _only(pins: list[Pin], thumbprint: str) -> Pin:
    if len(pins) != 1:
        raise UserError(f"{len(pins) or 'no'} signers of this person begin with {thumbprint}; see ime signers list")
    return pins[0]


def _one_certificate(data: bytes) -> Certificate:
    try:
        certificates = read_bundle(data, None).certificates
    except UnreadableCertificate as error:
        raise UserError(f"it cannot be read: {error}", error.evidence) from None
    people = [certificate for certificate in certificates if not certificate.is_ca] or list(certificates)
    if len(people) != 1:
        raise UserError(f"it holds {len(people)} certificates of people; give a file with the one that signs")
    return people[0]


def _require_fit(certificate: Certificate, person: str) -> None:
    """Raises UserError when this certificate cannot sign for this person (RFC 8550 sections 3 and 4.4)."""
    owners = sorted(certificate.addresses)
    if owners and person not in owners:
        raise UserError(f"the certificate is for {', '.join(owners)}, not for {person}")
    fault = signing_fault(certificate)
    if fault is not None:
        raise UserError(f"the certificate cannot sign mail: {fault.detail}")


def _require_no_ime_key(certificate: Certificate, live: RegistryTransaction) -> None:
    """Raises UserError for the key of an IME address of ours, old or new: the gateway has it, no person."""
    for key in live.ime_keys():
        if key.certificate.key_digest == certificate.key_digest:
            raise UserError(
                f"it is an IME certificate of {key.domain}, which opens containers and signs for nobody;"
                " ask the person for their own"
            )


def _require_in_time(certificate: Certificate, moment: float) -> None:
    if certificate.not_after < moment:
        raise UserError(f"the certificate expired at {rfc3339(certificate.not_after)}; ask for the new one")
    if certificate.not_before > moment:
        raise UserError(f"the certificate is not valid before {rfc3339(certificate.not_before)}")
