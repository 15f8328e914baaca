"""Where the children of `serve` begin: each loads what it needs itself, and their parent nothing of it."""

from typing import Any

from ime_gateway.app.loading import load


def start_worker(*arguments: Any) -> None:
    """In a new process; see `run_worker`."""
    (worker,) = load(["ime_gateway.app.worker"])
    worker.run_worker(*arguments)


def start_web(*arguments: Any) -> None:
    """In a new process; see `run_web`."""
    (web_process,) = load(["ime_gateway.app.web_process"])
    web_process.run_web(*arguments)
