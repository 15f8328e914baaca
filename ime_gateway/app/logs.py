"""Logs: one JSON object per line on standard error, times in UTC, without subjects, bodies or secrets."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import structlog
from structlog.typing import EventDict, Processor

from ime_gateway.base.errors import GatewayError


def configure_logs() -> None:
    """Set up the logs of this process, ours and those of libraries (waitress, asyncio: warnings and worse); values are
    escaped by JSON, so no line can be forged."""
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    last: list[Processor] = [structlog.processors.ExceptionRenderer(_describe), structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*common, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


@contextmanager
def silent_logs() -> Iterator[None]:
    """No log lines of ours: for commands whose answer says the same, and must be all that is printed."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: object, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


def _describe(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Where an unforeseen error happened, without its words: those may quote a message or a key.

    The words of our own errors and of the operating system are kept, they are written for the log.
    """
    kind, value, trace = exc_info
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    words = f": {value}" if isinstance(value, GatewayError | OSError) else ""
    return " > ".join((*frames, f"{kind.__name__}{words}"))
