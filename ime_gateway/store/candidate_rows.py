"""Candidates and self-tests in the store: kept once, decided once, forgotten in time.

A candidate never touches a certificate that is in force: it lies beside it until a person has compared the
thumbprint, or until policy takes what leads to a root for an owner who has nothing yet. Inside the transaction that
stores a message the same rules stand in candidate_writes.
"""

from collections.abc import Callable

from sqlalchemy import Connection, Row, func, select, text, update

from ime_gateway.certs.certificate import Certificate
from ime_gateway.ports.exchange import ANSWERS_A_DAY, MOST_ANNOUNCED, MOST_PENDING, PartnerTest, TestState
from ime_gateway.ports.incoming import CANDIDATES_OF_ONE_SENDER, Candidate, CandidateState
from ime_gateway.store.candidate_writes import GIVE_WAY, candidate_values
from ime_gateway.store.rows import storable
from ime_gateway.store.schema import (
    certificate_addresses,
    certificate_candidates,
    domain_certificates,
    partner_tests,
)

_DAY = 86_400.0
_KEPT = certificate_candidates.c
_COLUMNS = (
    *(_KEPT.owner, _KEPT.thumbprint, _KEPT.kind, _KEPT.der, _KEPT.state),
    *(_KEPT.origin, _KEPT.sender, _KEPT.message_id, _KEPT.evidence, _KEPT.at),
)
"""In the order of `candidate_values`."""


class CandidateRows:
    """The CandidateBook of ports/exchange within one registry transaction."""

    def __init__(self, connection: Connection, writing: Callable[[], Connection]) -> None:
        """Built by the transaction. writing: its connection, or an error when it only reads."""
        self._connection = connection
        self._writing = writing

    def rows(
        self, *, state: str = "", owner: str = "", thumbprint: str = "", limit: int = 1000, offset: int = 0
    ) -> list[Candidate]:
        """As the port says."""
        table = certificate_candidates
        query = table.select().order_by(table.c.at.desc(), table.c.owner, table.c.thumbprint)
        if state:
            query = query.where(table.c.state == state)
        if owner:
            query = query.where(table.c.owner == storable(owner))
        if thumbprint:
            query = query.where(table.c.thumbprint.startswith(thumbprint, autoescape=True))
        return [_candidate(row) for row in self._connection.execute(query.limit(limit).offset(offset))]

    def pending(self) -> int:
        """As the port says."""
        count = select(func.count()).select_from(certificate_candidates).where(_KEPT.state == "pending")
        return int(self._connection.execute(count).scalar_one())

    def bring(self, candidate: Candidate) -> bool:
        """As the port says."""
        table, thumbprint = certificate_candidates, candidate.certificate.thumbprint
        owner, connection = storable(candidate.owner), self._writing()
        known = select(table.c.state).where(table.c.owner == owner, table.c.thumbprint == thumbprint)
        if connection.execute(known).first() is not None or self._in_use(owner, candidate):
            return False
        crowded = self._announced_enough if candidate.vouched else self._too_many
        if candidate.state == "pending" and crowded(candidate):
            return False
        columns = [column.name for column in _COLUMNS]
        values = candidate_values(candidate, candidate.state)
        connection.execute(table.insert().values(dict(zip(columns, values, strict=True))))
        return True

    def set_state(self, owner: str, thumbprint: str, state: CandidateState) -> bool:
        """As the port says."""
        table = certificate_candidates
        here = (table.c.owner == storable(owner)) & (table.c.thumbprint == thumbprint)
        return self._writing().execute(update(table).where(here).values(state=state)).rowcount > 0

    def _in_use(self, owner: str, candidate: Candidate) -> bool:
        if candidate.kind == "domain":
            query = select(domain_certificates.c.der).where(domain_certificates.c.domain == owner)
            return any(bytes(row.der) == candidate.certificate.der for row in self._connection.execute(query))
        held = certificate_addresses.c
        query = select(held.address).where(held.address == owner, held.thumbprint == candidate.certificate.thumbprint)
        return self._connection.execute(query).first() is not None

    def _announced_enough(self, candidate: Candidate) -> bool:
        table = certificate_candidates
        waiting = (table.c.owner == storable(candidate.owner)) & (table.c.state == "pending")
        count = select(func.count()).select_from(table).where(waiting, table.c.origin == "announcement")
        return int(self._connection.execute(count).scalar_one()) >= MOST_ANNOUNCED

    def _too_many(self, candidate: Candidate) -> bool:
        table = certificate_candidates
        count = select(func.count()).select_from(table)
        ours = count.where(table.c.sender == storable(candidate.sender), table.c.at > candidate.at - _DAY)
        if int(self._connection.execute(ours).scalar_one()) >= CANDIDATES_OF_ONE_SENDER:
            return True
        if self.pending() < MOST_PENDING:
            return False
        return self._writing().execute(text(GIVE_WAY)).first() is None


class PartnerTestRows:
    """The PartnerTests of ports/exchange within one registry transaction."""

    def __init__(self, connection: Connection, writing: Callable[[], Connection]) -> None:
        """Built by the transaction."""
        self._connection = connection
        self._writing = writing

    def begin(self, test: PartnerTest) -> None:
        """As the port says."""
        self._writing().execute(partner_tests.insert().values(**_test_values(test)))

    def answering(self, test: PartnerTest) -> bool:
        """As the port says."""
        table, connection = partner_tests, self._writing()
        if self.found(test.token_hash) is not None:
            return False
        lately = select(func.count()).select_from(table)
        lately = lately.where(table.c.partner == test.partner, table.c.state == "answered", table.c.at > test.at - _DAY)
        if int(connection.execute(lately).scalar_one()) >= ANSWERS_A_DAY:
            return False
        connection.execute(table.insert().values(**_test_values(test)))
        return True

    def found(self, token_hash: str) -> PartnerTest | None:
        """As the port says."""
        query = partner_tests.select().where(partner_tests.c.token_hash == token_hash)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _test(row)

    def finish(self, token_hash: str, state: TestState, result: str) -> bool:
        """As the port says."""
        table = partner_tests
        here = (table.c.token_hash == token_hash) & (table.c.state == "waiting")
        changed = self._writing().execute(update(table).where(here).values(state=state, result=storable(result)))
        return changed.rowcount > 0

    def rows(self, partner: str = "", limit: int = 100) -> list[PartnerTest]:
        """As the port says."""
        query = partner_tests.select().order_by(partner_tests.c.at.desc(), partner_tests.c.token_hash)
        if partner:
            query = query.where(partner_tests.c.partner == partner)
        return [_test(row) for row in self._connection.execute(query.limit(limit))]


def _candidate(row: Row[tuple[object, ...]]) -> Candidate:
    return Candidate(
        owner=row.owner,
        kind=row.kind,
        certificate=Certificate.from_der(bytes(row.der)),
        origin=row.origin,
        sender=row.sender,
        message_id=row.message_id,
        evidence=row.evidence,
        at=row.at,
        state=row.state,
    )


def _test_values(test: PartnerTest) -> dict[str, object]:
    return {
        "token_hash": test.token_hash,
        "partner": test.partner,
        "domain": test.domain,
        "state": test.state,
        "result": storable(test.result),
        "at": test.at,
        "expires_at": test.expires_at,
    }


def _test(row: Row[tuple[object, ...]]) -> PartnerTest:
    return PartnerTest(row.token_hash, row.partner, row.domain, row.state, row.result, row.at, row.expires_at)
