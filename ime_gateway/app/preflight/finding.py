"""One result of `ime-gateway check`."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and what was found."""

    level: Level
    key: str
    """The setting it is about, as `listener.internal.allow`, or the thing, as `store`."""
    message: str
    """One sentence that says what to do when something is wrong; never with secrets."""


def ok(key: str, message: str) -> Finding:
    """Looked at, and fine."""
    return Finding("ok", key, message)


def warning(key: str, message: str) -> Finding:
    """The gateway starts, but probably not as meant."""
    return Finding("warning", key, message)


def error(key: str, message: str) -> Finding:
    """The gateway does not start, or is not safe."""
    return Finding("error", key, message)
