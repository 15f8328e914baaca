"""Once an hour the log says which IME keys will soon refuse mail, and with which command that is mended."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from ime_gateway.app.housekeeping import keep_house
from ime_gateway.settings.site import ManagedDomain
from ime_gateway.store.database import Store, open_store
from tests.pki import NOW, make_user

DAY = 86_400.0
MOMENT = NOW.timestamp()
ADDRESS = "dca@ime.acme.example"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """acme.example has an IME address whose key was changed; b.example has none."""
    clock = SimpleNamespace(now=lambda: MOMENT)
    opened = open_store(f"sqlite:///{tmp_path}/gateway.db", bytes(32), tmp_path, clock, secrets.token_bytes)
    opened.migrate()
    with opened.registry.transaction(write=True) as live:
        live.put_managed_domain(ManagedDomain(name="b.example", deliver_to="mx"), ())
        live.put_managed_domain(ManagedDomain(name="acme.example", deliver_to="mx", ime_address=ADDRESS), ())
        for _ in range(2):
            key = make_user(ADDRESS)
            live.put_ime_key("acme.example", key.certificate, key.key_der, older_open_until=MOMENT + 20 * DAY)
    yield opened
    opened.close()


def said(store: Store, moment: float) -> list[tuple[str, str, str]]:
    with capture_logs() as logs:
        keep_house(store, moment)
    return [(line["log_level"], line["domain"], line.get("note", line["event"])) for line in logs]


def test_a_key_in_its_time_makes_no_noise(store: Store) -> None:
    assert said(store, MOMENT) == []


def test_an_overlap_that_ends_is_told_before_and_after(store: Store) -> None:
    ((level, domain, before),) = said(store, MOMENT + 18 * DAY)
    assert (level, domain) == ("warning", "acme.example")
    assert "opens containers only until" in before
    assert said(store, MOMENT + 21 * DAY) == [
        ("info", "acme.example", "private key of an older IME certificate erased, its overlap is over")
    ]


@pytest.mark.parametrize(("days", "words"), [(-10, "expires at"), (10, "expired at")])
def test_a_key_that_ends_is_told_with_its_remedy(store: Store, days: int, words: str) -> None:
    with store.registry.transaction(write=False) as live:
        (end,) = [key.certificate.not_after for key in live.ime_keys() if key.is_current]
    warnings = [line for line in said(store, end + days * DAY) if line[0] == "warning"]
    ((_, domain, note),) = warnings
    assert domain == "acme.example"
    assert words in note and note.endswith("run: ime-gateway ime rotate acme.example")
