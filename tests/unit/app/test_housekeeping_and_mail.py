"""Housekeeping runs beside the mail of worker 0: it waits for the store in threads, never on the event loop."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ime_gateway.admin.announce_desk import AnnounceDesk
from ime_gateway.admin.domain_key_desk import DomainKeyDesk
from ime_gateway.admin.expiry_desk import ExpiryDesk
from ime_gateway.admin.notice_desk import NoticeDesk
from ime_gateway.admin.partner_mail import Writer
from ime_gateway.app.assemble import build_announcements, build_notices, build_outbox, watch_installation
from ime_gateway.app.domain_watch import watch_domains
from ime_gateway.app.housekeeping import each_by_itself, write_due_mail
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import StoreUnavailable, UserError
from ime_gateway.ports.incoming import Candidate
from ime_gateway.ports.registry import Registry, RegistryTransaction
from ime_gateway.settings.site import Policy
from tests.core import close
from tests.exchange_world import ACME, BOLT, Gateway, authority, make_gateway
from tests.pki import make_user


class OffTheLoop:
    """The registry, for threads only: where a loop runs, it says so instead of waiting."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.used = 0

    def transaction(self, *, write: bool) -> AbstractContextManager[RegistryTransaction]:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            pytest.fail("the store is asked on the event loop")
        self.used += 1
        return self._registry.transaction(write=write)


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Gateway]:
    """A gateway with something to tell: a next key, a certificate that waits, a key that ends."""
    for name in ("acme", "bolt"):
        (tmp_path / name).mkdir()
    made, bolt = make_gateway(tmp_path / "acme", ACME), make_gateway(tmp_path / "bolt", BOLT)
    made.knows(bolt)
    close(bolt.core)
    following = authority(ACME)
    waiting = Candidate(
        *("bob@partner.example", "person", make_user("bob@partner.example", kind="p256").certificate, "harvested"),
        *("bob@partner.example", "<1@x>", "signed with it", SystemClock().now()),
    )

    def act(live: Any) -> None:
        live.put_policy(Policy(administrators=(f"anna@{ACME}",), expiry_warning_days=(20_000,)))
        live.domain_keys.put(ACME, following.certificate, following.key_der, "next")
        live.candidates.bring(waiting)

    made.core.configure(act)
    yield made
    close(made.core)


def recipients(acme: Gateway) -> list[str]:
    return sorted(recipient for _, recipient, _ in acme.queued())


TOLD = [f"anna@{ACME}", f"anna@{ACME}", f"key-exchange@{BOLT}"]


def test_the_store_is_never_asked_on_the_loop(acme: Gateway) -> None:
    registry: Any = OffTheLoop(acme.core.store.registry)
    outbox, clock = build_outbox(acme.core.installation), SystemClock()
    writer = Writer(registry, clock, os.urandom, "gw.acme.example")

    async def hour() -> None:
        expiry = ExpiryDesk(registry, outbox, clock, os.urandom, "gw.acme.example")
        await watch_domains(DomainKeyDesk(registry, clock, os.urandom), expiry)
        notices = NoticeDesk(registry, outbox, clock, os.urandom, "gw.acme.example")
        await write_due_mail(AnnounceDesk(registry, outbox, writer), notices)

    asyncio.run(hour())
    assert registry.used > 5
    assert recipients(acme) == TOLD


def test_the_loop_answers_while_somebody_else_writes(acme: Gateway) -> None:
    """Another process holds the store's only writing place; the loop lives, and the work is done afterwards."""
    store, held, answered = acme.core.store, threading.Event(), threading.Event()
    by_the_loop: list[bool] = []

    def hold() -> None:
        with store.registry.transaction(write=True):
            held.set()
            by_the_loop.append(answered.wait(20))  # only a loop that stands still lets this end by itself

    async def hour() -> None:
        here = acme.core.installation
        chores = asyncio.create_task(
            each_by_itself(
                lambda: write_due_mail(build_announcements(here), build_notices(here)),
                lambda: watch_installation(here),
            )
        )
        for _ in range(3):  # rounds of the loop, in which the chores come to the store
            await asyncio.sleep(0)
        assert not chores.done()
        answered.set()
        await chores

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    asyncio.run(hour())
    holder.join()
    assert by_the_loop == [True]
    assert recipients(acme) == TOLD


def test_a_chore_that_fails_stops_neither_the_others_nor_the_worker() -> None:
    done = []

    async def chore(error: Exception | None) -> None:
        done.append(error)
        if error is not None:
            raise error

    async def hour() -> None:
        wrong = (UserError("no key"), StoreUnavailable("no store", "disk full"))
        await each_by_itself(*(lambda error=error: chore(error) for error in (*wrong, None)))  # type: ignore[misc]

    with capture_logs() as logs:
        asyncio.run(hour())
    assert len(done) == 3
    assert [(line["log_level"], line["cause"]) for line in logs] == [("error", "no key"), ("error", "disk full")]
