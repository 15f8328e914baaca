"""Announcements and those who harm them: with a key of a partner's, or with nothing but the partner's certificates."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from ime_gateway.ports.exchange import MOST_ANNOUNCED
from tests.core import close
from tests.exchange_world import ACME, BOLT, Gateway, authority, foreign_mail, make_gateway, post
from tests.pki import Entity, make_user


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    acme, bolt = make_gateway(tmp_path, ACME), make_gateway(tmp_path, BOLT)
    acme.knows(bolt)
    bolt.knows(acme)
    yield acme, bolt
    close(acme.core)
    close(bolt.core)


def announced(acme: Gateway, bolt: Gateway, start: datetime, shared: Entity) -> None:
    """One more certificate with the thief's key, as if acme had announced it."""
    heir = authority(ACME, key=shared.key, not_before=start)
    acme.core.configure(lambda live: live.domain_keys.put(ACME, heir.certificate, heir.key_der, "next"))
    asyncio.run(acme.announce_desk.announce(ACME, "test"))
    post(acme, bolt)
    acme.core.configure(lambda live: live.domain_keys.delete(ACME, heir.certificate.thumbprint))


def stranger_is_heard(bolt: Gateway) -> bool:
    kim = make_user("kim@partner.example", kind="p256")
    bolt.takes("kim@partner.example", bolt.exchange, foreign_mail(kim, "kim@partner.example", bolt.exchange))
    return kim.certificate in [one.certificate for one in bolt.candidates()]


@pytest.mark.parametrize("rollover", ["approve", "automatic"])
def test_a_key_that_is_trusted_fills_no_store(
    pair: tuple[Gateway, Gateway], rollover: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on being heard, and mail to the partner judges a few certificates only. Heirs that begin no later than
    the current certificate leave it the one that may appoint."""
    monkeypatch.setattr("ime_gateway.store.candidate_rows.MOST_PENDING", 2 * MOST_ANNOUNCED)
    acme, bolt = pair
    bolt.knows(acme, rollover=rollover)
    shared, start = make_user(f"x@{ACME}"), acme.key.certificate.x509.not_valid_before_utc
    for _ in range(2 * MOST_ANNOUNCED):
        announced(acme, bolt, start, shared)
    with structlog.testing.capture_logs() as logs:
        announced(acme, bolt, start, shared)
    assert [line["log_level"] for line in logs] == ["error", "info"]
    assert len(bolt.candidates()) == MOST_ANNOUNCED
    assert len(bolt.certificates_of(ACME)) == (1 if rollover == "approve" else 10)
    assert stranger_is_heard(bolt)


@pytest.mark.parametrize("decided", ["", "rejected"])
def test_who_brings_the_next_certificate_first_stops_no_rollover(pair: tuple[Gateway, Gateway], decided: str) -> None:
    """It is no secret. What an administrator said of it stands."""
    acme, bolt = pair
    bolt.knows(acme, rollover="automatic")
    heir, eve = authority(ACME), authority(ACME)
    content = b"Content-Type: application/pkix-cert; name=next.pem\r\n\r\n" + heir.pem
    bolt.takes("eve@evil.example", bolt.exchange, foreign_mail(eve, f"eve@{ACME}", bolt.exchange, content=content))
    assert heir.certificate in [one.certificate for one in bolt.candidates()]
    if decided:
        bolt.candidate_desk.reject(heir.certificate.thumbprint, "test")
    acme.core.configure(lambda live: live.domain_keys.put(ACME, heir.certificate, heir.key_der, "next"))
    asyncio.run(acme.announce_desk.announce(ACME, "test"))
    post(acme, bolt)
    assert (heir.certificate.thumbprint in bolt.certificates_of(ACME)) is (not decided)
    states = {one.certificate: one.state for one in bolt.candidates("")}
    assert states == {heir.certificate: decided or "approved", eve.certificate: "pending"}


def test_announcements_with_a_key_that_is_believed_no_more_give_way(
    pair: tuple[Gateway, Gateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ime_gateway.store.candidate_rows.MOST_PENDING", 1)
    acme, bolt = pair
    bolt.core.configure(lambda live: live.delete_trust(acme.key.certificate.thumbprint))
    announced(acme, bolt, acme.key.certificate.x509.not_valid_before_utc, make_user(f"x@{ACME}"))
    assert len(bolt.candidates()) == 1
    assert stranger_is_heard(bolt)
