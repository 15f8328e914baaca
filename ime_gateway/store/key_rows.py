"""Certificates of people, by address, and their private keys, sealed."""

from collections.abc import Iterable, Sequence

from cryptography.x509 import load_der_x509_certificate
from sqlalchemy import Connection, Row, delete, func, or_, select, update

from ime_gateway.base.errors import UserError
from ime_gateway.certs.certificate import Certificate, thumbprint_digits
from ime_gateway.ports.registry import CertificateEnd, CertificateEntry
from ime_gateway.store.schema import certificate_addresses, certificates
from ime_gateway.store.sealed_secrets import SecretBox

BY_ADDRESS = (
    "SELECT a.address, c.der FROM certificate_addresses a JOIN certificates c ON c.thumbprint = a.thumbprint"
    " WHERE a.address IN ({list}) ORDER BY a.address, a.thumbprint"
)
"""For the directory: addresses and DER by address keys."""
BY_THUMBPRINT = "SELECT thumbprint, der FROM certificates WHERE thumbprint IN ({list})"
"""For the directory: thumbprints and DER by whole thumbprints."""
OWNERS = (
    "SELECT thumbprint, address FROM certificate_addresses WHERE thumbprint IN ({list}) ORDER BY thumbprint, address"
)
"""For the directory: thumbprints and addresses by whole thumbprints."""

_SHORTEST_BEGINNING = 6


def put_certificate(
    connection: Connection,
    box: SecretBox,
    certificate: Certificate,
    addresses: Sequence[str],
    private_key: bytes | None,
    moment: float,
) -> bool:
    """Add a certificate, or what is new about a known one; False when nothing changed."""
    thumbprint = certificate.thumbprint
    known = connection.execute(certificates.select().where(certificates.c.thumbprint == thumbprint)).one_or_none()
    changed = known is None
    if known is None:
        connection.execute(
            certificates.insert().values(
                thumbprint=thumbprint,
                subject=certificate.subject,
                is_ca=certificate.is_ca,
                der=certificate.der,
                imported_at=moment,
            )
        )
    if private_key is not None and (known is None or known.sealed_private_key is None):
        sealed = box.seal("certificates", thumbprint, private_key)
        connection.execute(
            update(certificates).where(certificates.c.thumbprint == thumbprint).values(sealed_private_key=sealed)
        )
        changed = True
    have = _addresses(connection, [thumbprint]).get(thumbprint, ())
    missing = sorted(set(addresses) - set(have))
    if missing:
        connection.execute(
            certificate_addresses.insert(), [{"address": address, "thumbprint": thumbprint} for address in missing]
        )
    return changed or bool(missing)


def delete_certificate(connection: Connection, thumbprint: str) -> bool:
    """Remove a certificate with addresses and key; False when there is none."""
    return connection.execute(delete(certificates).where(certificates.c.thumbprint == thumbprint)).rowcount > 0


def find_certificates(
    connection: Connection, address: str, search: str, limit: int, offset: int
) -> list[CertificateEntry]:
    """Certificates by address key, or by a part of address, subject or thumbprint."""
    query = certificates.select().order_by(certificates.c.subject, certificates.c.thumbprint)
    holders = select(certificate_addresses.c.thumbprint)
    if address:
        query = query.where(certificates.c.thumbprint.in_(holders.where(certificate_addresses.c.address == address)))
    if search:
        part = search.lower()
        query = query.where(
            or_(
                func.lower(certificates.c.subject).contains(part, autoescape=True),
                certificates.c.thumbprint.contains(part, autoescape=True),
                certificates.c.thumbprint.in_(
                    holders.where(func.lower(certificate_addresses.c.address).contains(part, autoescape=True))
                ),
            )
        )
    return _entries(connection, connection.execute(query.limit(limit).offset(offset)).all())


def find_certificate(connection: Connection, thumbprint: str) -> CertificateEntry | None:
    """One certificate by thumbprint or its beginning, in any spelling; UserError when several begin so."""
    digits = thumbprint_digits(thumbprint)
    if len(digits) < _SHORTEST_BEGINNING:
        raise UserError(f"give at least {_SHORTEST_BEGINNING} digits of the thumbprint, not {thumbprint!r}")
    query = certificates.select().where(certificates.c.thumbprint.startswith(f"sha256:{digits}", autoescape=True))
    rows = connection.execute(query.limit(2)).all()
    if len(rows) > 1:
        raise UserError(f"more than one certificate begins with {thumbprint!r}; give more digits")
    return _entries(connection, rows)[0] if rows else None


def people_ends(connection: Connection, after: str, limit: int) -> list[CertificateEnd]:
    """Ends of the certificates of people, by thumbprint, without reading more of them than their dates."""
    query = (
        select(certificates.c.thumbprint, certificates.c.subject, certificates.c.der)
        .where(certificates.c.is_ca.is_(False), certificates.c.thumbprint > after)
        .order_by(certificates.c.thumbprint)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    addresses = _addresses(connection, [row.thumbprint for row in rows])
    return [
        CertificateEnd(row.thumbprint, row.subject, addresses.get(row.thumbprint, ()), _not_after(bytes(row.der)))
        for row in rows
    ]


def _not_after(encoded: bytes) -> float:
    return load_der_x509_certificate(encoded).not_valid_after_utc.timestamp()


def private_key(connection: Connection, box: SecretBox, thumbprint: str) -> bytes | None:
    """PKCS#8 DER of a certificate's key, or None."""
    sealed = connection.execute(
        select(certificates.c.sealed_private_key).where(certificates.c.thumbprint == thumbprint)
    ).scalar_one_or_none()
    return None if sealed is None else box.open("certificates", thumbprint, bytes(sealed))


def _entries(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[CertificateEntry]:
    addresses = _addresses(connection, [row.thumbprint for row in rows])
    return [
        CertificateEntry(
            certificate=Certificate.from_der(row.der),
            addresses=addresses.get(row.thumbprint, ()),
            has_private_key=row.sealed_private_key is not None,
            imported_at=row.imported_at,
        )
        for row in rows
    ]


def _addresses(connection: Connection, thumbprints: Iterable[str]) -> dict[str, tuple[str, ...]]:
    query = (
        certificate_addresses.select()
        .where(certificate_addresses.c.thumbprint.in_(list(thumbprints)))
        .order_by(certificate_addresses.c.address)
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(query):
        found[row.thumbprint] = (*found.get(row.thumbprint, ()), row.address)
    return found
