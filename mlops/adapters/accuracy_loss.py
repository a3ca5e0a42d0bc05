"""A loss of accuracy that labels show is an incident: opened, escalated, closed; once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, measured, pace, windows
from mlops.adapters.baseline import Baseline, read_baseline
from mlops.adapters.changes import changes
from mlops.adapters.estimates import read_mix
from mlops.adapters.happened import event
from mlops.adapters.incidents import ACCURACY, Findings, Incident, Moment
from mlops.adapters.response import resolve
from mlops.adapters.thresholds import rules
from mlops.core.accuracy_loss import Promise, over, shown, total
from mlops.core.alarm import grade
from mlops.core.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.adapters.asking import Sections
    from mlops.adapters.measured import Counted
    from mlops.core.alarm import Rule
    from mlops.site import Event


@dataclass(frozen=True)
class _Look:
    """One look at the labels of the version in service.

    Attributes:
        connection: inside a transaction that has taken `windows.serialise`.
        told: its measured windows since its own drift incident was last closed, oldest first.
        baseline: of the version.
        mix: of the labels of its reference.
        promise: what it may lose.
        rule: for how many windows accuracy must be back.
        rate: budgeted false incidents per window.
        now_s: seconds since 1970.
    """

    connection: sa.Connection
    told: tuple[Counted, ...]
    baseline: Baseline
    mix: tuple[int, ...]
    promise: Promise
    rule: Rule
    rate: float
    now_s: float

    @property
    def version(self) -> str:
        """The version in service."""
        return self.told[-1].window.cut.version

    def lost(self, after_seq: int = 0) -> tuple[Counted, ...]:
        """Return the windows since a loss beyond the margin began; none if none is shown."""
        told = tuple(c for c in self.told if c.window.cut.first_seq > after_seq)
        since = shown(_counts(told), self.promise, self.rate)
        return () if since is None else told[since:]

    def words(self, found: Sequence[Counted]) -> str:
        """Say what was measured: accuracy then and now, interval, labels, windows."""
        right, labels = total(_counts(found))
        seen = wilson(right, labels)
        first, last = found[0].window, found[-1].window
        where = first.id if first is last else f"{first.id} to {last.id}"
        measure = "coverage" if last.regression else "accuracy"
        return (
            f"{measure} {seen.value:.1%} ({seen.low:.1%} to {seen.high:.1%}) on {labels} labels of "
            f"{where}, {self.promise.accuracy:.1%} on {self.promise.labels} of the reference"
        )

    def loss_in(self, found: Sequence[Counted]) -> str:
        """Say the same of windows that show a loss."""
        return f"{self.words(found)}: a loss beyond the margin of {self.promise.margin:.1%}"

    def lost_in(self, found: Sequence[Counted]) -> tuple[float, float]:
        """Return accuracy on the reference, and in these windows."""
        right, labels = total(_counts(found))
        return self.promise.accuracy, right / labels

    def measured_from(self, held: Incident, found: Sequence[Counted]) -> int:
        """Return the place from which an incident is measured that these windows' loss joins.

        Its own, so that every label of it counts, unless what was right before the loss, or what
        another version answered, would hide the loss.
        """
        first = found[0].window.cut.first_seq
        own = [c for c in self.told if c.window.cut.first_seq >= held.body.since_seq]
        if held.version != self.version or not own:
            return first
        then, now = self.lost_in(own)
        return held.body.since_seq if then - now > self.promise.margin else first

    def severity(self, found: Sequence[Counted]) -> int:
        """Return 1 to 5, by how many margins were lost."""
        then, now = self.lost_in(found)
        return grade((then - now) / self.promise.margin)


def respond(
    engine: sa.Engine,
    project: str,
    sections: Sections,
    serving: tuple[str, Callable[[], Path]],
    *,
    now_s: float,
) -> tuple[Event, ...]:
    """Let the labels of the version in service open, escalate or close the drift incident.

    In one transaction, from what the database holds: run again, it changes nothing.

    Args:
        engine: the project's database.
        project: its name.
        sections: of `params.yaml`.
        serving: the version in service, and what fetches its folder; asked for only where there
            are labels enough.
        now_s: seconds since 1970.
    """
    monitoring, version = sections.monitoring, serving[0]
    expected = measured.expect(sections.labels, now_s)
    with engine.connect() as connection:
        # What ended a predecessor's incident is no reason to forget the version's own windows.
        floor = incidents.drift_ended(connection, project, version)
        told = measured.by_window(connection, project, version, floor, expected=expected)
        pace_minutes = pace.minutes(connection, project)
    if total(_counts(told))[1] < monitoring.min_labels:
        return ()
    folder = serving[1]()
    baseline = read_baseline(folder, told[-1].window.redacted)
    if baseline.accuracy is None:
        return ()
    wanted = rules(monitoring, pace_minutes)
    promise = Promise(
        baseline.accuracy, baseline.labels, monitoring.accuracy_margin, monitoring.min_labels
    )
    with engine.begin() as connection:
        windows.serialise(connection)
        if incidents.drift_ended(connection, project, version) != floor:
            return ()  # another process closed one meanwhile: the next look begins after it
        look = _Look(
            connection, told, baseline, read_mix(folder), promise, wanted.rule, wanted.rate, now_s
        )
        held = incidents.find_open(connection, project, "drift")
        return _open(look, project) if held is None else _follow(look, held)


def _open(look: _Look, project: str) -> tuple[Event, ...]:
    found = look.lost()
    if not found:
        return ()
    first, last = found[0].window, found[-1].window
    words = look.loss_in(found)
    body = Findings(
        windows=tuple(c.window.id for c in found), since_seq=first.cut.first_seq,
        opened_seq=last.cut.last_seq, columns=changes(last.verdict, look.baseline),
        shown=last.id,
        severity=look.severity(found), reference_accuracy=look.promise.accuracy,
        reference_mix=look.mix, regression=last.regression, loss=words,
        lost=look.lost_in(found), lossy=True,
        timeline=(Moment(look.now_s, f"opened: {words}"),), due=("detected",),
    ).owing("drift.detected", ACCURACY)  # fmt: skip
    made = incidents.open_once(look.connection, Incident(
        id=f"{ACCURACY}-{last.id}", project=project, kind="drift", cause=ACCURACY,
        version=look.version, state="open", opened_s=look.now_s, updated_s=look.now_s,
        resolved_s=None, body=body,
    ))  # fmt: skip
    windows.set_incident(look.connection, made.body.windows, made.id)
    return (event("drift.detected", made),)


def _follow(look: _Look, held: Incident) -> tuple[Event, ...]:
    if not held.body.lossy:
        return _escalate(look, held)
    if held.version != look.version:
        return _succeed(look, held) if held.cause == ACCURACY else _escalate(look, held)
    since = max(held.body.opened_seq, held.body.back_seq)
    later = tuple(c for c in look.told if c.window.cut.first_seq > since)
    if over(_counts(later), look.promise, look.rule.clear_after):
        return _back(look, held, later)
    return ()


def _escalate(look: _Look, held: Incident) -> tuple[Event, ...]:
    """Note a loss in the incident that is open already; a version that replaced its own, too."""
    found = look.lost(held.body.back_seq)
    if not found:
        return ()
    words = look.loss_in(found)
    body = replace(
        held.body, loss=words, lost=look.lost_in(found), lossy=True, back="",
        since_seq=look.measured_from(held, found),
        told_loss="" if held.body.back else held.body.told_loss,
        severity=max(held.body.severity, look.severity(found)),
        windows=(*held.body.windows, *(
            c.window.id for c in found if c.window.id not in held.body.windows
        )),
    ).told(look.now_s, f"labels show a loss: {words}")  # fmt: skip
    if held.version != look.version:
        body = replace(
            body, reference_mix=look.mix, reference_accuracy=look.promise.accuracy,
            slices=(), sliced=0, looks=0, opened_seq=found[-1].window.cut.last_seq,
        )  # fmt: skip
    incidents.save(
        look.connection, replace(held, version=look.version, body=body, updated_s=look.now_s)
    )
    windows.set_incident(look.connection, body.windows, held.id)
    return ()


def _succeed(look: _Look, held: Incident) -> tuple[Event, ...]:
    """Let the version that replaced the one that lost accuracy end its incident, or take it on."""
    then, now = look.lost_in(look.told)
    if then - now > look.promise.margin:
        return _escalate(look, held)
    return _back(look, held, look.told)


def _back(look: _Look, held: Incident, found: Sequence[Counted]) -> tuple[Event, ...]:
    """Note that accuracy is back; that ends what labels opened, unless inputs alarm just now."""
    newest = found[-1].window
    words = f"{look.words(found)}: within the margin of {look.promise.margin:.1%}"
    if held.cause == ACCURACY and newest.verdict.drifted:
        return ()
    body = replace(
        held.body, lossy=False, back=words, back_seq=newest.cut.last_seq, unmeasured_s=0.0,
        unmeasured_labels=0,
    )  # fmt: skip
    if held.cause != ACCURACY:
        body = body.told(look.now_s, f"labels show it is back: {words}")
        incidents.save(look.connection, replace(held, body=body, updated_s=look.now_s))
        return ()
    body = body.owing("drift.cleared", held.cause)
    done = resolve(
        look.connection, replace(held, body=body), words, seq=newest.cut.last_seq,
        now_s=look.now_s,
    )  # fmt: skip
    return (event("drift.cleared", done),)


def _counts(told: Sequence[Counted]) -> list[tuple[int, int]]:
    return [(c.right, c.labelled) for c in told]
