"""Keys of whole managed domains as administrators change them: sealed, each in one state.

There is one current and at most one next key of a domain; whichever takes such a place makes the one before it an
older one, which opens mail until an administrator retires it.
"""

from sqlalchemy import Row, delete, select, update

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.domain_keys import DomainKeyEntry
from ime_gateway.ports.keyring import DomainKeyState
from ime_gateway.store.row_access import RowAccess
from ime_gateway.store.schema import domain_keys

_PLACES: dict[str, int] = {"current": 0, "next": 1, "older": 2}


def domain_key_place(domain: str, thumbprint: str) -> str:
    """The row of table `domain_keys` for which a private key is sealed."""
    return f"{domain} {thumbprint}"


class DomainKeyRows:
    """The DomainKeys of ports/domain_keys. Methods say what the port says."""

    def __init__(self, rows: RowAccess) -> None:
        """Built by the transaction."""
        self._rows = rows

    def list(self, domain: str = "") -> list[DomainKeyEntry]:
        """As the port says."""
        query = domain_keys.select()
        if domain:
            query = query.where(domain_keys.c.domain == domain)
        entries = [_entry(row) for row in self._rows.connection.execute(query)]
        return sorted(entries, key=lambda key: (key.domain, _PLACES[key.state], -key.since, key.certificate.thumbprint))

    def put(self, domain: str, certificate: Certificate, private_key: bytes, state: DomainKeyState) -> bool:
        """As the port says."""
        connection, thumbprint, moment = self._rows.writing(), certificate.thumbprint, self._rows.clock.now()
        here = (domain_keys.c.domain == domain) & (domain_keys.c.thumbprint == thumbprint)
        if connection.execute(select(domain_keys.c.state).where(here)).first() is not None:
            return self.set_state(domain, thumbprint, state)
        self._make_room(domain, state, moment)
        connection.execute(
            domain_keys.insert().values(
                domain=domain,
                thumbprint=thumbprint,
                der=certificate.der,
                sealed_private_key=self._rows.box.seal(
                    "domain_keys", domain_key_place(domain, thumbprint), private_key
                ),
                state=state,
                since=moment,
                announced_at=None,
                made_at=moment,
            )
        )
        return self._rows.changed(True)

    def set_state(self, domain: str, thumbprint: str, state: DomainKeyState) -> bool:
        """As the port says."""
        connection, moment = self._rows.writing(), self._rows.clock.now()
        here = (domain_keys.c.domain == domain) & (domain_keys.c.thumbprint == thumbprint)
        before = connection.execute(select(domain_keys.c.state).where(here)).scalar_one_or_none()
        if before is None or before == state:
            return False
        self._make_room(domain, state, moment)
        connection.execute(update(domain_keys).where(here).values(state=state, since=moment))
        return self._rows.changed(True)

    def set_announced(self, domain: str, thumbprint: str, at: float) -> bool:
        """As the port says."""
        here = (domain_keys.c.domain == domain) & (domain_keys.c.thumbprint == thumbprint)
        done = self._rows.writing().execute(update(domain_keys).where(here).values(announced_at=at))
        return self._rows.changed(done.rowcount > 0)

    def delete(self, domain: str, thumbprint: str) -> bool:
        """As the port says."""
        here = (domain_keys.c.domain == domain) & (domain_keys.c.thumbprint == thumbprint)
        return self._rows.changed(self._rows.writing().execute(delete(domain_keys).where(here)).rowcount > 0)

    def delete_all(self, domain: str) -> int:
        """Remove all keys of a domain that goes; how many."""
        count = self._rows.writing().execute(delete(domain_keys).where(domain_keys.c.domain == domain)).rowcount
        self._rows.changed(count > 0)
        return count

    def private_key(self, domain: str, thumbprint: str) -> bytes | None:
        """As the port says."""
        here = (domain_keys.c.domain == domain) & (domain_keys.c.thumbprint == thumbprint)
        query = select(domain_keys.c.sealed_private_key).where(here)
        sealed = self._rows.connection.execute(query).scalar_one_or_none()
        if sealed is None:
            return None
        return self._rows.box.open("domain_keys", domain_key_place(domain, thumbprint), bytes(sealed))

    def _make_room(self, domain: str, state: DomainKeyState, moment: float) -> None:
        if state != "older":
            taken = (domain_keys.c.domain == domain) & (domain_keys.c.state == state)
            self._rows.writing().execute(update(domain_keys).where(taken).values(state="older", since=moment))


def _entry(row: Row[tuple[object, ...]]) -> DomainKeyEntry:
    return DomainKeyEntry(
        domain=row.domain,
        certificate=Certificate.from_der(bytes(row.der)),
        state=row.state,
        since=row.since,
        announced_at=row.announced_at,
        made_at=row.made_at,
    )
