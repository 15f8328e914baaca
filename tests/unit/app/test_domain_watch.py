"""Once an hour: the next key takes over in its time, and what ends is logged, mailed and shown to the metrics."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.app.domain_watch import watch_domains
from ime_gateway.pipeline.own_mail import QueuedOutbox
from ime_gateway.settings.site import ManagedDomain, Policy
from ime_gateway.store.database import Store, open_store
from tests.pki import DAY, NOW, make_user

AUTHORITY = "domain-confidentiality-authority@acme.example"
SECONDS = 86_400.0


@pytest.fixture
def clock() -> Any:
    made = SimpleNamespace(moment=NOW.timestamp())
    made.now = lambda: made.moment
    return made


@pytest.fixture
def store(tmp_path: Path, clock: Any) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/gateway.db", bytes(32), tmp_path, clock, secrets.token_bytes)
    opened.migrate()
    with opened.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="smtp://127.0.0.1:9"), ())
        live.put_policy(Policy(administrators=("ada@acme.example",)))
        for state, end in (("current", NOW + 25 * DAY), ("next", NOW + 27 * DAY)):
            key = make_user(AUTHORITY, not_after=end)
            live.domain_keys.put("acme.example", key.certificate, key.key_der, state)  # type: ignore[arg-type]
    yield opened
    opened.close()


def watched(store: Store, clock: Any) -> list[tuple[str, str]]:
    outbox = QueuedOutbox(store.queue, store.spool, secrets.token_bytes)
    keys = DomainKeyDesk(store.registry, clock, secrets.token_bytes)
    expiry = ExpiryDesk(store.registry, outbox, clock, secrets.token_bytes, "gw.acme.example")
    with capture_logs() as logs:
        asyncio.run(watch_domains(keys, expiry))
    return [(line["log_level"], line["event"]) for line in logs]


def test_an_hour_like_any_other(store: Store, clock: Any) -> None:
    ended = ("warning", "certificate ends")
    told = ("info", "administrators were told of certificates that end")
    assert watched(store, clock) == [ended, told], "of the next key; the current one has an heir"
    (line,) = store.registry.queue_lines()
    assert (line.recipient, line.sender) == ("ada@acme.example", "")
    assert watched(store, clock) == [ended], "it stands in the log, but is mailed once"
    assert len(store.registry.queue_lines()) == 1
    clock.moment += 25 * SECONDS + 1
    assert watched(store, clock) == [("info", "the next domain key took over"), ended, told]
    with store.registry.transaction(write=False) as live:
        assert [key.state for key in live.domain_keys.list()] == ["current", "older"]
        assert ("housekeeping", "domain-key-takes-over") in [(one.actor, one.action) for one in live.audit_lines()]
