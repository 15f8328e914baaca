"""The built-in CA in the database: CAs, certificates that they signed, requests that wait. Keys lie sealed.

A private key of a CA leaves its row only to sign, or into an export that seals it again.
"""

import builtins

from sqlalchemy import Row, and_, delete, select, union_all, update

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.authorities import (
    AuthorityEntry,
    AuthorityRole,
    AuthorityState,
    IssuedEntry,
    KeyRequest,
)
from ime_gateway.store.row_access import RowAccess
from ime_gateway.store.schema import authorities, issued, key_requests


class AuthorityRows:
    """The Authorities of ports/authorities, within one transaction of the registry."""

    def __init__(self, rows: RowAccess) -> None:
        """Built by the transaction."""
        self._rows = rows
        self._reading = rows.connection
        self._box = rows.box

    def list(self) -> list[AuthorityEntry]:
        """As the port says."""
        rows = self._reading.execute(authorities.select().order_by(authorities.c.made_at.desc())).all()
        entries = [_authority(row) for row in rows]
        return sorted(entries, key=lambda entry: (entry.role != "root", entry.state != "active"))

    def put(self, certificate: Certificate, role: AuthorityRole, private_key: bytes) -> None:
        """As the port says."""
        self._rows.writing().execute(
            authorities.insert().values(
                thumbprint=certificate.thumbprint,
                role=role,
                der=certificate.der,
                sealed_private_key=self._box.seal("authorities", certificate.thumbprint, private_key),
                state="active",
                crl_number=0,
                made_at=self._rows.clock.now(),
            )
        )
        self._rows.changed(True)

    def set_state(self, thumbprint: str, state: AuthorityState) -> None:
        """As the port says."""
        self._update(thumbprint, state=state)

    def private_key(self, thumbprint: str) -> bytes | None:
        """As the port says."""
        query = select(authorities.c.sealed_private_key).where(authorities.c.thumbprint == thumbprint)
        sealed = self._reading.execute(query).scalar_one_or_none()
        return None if sealed is None else self._box.open("authorities", thumbprint, bytes(sealed))

    def put_private_key(self, thumbprint: str, private_key: bytes | None) -> None:
        """As the port says."""
        sealed = None if private_key is None else self._box.seal("authorities", thumbprint, private_key)
        self._update(thumbprint, sealed_private_key=sealed)

    def put_crl(self, thumbprint: str, number: int, crl: bytes, next_update: float) -> None:
        """As the port says."""
        self._update(thumbprint, crl_number=number, crl=crl, crl_next_update=next_update)

    def issued(
        self,
        *,
        authority: str = "",
        owner: str = "",
        thumbprint: str = "",
        revoked: bool | None = None,
        limit: int | None = 1000,
        offset: int = 0,
    ) -> builtins.list[IssuedEntry]:
        """As the port says."""
        query = issued.select().order_by(issued.c.made_at.desc(), issued.c.serial)
        if authority:
            query = query.where(issued.c.authority == authority)
        if owner:
            query = query.where(issued.c.owner == owner)
        if thumbprint:
            query = query.where(issued.c.thumbprint.startswith(thumbprint, autoescape=True))
        if revoked is not None:
            query = query.where(issued.c.revoked_at.is_not(None) if revoked else issued.c.revoked_at.is_(None))
        return [_issued(row) for row in self._reading.execute(query.limit(limit).offset(offset))]

    def thumbprints(self) -> frozenset[str]:
        """As the port says."""
        names = union_all(select(authorities.c.thumbprint), select(issued.c.thumbprint))
        return frozenset(self._reading.execute(names).scalars())

    def put_issued(self, entry: IssuedEntry) -> None:
        """As the port says."""
        self._rows.writing().execute(
            issued.insert().values(
                authority=entry.authority,
                serial=f"{entry.certificate.serial:x}",
                thumbprint=entry.certificate.thumbprint,
                der=entry.certificate.der,
                owner=entry.owner,
                purpose=entry.purpose,
                made_at=entry.made_at,
                revoked_at=entry.revoked_at,
                revocation_reason=entry.revocation_reason,
            )
        )

    def revoke(self, thumbprint: str, at: float, reason: str) -> bool:
        """As the port says."""
        here = and_(issued.c.thumbprint == thumbprint, issued.c.revoked_at.is_(None))
        change = update(issued).where(here).values(revoked_at=at, revocation_reason=reason)
        return self._rows.changed(self._rows.writing().execute(change).rowcount > 0)

    def requests(self, owner: str = "") -> builtins.list[KeyRequest]:
        """As the port says."""
        query = key_requests.select().order_by(key_requests.c.made_at, key_requests.c.id)
        if owner:
            query = query.where(key_requests.c.owner == owner)
        return [
            KeyRequest(row.id, row.owner, row.purpose, bytes(row.request), row.made_at)
            for row in self._reading.execute(query)
        ]

    def put_request(self, request: KeyRequest, private_key: bytes) -> None:
        """As the port says."""
        self._rows.writing().execute(
            key_requests.insert().values(
                id=request.id,
                owner=request.owner,
                purpose=request.purpose,
                request=request.request,
                sealed_private_key=self._box.seal("key_requests", request.id, private_key),
                made_at=request.made_at,
            )
        )

    def request_key(self, id: str) -> bytes | None:  # noqa: A002 - the port's word
        """As the port says."""
        query = select(key_requests.c.sealed_private_key).where(key_requests.c.id == id)
        sealed = self._reading.execute(query).scalar_one_or_none()
        return None if sealed is None else self._box.open("key_requests", id, bytes(sealed))

    def delete_request(self, id: str) -> bool:  # noqa: A002
        """As the port says."""
        return self._rows.writing().execute(delete(key_requests).where(key_requests.c.id == id)).rowcount > 0

    def _update(self, thumbprint: str, **values: object) -> None:
        self._rows.writing().execute(update(authorities).where(authorities.c.thumbprint == thumbprint).values(**values))
        self._rows.changed(True)


def _authority(row: Row[tuple[object, ...]]) -> AuthorityEntry:
    return AuthorityEntry(
        certificate=Certificate.from_der(bytes(row.der)),
        role=row.role,
        state=row.state,
        has_private_key=row.sealed_private_key is not None,
        crl_number=row.crl_number,
        crl=None if row.crl is None else bytes(row.crl),
        crl_next_update=row.crl_next_update,
        made_at=row.made_at,
    )


def _issued(row: Row[tuple[object, ...]]) -> IssuedEntry:
    return IssuedEntry(
        authority=row.authority,
        certificate=Certificate.from_der(bytes(row.der)),
        owner=row.owner,
        purpose=row.purpose,
        made_at=row.made_at,
        revoked_at=row.revoked_at,
        revocation_reason=row.revocation_reason,
    )
