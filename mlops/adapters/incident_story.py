"""Everything that is known of one incident: windows, labels, retrains, decisions, mails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import estimates, incidents, retrains, windows
from mlops.adapters.ledger import Ledger
from mlops.adapters.mail import outbox
from mlops.core.canonical import from_json
from mlops.core.decision import Decision
from mlops.core.redacted import union, unwatched

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident
    from mlops.adapters.mail.outbox import Mail
    from mlops.adapters.retrains import Retrain
    from mlops.adapters.windows import Window
    from mlops.core.estimate import Score
    from mlops.core.fixed import Fixed

_LOOKED = 500
_SHOWN = 60
_AFTER = 5


@dataclass(frozen=True)
class Story:
    """One incident with what belongs to it.

    Attributes:
        incident: itself.
        windows: those around it, oldest first, also the quiet ones.
        retrains: that it asked for, oldest first.
        decisions: about versions that it led to, oldest first.
        mails: of its thread, oldest first.
        muted_until_s: until when its mails are held back; 0 for never.
        score: estimates of accuracy against what was measured later.
        error_score: those of a regression's mean absolute error, likewise.
    """

    incident: Incident
    windows: tuple[Window, ...]
    retrains: tuple[Retrain, ...]
    decisions: tuple[Decision, ...]
    mails: tuple[Mail, ...]
    muted_until_s: float
    score: Score | None
    error_score: Score | None = None

    @property
    def fixed(self) -> Fixed | None:
        """What the newest window says against the fixed reference."""
        return next((w.fixed for w in reversed(self.windows) if w.fixed), None)

    @property
    def unwatched(self) -> str:
        """What its windows were not judged by, in words; empty for nothing."""
        return unwatched(union(w.redacted for w in self.windows))


def tell(engine: sa.Engine, project: str, incident: str) -> Story:
    """Gather an incident's story.

    Raises:
        Unknown: if there is no such incident.
    """
    entries = Ledger(engine, project).entries()
    about = [e for e in entries if e.kind == "decided" and incident in e.body]
    decisions = [from_json(Decision, entry.body) for entry in about]
    with engine.connect() as connection:
        held = incidents.get(connection, project, incident)
        # What the server reports is about no window.
        recent = windows.latest(connection, project, _LOOKED) if held.kind != "serving" else ()
        return Story(
            incident=held,
            windows=_around(held, recent),
            retrains=retrains.of_incident(connection, project, held.id),
            decisions=tuple(d for d in decisions if d.incident == held.id),
            mails=outbox.thread(connection, project, held.id),
            muted_until_s=incidents.muted_until(connection, project, held.id),
            score=estimates.scored(recent),
            error_score=estimates.errors_scored(recent),
        )


def _around(held: Incident, recent: tuple[Window, ...]) -> tuple[Window, ...]:
    """Return the windows from some before the incident to some after it."""
    begun = held.body.since_seq
    at = next((n for n, window in enumerate(recent) if window.cut.last_seq >= begun), 0)
    end_seq = held.body.resolved_seq or recent[-1].cut.last_seq if recent else 0
    inside = [w for w in recent[max(at - _AFTER, 0) :] if w.cut.last_seq <= end_seq]
    return tuple(inside[-_SHOWN:])
