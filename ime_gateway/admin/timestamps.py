"""Moments in words: RFC 3339 in UTC with `Z`, as every listing and JSON answer writes them (design 6.1)."""

from datetime import UTC, datetime


def rfc3339(moment: float) -> str:
    """A moment (seconds since 1970 UTC) as `2026-03-31T09:15:00Z`; fractions of a second are cut."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
