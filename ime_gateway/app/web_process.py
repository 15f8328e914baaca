"""The process that serves the web pages, healthz and metrics; mail never waits for it.

healthz is 200 only when every worker is ready and the store takes writes, because only then can a
message become durable before its 250.
"""

import hashlib
import hmac
import secrets
import signal
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import waitress

from ime_gateway.admin.desks import open_desks
from ime_gateway.admin.health import HealthReport, Status
from ime_gateway.app.board import Board, WorkerState
from ime_gateway.app.installation import Installation, open_installation
from ime_gateway.app.logs import configure_logs
from ime_gateway.app.metrics_page import metrics_app
from ime_gateway.app.parent_death import die_with_parent
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import StoreUnavailable
from webui.application import create_app
from webui.serving import open_server

_SILENT_SECONDS = 15.0
"""A worker whose event loop gave no sign for so long is taken for stuck."""

log = structlog.get_logger("web")


def run_web(
    config: Path,
    parent: int,
    site: socket.socket,
    metrics: socket.socket | None,
    ports: Mapping[str, int],
    board: Board,
) -> None:
    """Entry point of the web process; runs until SIGTERM."""
    die_with_parent(parent)
    configure_logs()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    with open_installation(config) as installation:
        health = Health(installation, board, ports)
        web = installation.settings.web
        desks = open_desks(installation.store.registry, SystemClock(), secrets.token_bytes)
        secret = hmac.digest(installation.master_key, b"web sessions", hashlib.sha256)
        pages = create_app(desks, health, behind_tls=web.behind_tls, secret_key=secret)
        if metrics is not None:
            answering = metrics_app(board, installation.store.registry.queue_counts)
            threading.Thread(target=_serve_metrics, args=(answering, metrics), daemon=True).start()
        open_server(pages, site, web.trusted_proxy).run()


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _serve_metrics(application: Any, listening: socket.socket) -> None:
    waitress.create_server(application, sockets=[listening], threads=1, ident=None).run()


class Health:
    """Makes the report of healthz at each call."""

    def __init__(self, installation: Installation, board: Board, ports: Mapping[str, int]) -> None:
        self._installation = installation
        self._board = board
        self._ports = ports

    def __call__(self) -> HealthReport:
        """How the gateway is right now."""
        checks = {"store": self._store(), "workers": self._workers()}
        return HealthReport(self._status(checks), checks, self._ports)

    def _status(self, checks: Mapping[str, str]) -> Status:
        if self._board.stopping:
            return "stopping"
        if all(words == "ok" for words in checks.values()):
            return "ok"
        started = [state for state in self._board.states() if state is not WorkerState.STARTING]
        return "degraded" if started else "starting"

    def _store(self) -> str:
        try:
            self._installation.store.registry.check_write()
        except StoreUnavailable as error:
            log.error("store does not write", cause=error.evidence or str(error))
            return str(error)
        return "ok"

    def _workers(self) -> str:
        now = time.monotonic()
        states = self._board.states()
        ready = sum(
            state is WorkerState.READY and now - beat < _SILENT_SECONDS
            for state, beat in zip(states, self._board.beats(), strict=True)
        )
        return "ok" if ready == len(states) else f"{ready} of {len(states)} workers are ready"
