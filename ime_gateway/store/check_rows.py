"""Comparisons of thumbprints, and what administrators were told, as rows."""

from sqlalchemy import delete, select

from ime_gateway.ports.thumbprint_checks import ThumbprintCheck
from ime_gateway.store.row_access import RowAccess
from ime_gateway.store.rows import storable
from ime_gateway.store.schema import notices, thumbprint_checks


class CheckRows:
    """The ThumbprintChecks of ports/thumbprint_checks. Nothing of it concerns mail: no worker needs a new view."""

    def __init__(self, rows: RowAccess) -> None:
        """Built by the transaction."""
        self._rows = rows

    def list(self, thumbprint: str = "") -> list[ThumbprintCheck]:
        """As the port says."""
        query = thumbprint_checks.select().order_by(thumbprint_checks.c.at.desc(), thumbprint_checks.c.thumbprint)
        if thumbprint:
            query = query.where(thumbprint_checks.c.thumbprint == thumbprint)
        return [
            ThumbprintCheck(row.thumbprint, row.at, row.actor, row.method, row.person, row.note)
            for row in self._rows.connection.execute(query)
        ]

    def put(self, check: ThumbprintCheck) -> bool:
        """As the port says."""
        connection = self._rows.writing()
        here = (thumbprint_checks.c.thumbprint == check.thumbprint) & (thumbprint_checks.c.at == check.at)
        if connection.execute(select(thumbprint_checks.c.at).where(here)).first() is not None:
            return False
        connection.execute(
            thumbprint_checks.insert().values(
                thumbprint=check.thumbprint,
                at=check.at,
                actor=storable(check.actor),
                method=check.method,
                person=storable(check.person),
                note=storable(check.note),
            )
        )
        return True


class NoticeRows:
    """The Notices of ports/thumbprint_checks."""

    def __init__(self, rows: RowAccess) -> None:
        """Built by the transaction."""
        self._rows = rows

    def told(self, name: str) -> bool:
        """As the port says."""
        query = select(notices.c.name).where(notices.c.name == name)
        return self._rows.connection.execute(query).first() is not None

    def tell(self, name: str, keep_until: float) -> bool:
        """As the port says."""
        if self.told(name):
            return False
        self._rows.writing().execute(
            notices.insert().values(name=name, at=self._rows.clock.now(), keep_until=keep_until)
        )
        return True

    def forget(self, moment: float) -> int:
        """As the port says."""
        return self._rows.writing().execute(delete(notices).where(notices.c.keep_until <= moment)).rowcount
