"""How pages write moments, thumbprints and reasons: one way everywhere, as the templates' filters."""

from datetime import UTC, datetime

from flask import Flask

from ime_gateway.admin.overview_desk import refused_with_message
from ime_gateway.base.reasons import Reason


def attach_words(app: Flask) -> None:
    """Make the filters known to all templates."""
    app.jinja_env.filters.update(utc=utc, groups=groups, sentence=sentence, count_of=count_of)
    app.jinja_env.filters.update(refused_with_message=refused_with_message)


def utc(moment: float) -> str:
    """A moment (seconds since 1970 UTC) as `2026-11-22 22:15 Z`; empty for 0, which means none."""
    if not moment:
        return ""
    try:
        return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%d %H:%M Z")
    except (OverflowError, ValueError, OSError):
        return "beyond the calendar"


def groups(thumbprint: str) -> str:
    """The digits in groups of four capitals, as the commands print them, to be compared over the telephone."""
    digits = thumbprint.removeprefix("sha256:").upper()
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def sentence(reason: str) -> str:
    """What a reason's word means; empty for words outside the closed list."""
    try:
        return Reason(reason).sentence
    except ValueError:
        return ""


def count_of(count: int, one: str, many: str = "") -> str:
    """`1 message`, `2 messages`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
