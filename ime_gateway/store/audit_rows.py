"""The audit trail: append-only, and chained so that tampering shows.

Each line carries an HMAC, under a key that is not in the database, over the line before it and its
own content. Who can write to the database can remove the trail's end, but cannot change, insert or
remove a line in it unnoticed.
"""

import json

from sqlalchemy import Connection, Row, select

from ime_gateway.ports.registry import AuditLine
from ime_gateway.store.rows import storable
from ime_gateway.store.schema import audit
from ime_gateway.store.sealed_secrets import SecretBox


def append_line(connection: Connection, box: SecretBox, line: AuditLine) -> None:
    """Add a line; the caller holds the lock of administrators' changes."""
    last = connection.execute(
        select(audit.c.sequence, audit.c.chain).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence = last.sequence + 1 if last else 1
    line = AuditLine(line.at, storable(line.actor), storable(line.action), storable(line.detail))
    chain = _chain(box, bytes(last.chain) if last else b"", sequence, line)
    connection.execute(
        audit.insert().values(
            sequence=sequence, at=line.at, actor=line.actor, action=line.action, detail=line.detail, chain=chain
        )
    )


def newest_lines(connection: Connection, limit: int) -> list[AuditLine]:
    """The newest lines, newest first."""
    query = audit.select().order_by(audit.c.sequence.desc()).limit(limit)
    return [_line(row) for row in connection.execute(query)]


def first_break(connection: Connection, box: SecretBox) -> int | None:
    """The number of the first line that does not follow from those before it; None when all do."""
    before = b""
    for expected, row in enumerate(connection.execute(audit.select().order_by(audit.c.sequence)), start=1):
        before = _chain(box, before, expected, _line(row))
        if row.sequence != expected or bytes(row.chain) != before:
            return expected
    return None


def _line(row: Row[tuple[object, ...]]) -> AuditLine:
    return AuditLine(row.at, row.actor, row.action, row.detail)


def _chain(box: SecretBox, before: bytes, sequence: int, line: AuditLine) -> bytes:
    content = json.dumps([sequence, line.at, line.actor, line.action, line.detail]).encode()
    return box.authentic("audit", before + content)
