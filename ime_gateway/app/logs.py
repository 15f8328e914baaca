"""Logs: one JSON object per line on standard error, times in UTC, without subjects, bodies or secrets."""

import logging
import sys
import traceback
from types import TracebackType

import structlog

from ime_gateway.base.errors import GatewayError


def configure_logs() -> None:
    """Set up structlog for this process; values are escaped by JSON, so no line can be forged."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.ExceptionRenderer(_describe),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def _describe(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Where an unforeseen error happened, without its words: those may quote a message or a key.

    The words of our own errors and of the operating system are kept, they are written for the log.
    """
    kind, value, trace = exc_info
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
    words = f": {value}" if isinstance(value, GatewayError | OSError) else ""
    return " > ".join((*frames, f"{kind.__name__}{words}"))
