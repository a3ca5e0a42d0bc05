"""Times as verbs print them."""

from __future__ import annotations

from datetime import UTC, datetime


def time(seconds: float) -> str:
    """Return a time for people, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
