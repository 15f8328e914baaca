"""The gauges of IME 2.0: when a domain's key ends, and how many signers wait."""

import math

from ime_gateway.app.board import Board
from ime_gateway.app.health import Health, StoreProbe
from ime_gateway.app.metrics_page import GatewayCollector
from ime_gateway.settings.site import ManagedDomain
from tests.doubles.memory_registry import MemoryRegistry
from tests.doubles.site_world import fill


def scraped(registry: MemoryRegistry) -> dict[tuple[str, str], float]:
    """Values by metric and domain."""
    probe = StoreProbe(registry.check_write, registry.check_live_data)
    probe.ask()
    board = Board(1)
    families = GatewayCollector(board, registry, Health(probe, board, {})).collect()
    return {
        (sample.name, sample.labels.get("domain", "")): sample.value for family in families for sample in family.samples
    }


def test_expiry_of_current_keys_of_domains_that_use_them() -> None:
    registry = MemoryRegistry()
    fill(registry)
    values = scraped(registry)
    with registry.transaction(write=False) as live:
        current = next(key for key in live.ime_keys("acme.example") if key.opens_until == math.inf)
    name = "imegw_ime_key_expires_timestamp_seconds"
    assert {domain: value for (metric, domain), value in values.items() if metric == name} == {
        "acme.example": current.certificate.not_after
    }
    assert values["imegw_signers_pending", ""] == 2
    with registry.transaction(write=True) as live:
        acme = live.view().managed["acme.example"]
        live.put_managed_domain(replace_address(acme), ())
    assert not any(metric == name for metric, _ in scraped(registry)), "a key without an address worries nobody"


def replace_address(domain: ManagedDomain) -> ManagedDomain:
    return domain.model_copy(update={"ime_address": ""})
