"""Keys of IME addresses and signer pins as administrators read and change them.

A domain has one current key; the others open containers until the end of their overlap, because mail clients use
offline address books that are days old. Private keys are sealed for their row and leave it only to open mail or
for an export that seals them again.
"""

from sqlalchemy import Connection, Row, delete, func, select, update

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.containers import Pin
from ime_gateway.ports.registry import ContainerCounts, ImeKeyEntry
from ime_gateway.store.container_rows import ime_key_place
from ime_gateway.store.rows import storable
from ime_gateway.store.schema import challenges, ime_keys, signer_pins
from ime_gateway.store.sealed_secrets import SecretBox

FOREVER = float("inf")


def find_keys(connection: Connection, domain: str) -> list[ImeKeyEntry]:
    """Keys of one domain or of all: by domain, the current one first, then the newest."""
    query = ime_keys.select().order_by(
        ime_keys.c.domain, ime_keys.c.opens_until.is_not(None), ime_keys.c.made_at.desc()
    )
    if domain:
        query = query.where(ime_keys.c.domain == domain)
    return [_entry(row) for row in connection.execute(query)]


def put_key(
    connection: Connection,
    box: SecretBox,
    domain: str,
    certificate: Certificate,
    private_key: bytes,
    *,
    moment: float,
    older_open_until: float,
) -> bool:
    """Make a key the current one; the one that was current opens until then. False when it is the current one."""
    thumbprint = certificate.thumbprint
    here = (ime_keys.c.domain == domain) & (ime_keys.c.thumbprint == thumbprint)
    known = connection.execute(ime_keys.select().where(here)).one_or_none()
    if known is not None and known.opens_until is None and known.sealed_private_key is not None:
        return False
    connection.execute(
        update(ime_keys)
        .where(ime_keys.c.domain == domain, ime_keys.c.opens_until.is_(None))
        .values(opens_until=older_open_until)
    )
    connection.execute(delete(ime_keys).where(here))
    connection.execute(
        ime_keys.insert().values(
            domain=domain,
            thumbprint=thumbprint,
            der=certificate.der,
            sealed_private_key=box.seal("ime_keys", ime_key_place(domain, thumbprint), private_key),
            opens_until=None,
            made_at=moment,
        )
    )
    return True


def private_key(connection: Connection, box: SecretBox, domain: str, thumbprint: str) -> bytes | None:
    """PKCS#8 DER of a key, or None when there is none or it was erased after its overlap."""
    sealed = connection.execute(
        select(ime_keys.c.sealed_private_key).where(ime_keys.c.domain == domain, ime_keys.c.thumbprint == thumbprint)
    ).scalar_one_or_none()
    return None if sealed is None else box.open("ime_keys", ime_key_place(domain, thumbprint), bytes(sealed))


def close_older_keys(connection: Connection, domain: str, moment: float) -> int:
    """End every overlap of a domain now and erase the private keys; how many were there."""
    older = (ime_keys.c.domain == domain) & ime_keys.c.opens_until.is_not(None)
    connection.execute(update(ime_keys).where(older, ime_keys.c.opens_until > moment).values(opens_until=moment))
    erased = connection.execute(
        update(ime_keys).where(older, ime_keys.c.sealed_private_key.is_not(None)).values(sealed_private_key=None)
    )
    return erased.rowcount


def delete_keys(connection: Connection, domain: str) -> int:
    """Remove all keys of a domain; how many."""
    return connection.execute(delete(ime_keys).where(ime_keys.c.domain == domain)).rowcount


def find_pins(connection: Connection, address: str, state: str, thumbprint: str, limit: int, offset: int) -> list[Pin]:
    """Pins that match all of these (empty: any; of a thumbprint also its beginning): pending ones first, then the
    newest."""
    query = signer_pins.select().order_by(
        signer_pins.c.state != "pending", signer_pins.c.at.desc(), signer_pins.c.address, signer_pins.c.thumbprint
    )
    if address:
        query = query.where(signer_pins.c.address == storable(address))
    if state:
        query = query.where(signer_pins.c.state == state)
    if thumbprint:
        query = query.where(signer_pins.c.thumbprint.startswith(thumbprint, autoescape=True))
    return [_pin(row) for row in connection.execute(query.limit(limit).offset(offset))]


def put_pin(connection: Connection, pin: Pin) -> bool:
    """Set a pin, whatever was there; approving and revoking end the open challenge, which nobody needs to answer any
    more and which would count against the person's next one. False when nothing changed."""
    address, thumbprint = storable(pin.address), pin.certificate.thumbprint
    here = (signer_pins.c.address == address) & (signer_pins.c.thumbprint == thumbprint)
    known = connection.execute(signer_pins.select().where(here)).one_or_none()
    if known is not None and (known.state, known.origin, known.note) == (pin.state, pin.origin, storable(pin.note)):
        return False
    if pin.state != "pending":  # challenges before pins, as in settling: two orders could wait for each other
        asked = (challenges.c.address == address) & (challenges.c.thumbprint == thumbprint)
        connection.execute(delete(challenges).where(asked))
    connection.execute(delete(signer_pins).where(here))
    connection.execute(
        signer_pins.insert().values(
            address=address,
            thumbprint=thumbprint,
            der=pin.certificate.der,
            state=pin.state,
            origin=pin.origin,
            at=pin.at,
            note=storable(pin.note),
        )
    )
    return True


def count(connection: Connection, domain: str, moment: float) -> ContainerCounts:
    """Pins by state and open challenges of the people of one domain, or of all."""
    pins = select(signer_pins.c.state, func.count()).group_by(signer_pins.c.state)
    asked = select(func.count()).select_from(challenges).where(challenges.c.expires_at > moment)
    if domain:
        ours = f"@{domain}"
        pins = pins.where(signer_pins.c.address.endswith(ours, autoescape=True))
        asked = asked.where(challenges.c.address.endswith(ours, autoescape=True))
    states = {state: int(number) for state, number in connection.execute(pins)}
    return ContainerCounts(
        approved=states.get("approved", 0),
        pending=states.get("pending", 0),
        revoked=states.get("revoked", 0),
        open_challenges=int(connection.execute(asked).scalar_one()),
    )


def _entry(row: Row[tuple[object, ...]]) -> ImeKeyEntry:
    return ImeKeyEntry(
        domain=row.domain,
        certificate=Certificate.from_der(bytes(row.der)),
        opens_until=FOREVER if row.opens_until is None else row.opens_until,
        made_at=row.made_at,
        has_private_key=row.sealed_private_key is not None,
    )


def _pin(row: Row[tuple[object, ...]]) -> Pin:
    return Pin(row.address, Certificate.from_der(bytes(row.der)), row.state, row.origin, row.at, row.note)
