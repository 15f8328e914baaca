"""The process that serves the web pages, healthz and metrics; mail never waits for it.

One process for all of it: web sessions and login throttling live in its memory.
"""

import hashlib
import hmac
import secrets
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import waitress

from ime_gateway.admin.desks import open_desks
from ime_gateway.admin.pki_places import PkiFiles
from ime_gateway.app.board import Board
from ime_gateway.app.health import Health, StoreProbe
from ime_gateway.app.installation import Installation, open_installation
from ime_gateway.app.logs import configure_logs
from ime_gateway.app.metrics_page import metrics_app
from ime_gateway.app.parent_death import die_with_parent
from ime_gateway.app.system_clock import SystemClock
from ime_gateway.base.errors import GatewayError
from webui.application import create_app
from webui.portal.public_site import create_public_app
from webui.serving import open_server

log = structlog.get_logger("web")


def run_web(
    config: Path,
    parent: int,
    site: socket.socket,
    portal: socket.socket | None,
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
    try:
        with open_installation(config) as installation:
            _serve(installation, site, portal, metrics, ports, board)
    except GatewayError as error:
        log.error("web pages cannot start", cause=error.evidence or str(error))
        raise SystemExit(1) from error


def _serve(
    installation: Installation,
    site: socket.socket,
    portal: socket.socket | None,
    metrics: socket.socket | None,
    ports: Mapping[str, int],
    board: Board,
) -> None:
    registry, web = installation.store.registry, installation.settings.web
    probe = StoreProbe(registry.check_write, registry.check_live_data)
    probe.start()
    health = Health(probe, board, ports)
    desks = open_desks(registry, SystemClock(), secrets.token_bytes)
    secret = hmac.digest(installation.master_key, b"web sessions", hashlib.sha256)
    pages = create_app(desks, health, behind_tls=web.behind_tls, secret_key=secret)
    if metrics is not None:
        answering = metrics_app(board, registry, health)
        threading.Thread(target=_serve_metrics, args=(answering, metrics), daemon=True).start()
    if portal is not None:
        public = create_public_app(PkiFiles(registry))
        threading.Thread(target=open_server(public, portal, web.trusted_proxy).run, daemon=True).start()
    open_server(pages, site, web.trusted_proxy).run()


def _stop(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _serve_metrics(application: Any, listening: socket.socket) -> None:
    waitress.create_server(application, sockets=[listening], threads=1, ident=None).run()
