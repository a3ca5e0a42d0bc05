"""What a judged window does to incidents: opened once, followed, resolved; in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import gradual, incidents, windows
from mlops.adapters.changes import changes
from mlops.adapters.happened import event, join
from mlops.adapters.incidents import ACCURACY, Findings, Incident, Moment
from mlops.core.complete_rule import CompleteRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.estimates import Known
    from mlops.adapters.windows import Window
    from mlops.core.alarm import Rule
    from mlops.core.columns import Columns
    from mlops.core.continuous import Detector
    from mlops.site import Event

_LOOK_BACK = 64
_DRIFT: incidents.Kind = "drift"
_QUALITY: incidents.Kind = "quality"


@dataclass(frozen=True)
class Judged:
    """A window that was judged just now.

    Attributes:
        window: as it stands in the database.
        rows: its sound rows; None when hardly any is sound.
        baseline: of its version.
        known: what the version's labelled reference rows teach.
        serving: the version in service. Only its windows open or resolve an incident:
            what a replaced version's last rows show is history, and a canary's are on trial.
        since_s: since when it is, seconds since 1970; 0 where the ledger does not say.
        now_s: seconds since 1970.
    """

    window: Window
    rows: Columns | None
    baseline: Baseline
    known: Known
    serving: str
    since_s: float
    now_s: float

    @property
    def counts(self) -> bool:
        """Whether the rule looks at it."""
        return self.window.cut.version == self.serving


def respond(
    connection: sa.Connection, judged: Judged, rule: Rule, detector: Detector | None = None
) -> tuple[Event, ...]:
    """Open, follow or resolve the incidents that a window concerns; return what happened.

    Broken data pages at once. Drift follows the K-of-N rule, in which windows with broken data
    are no evidence either way, and the evidence that adds up over windows, if it is asked for.
    """
    both = CompleteRule(rule, detector)
    return (*_quality(connection, judged, rule), *_drift(connection, judged, both))


def _quality(connection: sa.Connection, judged: Judged, rule: Rule) -> tuple[Event, ...]:
    verdict = judged.window.verdict
    held = incidents.find_open(connection, judged.window.cut.project, _QUALITY)
    if verdict.breaks and held is not None:
        held, happened = join(held, verdict.breaks if judged.counts else (), judged.now_s)
        _update(connection, held, judged)
        return happened
    if verdict.breaks and judged.counts:
        made = _open(connection, judged, [judged.window], _QUALITY, verdict.breaks[0])
        return (event("quality.broken", made),)
    if not verdict.breaks and held is not None and judged.counts:
        since = _since(connection, judged, held.body.opened_seq)
        if rule.clears([bool(w.verdict.breaks) for w in since]):
            _quiet(connection, held, judged)
    return ()


def _drift(connection: sa.Connection, judged: Judged, rule: CompleteRule) -> tuple[Event, ...]:
    if judged.window.verdict.breaks:
        return ()
    held = incidents.find_open(connection, judged.window.cut.project, _DRIFT)
    if held is not None:
        return _follow(connection, held, judged, rule)
    made = _raised(connection, judged, rule) if judged.counts else None
    return (event("drift.detected", made),) if made else ()


def _follow(
    connection: sa.Connection, held: Incident, judged: Judged, rule: CompleteRule
) -> tuple[Event, ...]:
    window = judged.window
    if window.verdict.drifted or (judged.counts and rule.gathered(window)):
        _update(connection, held, judged)
        return ()
    if not judged.counts:
        return ()
    since = _clean(_since(connection, judged, held.body.opened_seq))
    if not rule.clears(since):
        return ()
    if not held.ends_quietly(window.cut.version):
        return ()
    held = replace(held, body=held.body.owing("drift.cleared", held.cause))
    return (event("drift.cleared", _quiet(connection, held, judged)),)


def _raised(connection: sa.Connection, judged: Judged, rule: CompleteRule) -> Incident | None:
    project = judged.window.cut.project
    found = rule.raised(
        _clean(_since(connection, judged, incidents.drift_ended(connection, project)))
    )
    if found is None:
        return None
    why = ""
    if found.gradual and rule.detector is not None:
        why = gradual.told(found.windows, rule.detector.limit, judged.baseline)
    return _open(connection, judged, found.windows, _DRIFT, found.cause, why=why)


def _since(connection: sa.Connection, judged: Judged, floor: int) -> list[Window]:
    """Return the version's own newest windows after a place in the log, oldest first.

    A canary's windows beside them break no run. Those from before the version came into service,
    when another one served or it was tried itself, are no part of it.
    """
    found = windows.latest_of(connection, judged.window.cut, floor, _LOOK_BACK)
    return [w for w in found if w.cut.end_s > judged.since_s or w.id == judged.window.id]


def _clean(found: Sequence[Window]) -> list[Window]:
    return [w for w in found if not w.verdict.breaks]


def _open(
    connection: sa.Connection,
    judged: Judged,
    alarming: Sequence[Window],
    kind: incidents.Kind,
    cause: str,
    *,
    why: str = "",
) -> Incident:
    cut = judged.window.cut
    body = Findings(
        windows=tuple(w.id for w in alarming),
        since_seq=alarming[0].cut.first_seq,
        opened_seq=cut.last_seq,
        columns=changes(alarming[-1].verdict, judged.baseline, judged.rows),
        shown=alarming[-1].id,
        breaks=judged.window.verdict.breaks,
        causes=judged.window.verdict.breaks,
        severity=max(w.verdict.severity for w in alarming),
        reference_accuracy=judged.baseline.accuracy,
        regression=judged.window.regression,
        gradual=why,
        reference_mix=judged.known.mix,
        timeline=(Moment(judged.now_s, f"opened: {cause} in window {cut.id}"),),
        due=("needs you",) if kind == _QUALITY else ("detected",),
    ).owing("quality.broken" if kind == _QUALITY else "drift.detected", cause)
    made = Incident(
        id=f"{kind}-{cut.id}", project=cut.project, kind=kind, cause=cause, version=cut.version,
        state="open", opened_s=judged.now_s, updated_s=judged.now_s, resolved_s=None, body=body,
    )  # fmt: skip
    made = incidents.open_once(connection, made)
    windows.set_incident(connection, made.body.windows, made.id)
    return made


def _update(connection: sa.Connection, held: Incident, judged: Judged) -> None:
    """Add an alarming window; a later version that still alarms takes the incident over.

    The columns stay those of the alarm: mails, pages and `mlops why` tell them as what it was.
    """
    window, body = judged.window, held.body
    taken = window.cut.version != held.version and judged.counts and held.cause != ACCURACY
    if taken:
        body = replace(
            body,
            lossy=False,  # what the version before lost is not measured of this one
            since_seq=window.cut.first_seq,
            reference_accuracy=judged.baseline.accuracy,
            reference_mix=judged.known.mix,
        ).told(judged.now_s, f"version {window.cut.version} took over and alarms too")
        held = replace(held, version=window.cut.version)
    first = taken or not any(c.value >= c.threshold for c in body.columns)
    body = replace(
        body,
        windows=(*body.windows, window.id),
        severity=max(body.severity, window.verdict.severity),
        columns=changes(window.verdict, judged.baseline, judged.rows) if first else body.columns,
        shown=window.id if first else body.shown,
        breaks=window.verdict.breaks,
    )
    if body.severity > held.body.severity:
        body = body.told(judged.now_s, f"worse: severity {body.severity} in window {window.id}")
    incidents.save(connection, replace(held, body=body, updated_s=judged.now_s))
    windows.set_incident(connection, [window.id], held.id)


def _quiet(connection: sa.Connection, held: Incident, judged: Judged) -> Incident:
    words = f"window {judged.window.id} is quiet"
    return resolve(
        connection, held, words, seq=judged.window.cut.last_seq, now_s=judged.now_s
    )  # fmt: skip


def resolve(
    connection: sa.Connection, held: Incident, words: str, *, seq: int, now_s: float
) -> Incident:
    """Close an incident, and make the mail that says so due.

    Args:
        connection: inside a transaction that has taken `windows.serialise`.
        held: the incident.
        words: why, for its timeline.
        seq: last prediction of the window that closes it.
        now_s: seconds since 1970.
    """
    body = replace(held.body, resolved_seq=seq, due=(*held.body.due, "resolved"))
    body = body.told(now_s, f"resolved: {words}")
    done = replace(held, state="resolved", resolved_s=now_s, updated_s=now_s, body=body)
    incidents.save(connection, done)
    return done
