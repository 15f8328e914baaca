"""Administrators hear by mail of certificates that wait, once a day; nobody outside does."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ime_gateway.admin.notice_desk import NoticeDesk
from ime_gateway.app.assemble import build_outbox
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.ports.incoming import Candidate
from ime_gateway.settings.site import Policy
from tests.core import close
from tests.exchange_world import ACME, Gateway, make_gateway
from tests.pki import make_user


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Gateway]:
    made = make_gateway(tmp_path, ACME)
    yield made
    close(made.core)


def tell(acme: Gateway) -> int:
    store = acme.core.store
    desk = NoticeDesk(store.registry, build_outbox(acme.core.installation), SystemClock(), os.urandom, "gw.acme")
    return asyncio.run(desk.tell_of_candidates())


def administrators(acme: Gateway, *addresses: str) -> None:
    acme.core.configure(lambda live: live.put_policy(Policy(administrators=addresses)))


def bring(acme: Gateway, owner: str = "bob@partner.example", **changes: Any) -> None:
    one = Candidate(
        *(owner, "person", make_user(owner, kind="p256").certificate, changes.get("origin", "harvested")),
        changes.get("sender", "eve\r\nBcc: x@x.example"),
        *("<1@x>", "signed with it", changes.get("at", SystemClock().now())),
    )
    acme.core.configure(lambda live: live.candidates.bring(one))


def test_one_mail_a_day_to_each_administrator(acme: Gateway) -> None:
    administrators(acme, "anna@acme.example", "ben@acme.example")
    assert tell(acme) == 0
    bring(acme)
    assert tell(acme) == 2
    bring(acme, "carl@partner.example")
    assert tell(acme) == 0
    mails = sorted(acme.queued())
    assert [(sender, recipient) for sender, recipient, _ in mails] == [
        ("", "anna@acme.example"),
        ("", "ben@acme.example"),
    ]
    head, _, body = mails[0][2].partition(b"\r\n\r\n")
    assert b"Auto-Submitted: auto-generated" in head
    assert b"bob@partner.example (harvested, brought by eve??Bcc: x@x.example)" in body


def test_nobody_is_told_without_administrators(acme: Gateway) -> None:
    bring(acme)
    assert tell(acme) == 0
    administrators(acme, "eve@partner.example")
    assert tell(acme) == 0, "outside"
    assert acme.queued() == []


def test_old_ones_are_not_told_again(acme: Gateway) -> None:
    administrators(acme, "anna@acme.example")
    bring(acme, at=SystemClock().now() - 2 * 86_400)
    assert tell(acme) == 0


@pytest.mark.parametrize(
    ("origin", "days", "told"),
    [("announcement", 0, 1), ("announcement", 3, 0), ("announcement", 28, 1), ("harvested", 28, 0)],
)
def test_an_announced_certificate_that_waits_is_told_again_each_week(
    acme: Gateway, origin: str, days: int, told: int
) -> None:
    administrators(acme, "anna@acme.example")
    bring(acme, origin=origin, at=SystemClock().now() - days * 86_400 - 60)
    assert tell(acme) == told


def test_what_was_decided_is_not_told_and_many_are_counted(acme: Gateway) -> None:
    administrators(acme, "anna@acme.example")
    for number in range(23):
        bring(acme, f"p{number}@partner.example", sender=f"s{number}@x.example")
    waiting = acme.candidates()
    acme.candidate_desk.reject(waiting[0].certificate.thumbprint, "test")
    assert tell(acme) == 1
    [(_, _, wire)] = acme.queued()
    text = wire.partition(b"\r\n\r\n")[2]
    assert text.startswith(b"22 certificates") and b"    and 2 more\r\n" in text
    assert text.count(b"(harvested, brought by ") == 20 and waiting[0].owner.encode() not in text
    assert max(map(len, text.split(b"\r\n"))) < 200


def test_decided_ones_alone_are_no_news(acme: Gateway) -> None:
    administrators(acme, "anna@acme.example")
    bring(acme)
    acme.candidate_desk.reject(acme.candidates()[0].certificate.thumbprint, "test")
    assert tell(acme) == 0 and acme.queued() == []
