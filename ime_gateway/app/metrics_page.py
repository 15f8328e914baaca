"""Prometheus metrics of the whole installation, read from the board and the queue at each scrape."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ime_gateway.admin.expiry import endings
from ime_gateway.app.board import OUTCOMES, Board
from ime_gateway.app.health import Health
from ime_gateway.base.errors import StoreUnavailable
from ime_gateway.ports.registry import Registry


class GatewayCollector(Collector):
    """Makes the metric families, in the same words and by the same judgement as healthz."""

    def __init__(self, board: Board, registry: Registry, health: Health) -> None:
        self._board = board
        self._registry = registry
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        totals = self._board.totals()
        help_text = "Messages and recipients by what became of them"
        messages = CounterMetricFamily("imegw_messages", help_text, labels=["event"])
        for name in OUTCOMES:
            messages.add_metric([name], totals[name])
        yield messages
        refused = CounterMetricFamily("imegw_refused", "Refusals, by reason", labels=["reason"])
        for name, value in totals.items():
            if name.startswith("refused:"):
                refused.add_metric([name.removeprefix("refused:")], value)
        yield refused
        yield CounterMetricFamily("imegw_accepted_bytes", "Bytes of accepted messages", value=totals["accepted_bytes"])
        report = self._health()
        workers = self._health.ready_workers
        yield GaugeMetricFamily("imegw_workers_ready", "Workers that take and deliver mail", value=workers)
        yield GaugeMetricFamily("imegw_healthy", "1 when healthz says ok", value=int(report.healthy))
        writes = int(report.checks["store"] == "ok")
        yield GaugeMetricFamily("imegw_store_up", "1 when the store takes writes", value=writes)
        if writes:
            yield from self._queue()
            yield from self._ime()
            yield from self._candidates()
            yield from self._ends()

    def _queue(self) -> Iterable[Metric]:
        try:
            counts, oldest = self._registry.queue_counts(), self._registry.queue_lines(limit=1)
        except StoreUnavailable:
            return
        rows = GaugeMetricFamily("imegw_queue_rows", "Rows of the queue by state", labels=["state"])
        for state, count in counts.items():
            rows.add_metric([state], count)
        yield rows
        age = max(0.0, time.time() - oldest[0].received_at) if oldest else 0.0
        yield GaugeMetricFamily("imegw_queue_oldest_seconds", "Age of the oldest message in the queue", value=age)

    def _ime(self) -> Iterable[Metric]:
        """Of domains that have an IME address: a key without one opens nothing, and its end is nobody's worry."""
        try:
            with self._registry.transaction(write=False) as live:
                managed, keys, pending = live.view().managed, live.ime_keys(), live.container_counts().pending
        except StoreUnavailable:
            return
        help_text = "When the certificate of a domain's IME address expires, seconds since 1970 UTC"
        expiries = GaugeMetricFamily("imegw_ime_key_expires_timestamp_seconds", help_text, labels=["domain"])
        for key in keys:
            if key.is_current and key.domain in managed and managed[key.domain].ime_address:
                expiries.add_metric([key.domain], key.certificate.not_after)
        yield expiries
        yield GaugeMetricFamily("imegw_signers_pending", "Signers that wait to be confirmed or approved", value=pending)

    def _candidates(self) -> Iterable[Metric]:
        try:
            with self._registry.transaction(write=False) as live:
                pending = live.candidates.pending()
        except StoreUnavailable:
            return
        help_text = "Certificates brought by mail or directories that wait for approval"
        yield GaugeMetricFamily("imegw_candidates_pending", help_text, value=pending)

    def _ends(self) -> Iterable[Metric]:
        """Of domains and authorities. People's certificates are too many; log and mail name those that end."""
        try:
            with self._registry.transaction(write=False) as live:
                found = endings(live)
        except StoreUnavailable:
            return
        help_text = "When a certificate in use expires, seconds since 1970 UTC"
        labels = ["kind", "owner", "certificate"]
        expiries = GaugeMetricFamily("imegw_certificate_expiry_seconds", help_text, labels=labels)
        for (kind, owner, thumbprint), not_after in {
            (e.kind, e.owner, e.thumbprint): e.not_after for e in found
        }.items():
            expiries.add_metric([kind, owner, thumbprint], not_after)
        yield expiries


def metrics_app(board: Board, registry: Registry, health: Health) -> Any:
    """A WSGI application that answers scrapes."""
    collectors = CollectorRegistry()
    collectors.register(GatewayCollector(board, registry, health))
    return make_wsgi_app(collectors)
