"""Prometheus metrics of the whole installation, read from the board and the queue at each scrape."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ime_gateway.app.board import OUTCOMES, Board, WorkerState
from ime_gateway.base.errors import StoreUnavailable


class GatewayCollector(Collector):
    """Makes the metric families; `queue_counts` gives queue rows by state."""

    def __init__(self, board: Board, queue_counts: Callable[[], dict[str, int]]) -> None:
        self._board = board
        self._queue_counts = queue_counts

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        totals = self._board.totals()
        messages = CounterMetricFamily(
            "imegw_messages", "Messages and recipients by what became of them", labels=["event"]
        )
        for name in OUTCOMES:
            messages.add_metric([name], totals[name])
        yield messages
        refused = CounterMetricFamily("imegw_refused", "Messages refused, by reason", labels=["reason"])
        for name, value in totals.items():
            if name.startswith("refused:"):
                refused.add_metric([name.removeprefix("refused:")], value)
        yield refused
        yield CounterMetricFamily("imegw_accepted_bytes", "Bytes of accepted messages", value=totals["accepted_bytes"])
        ready = sum(state is WorkerState.READY for state in self._board.states())
        yield GaugeMetricFamily("imegw_workers_ready", "Workers that take and deliver mail", value=ready)
        yield from self._queue()

    def _queue(self) -> Iterable[Metric]:
        try:
            counts = self._queue_counts()
        except StoreUnavailable:
            yield GaugeMetricFamily("imegw_store_up", "1 when the store answers", value=0)
            return
        yield GaugeMetricFamily("imegw_store_up", "1 when the store answers", value=1)
        rows = GaugeMetricFamily("imegw_queue_rows", "Rows of the queue by state", labels=["state"])
        for state, count in counts.items():
            rows.add_metric([state], count)
        yield rows


def metrics_app(board: Board, queue_counts: Callable[[], dict[str, int]]) -> Any:
    """A WSGI application that answers scrapes."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(board, queue_counts))
    return make_wsgi_app(registry)
