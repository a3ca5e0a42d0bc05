"""Section `mail`: how often people hear of alarms."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class MailSection(Section):
    """How often people hear of alarms (verb `monitor`); touching it retrains nothing."""

    group_minutes: float = Field(ge=0.0)
    """At most one thread of a kind is opened in so long; what alarms meanwhile is listed in the
    next one's first mail."""
    repeat_hours: float = Field(gt=0.0)
    """An incident that waits for a person is told again after so long."""
    digest_hour: int | None = Field(ge=0, le=23)
    """Hour, UTC, of a daily mail with what needed no mail of its own, such as shifts that were
    harmless when found; null for none: then they are logged only."""
