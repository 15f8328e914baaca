"""The parent of `serve`: binds the ports, starts workers and web pages, restarts what dies, stops in order.

Workers are separate processes that share nothing but the store and the listening sockets, so one
that dies takes no mail with it: what was answered with 250 is in the store, everything else its
peer still has (P3). SIGTERM and SIGINT drain, SIGHUP restarts the workers one by one with the settings
as they are on disk.
"""

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from ime_gateway.app.board import Board, WorkerState
from ime_gateway.app.children import start_web, start_worker
from ime_gateway.app.installation import load_installation, open_installation
from ime_gateway.app.logs import configure_logs
from ime_gateway.app.only_one import only_one
from ime_gateway.app.preflight.run import refuse_unfit
from ime_gateway.app.sockets import bind_host_and_port, bind_listeners, port_of
from ime_gateway.base.errors import ConfigurationError
from ime_gateway.settings.model import Settings
from ime_gateway.smtp.limits import NOT_SERVING

_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "16777216"}
"""glibc otherwise maps and unmaps every buffer of a message anew: 3 to 4 times slower (bench/README.md)."""
_RESTART_SECONDS = (0.2, 1.0, 5.0, 15.0)
"""Pause before a dead worker is started again; the last repeats."""
_STABLE_SECONDS = 60.0
_POLL_SECONDS = 0.2
_DRAIN_SECONDS = 60.0
_STUCK_SECONDS = 45.0

log = structlog.get_logger("supervisor")


@dataclass(slots=True)
class _Child:
    """A process we keep alive."""

    name: str
    start: Callable[[], SpawnProcess]
    process: SpawnProcess
    started_at: float
    failures: int = 0
    due: float = 0.0
    """When to start it again; 0 while it runs."""


def serve(config: Path, workers: int | None = None) -> None:
    """Run until a signal says stop; returns after everything was drained.

    config: the path of `gateway.toml`. workers: overrides `[smtp] workers`. Raises ConfigurationError or
    StoreUnavailable before anything is started.
    """
    settings = load_installation(config).settings
    refuse_unfit(settings, time.time())
    with only_one(config), open_installation(config) as installation:
        before = installation.upgrade_schema()
        if before.kind == "older":
            configure_logs()
            log.info("database upgraded", schema_before=before.found, schema_now=before.wanted)
        Supervisor(config, settings, workers or settings.smtp.workers).run()


class Supervisor:
    """Owns the sockets and the child processes."""

    def __init__(self, config: Path, settings: Settings, workers: int) -> None:
        self._config = config
        self._settings = settings
        self._board = Board(workers)
        self._sockets = bind_listeners(settings)
        self._web = bind_host_and_port(settings.web.admin, "[web] admin")
        self._metrics = _bind_optional(settings.metrics.address, "[metrics] address")
        self._portal = _bind_optional(settings.web.portal, "[web] portal")
        self._context = multiprocessing.get_context("spawn")
        self._connections = self._context.RawArray("i", workers)
        self._children: list[_Child] = []
        self._stop = False
        self._reload = False

    def run(self) -> None:
        """Start everything, watch over it, stop it."""
        configure_logs()
        for name, value in _MALLOC.items():
            os.environ.setdefault(name, value)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        self._children = [
            self._child(f"worker-{index}", self._worker_starter(index)) for index in range(self._board.workers)
        ]
        self._children.append(self._child("web", self._start_web))
        ports = {name: port_of(listening) for name, listening in self._sockets.items()}
        portal = None if self._portal is None else port_of(self._portal)
        log.info("started", listeners=ports, web=port_of(self._web), portal=portal, workers=self._board.workers)
        while not self._stop:
            self._watch()
            if self._reload:
                self._reload = False
                self._restart_workers()
            time.sleep(_POLL_SECONDS)
        self._shut_down()

    def _child(self, name: str, start: Callable[[], SpawnProcess]) -> _Child:
        return _Child(name, start, start(), time.monotonic())

    def _worker_starter(self, index: int) -> Callable[[], SpawnProcess]:
        def start() -> SpawnProcess:
            self._board.set_state(index, WorkerState.STARTING)
            arguments = (self._config, index, os.getpid(), self._sockets, self._board, self._connections)
            process = self._context.Process(target=start_worker, args=arguments, name=f"ime-gateway worker {index}")
            process.start()
            return process

        return start

    def _start_web(self) -> SpawnProcess:
        ports = {name: port_of(listening) for name, listening in self._sockets.items()}
        arguments = (self._config, os.getpid(), self._web, self._portal, self._metrics, ports, self._board)
        process = self._context.Process(target=start_web, args=arguments, name="ime-gateway web")
        process.start()
        return process

    def _watch(self) -> None:
        """Start again what died, ever more slowly while it keeps dying."""
        now = time.monotonic()
        self._kill_stuck(now)
        for index, child in enumerate(self._children):
            if child.due == 0.0 and child.process.exitcode is not None:
                if now - child.started_at > _STABLE_SECONDS:
                    child.failures = 0
                pause = _RESTART_SECONDS[min(child.failures, len(_RESTART_SECONDS) - 1)]
                child.failures += 1
                child.due = now + pause
                log.error(
                    "process died", process=child.name, exit_status=child.process.exitcode, again_in_seconds=pause
                )
                if index < self._board.workers:
                    self._board.set_state(index, WorkerState.GONE)
                    self._connections[index] = NOT_SERVING
            if child.due and now >= child.due:
                child.process, child.started_at, child.due = child.start(), now, 0.0

    def _kill_stuck(self, now: float) -> None:
        """A worker whose event loop has not run for so long will not answer again: another takes its place."""
        beats, states = self._board.beats(), self._board.states()
        for index, child in enumerate(self._children[: self._board.workers]):
            silent = now - max(beats[index], child.started_at)
            if states[index] is WorkerState.READY and silent > _STUCK_SECONDS and child.process.exitcode is None:
                log.error("worker is stuck and killed", process=child.name, silent_seconds=round(silent))
                child.process.kill()
                child.process.join()

    def _restart_workers(self) -> None:
        """SIGHUP: new settings, one worker at a time, so that the ports stay open."""
        try:
            settings = load_installation(self._config).settings
            refuse_unfit(settings, time.time())
        except ConfigurationError as error:
            log.error("settings not reloaded", cause=str(error))
            return
        if (settings.store, settings.secrets) != (self._settings.store, self._settings.secrets):
            log.error("settings not reloaded", cause="store and secrets change only with a restart")
            return
        if (settings.listener, settings.web) != (self._settings.listener, self._settings.web):
            log.warning("listeners' addresses and web settings change only with a restart")
        self._settings = settings
        self._board.reloading = True
        try:
            self._replace_workers()
        finally:
            self._board.reloading = False

    def _replace_workers(self) -> None:
        for index, child in enumerate(self._children[: self._board.workers]):
            if self._stop:
                return
            self._stop_child(child, time.monotonic() + _DRAIN_SECONDS)
            child.process, child.started_at, child.due = child.start(), time.monotonic(), 0.0
            if not self._is_ready_soon(index):
                log.error("settings not reloaded by all workers", process=child.name)
                return
        log.info("settings reloaded")

    def _is_ready_soon(self, index: int) -> bool:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline and self._board.states()[index] is not WorkerState.READY:
            if self._stop or self._children[index].process.exitcode is not None:
                return False
            time.sleep(_POLL_SECONDS)
        return self._board.states()[index] is WorkerState.READY

    def _shut_down(self) -> None:
        self._board.stop()
        log.info("stopping")
        deadline = time.monotonic() + _DRAIN_SECONDS
        workers, web = self._children[: self._board.workers], self._children[self._board.workers :]
        for child in workers:
            if child.process.exitcode is None:
                child.process.terminate()
        for listening in self._sockets.values():
            listening.close()
        for child in (*workers, *web):
            self._stop_child(child, deadline)
        for pages in (self._web, self._portal, self._metrics):
            if pages is not None:
                pages.close()
        log.info("stopped")

    def _stop_child(self, child: _Child, deadline: float) -> None:
        if child.process.exitcode is None:
            child.process.terminate()
            child.process.join(max(0.0, deadline - time.monotonic()))
        if child.process.exitcode is None:
            log.warning("process did not stop in time", process=child.name)
            child.process.kill()
            child.process.join()

    def _on_stop(self, _number: int, _frame: object) -> None:
        self._stop = True

    def _on_reload(self, _number: int, _frame: object) -> None:
        self._reload = True


def _bind_optional(address: str, what: str) -> socket.socket | None:
    """A socket for a `HOST:PORT` setting that may be empty."""
    return bind_host_and_port(address, what) if address else None
