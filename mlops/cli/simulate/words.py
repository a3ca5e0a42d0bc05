"""A drill for a terminal: a line per window as it goes, then what it came to and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters.mail.text import one_line
from mlops.core.amounts import points

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.cli.simulate.drill import Seen
    from mlops.cli.simulate.outcome import Outcome, Told
    from mlops.core.drill import Known

_DAY_MINUTES, _HOUR_MINUTES = 1440.0, 60.0


def header(measure: str, shift: str) -> str:
    """Return the head of the table of windows."""
    width = max(len(shift), len("traffic"))
    return f"window  {'traffic':<{width}}  {measure:>8}  largest drift, in thresholds"


def line(seen: Seen, shift: str) -> str:
    """Return one window: traffic, accuracy, largest drift, alarm, what monitoring did."""
    width = max(len(shift), len("traffic"))
    drift = "not judged yet"
    if seen.breaks:
        drift = f"broken: {one_line(seen.breaks[0], 60)}"
    elif seen.ratio is not None:
        drift = f"{seen.ratio:5.2f} {one_line(seen.column, 40)}"
    alarm = "  alarm" if seen.alarm else ""
    events = f"  → {', '.join(seen.events)}" if seen.events else ""
    traffic = shift if seen.shifted else "clean"
    return f"{seen.number:>6}  {traffic:<{width}}  {seen.accuracy:>8.1%}  {drift}{alarm}{events}"


def summary(done: Outcome) -> Iterator[str]:
    """Yield what the drill came to, and what to do next."""
    shifted = len(done.windows) - done.clean
    if done.alarm_after is None:
        yield f"NO ALARM in {shifted} windows of {done.shift}"
    else:
        noun = "window" if done.alarm_after == 1 else "windows"
        took = duration(done.alarm_after * done.period_minutes)
        yield f"ALARM after {done.alarm_after} {noun} of {done.shift}: {took} of traffic"
    false = f"{done.false_incidents} false incident{'s' * (done.false_incidents != 1)}"
    yield _line("before", f"{false} in {done.clean} clean windows")
    yield _line(done.measure, f"{done.before:.1%} before the shift, {done.during:.1%} under it")
    for told in done.incidents:
        yield from _incident(told, done)
    for text in done.retrains:
        yield _line("retrain", one_line(text, 200))
    for mail in done.mails:
        yield _line("mail", one_line(mail.subject, 100))
        yield _line("", _near(mail.html))
    yield _line("picture", _near(done.picture))
    folder = _near(done.folder)
    yield _line("scratch", f"{folder}: nothing of yours was touched; delete it when you like")
    for text in advice(done):
        yield _line("next", text)


def advice(done: Outcome) -> Iterator[str]:
    """Yield what a person may want to do after a drill."""
    if done.alarm_after is None:
        yield from _unseen(done)
        return
    drift = next((told for told in done.incidents if told.kind == "drift"), None)
    if drift is not None and drift.trigger == "labels" and not done.retrains:
        yield "a retrain waits for labels: send more windows, or try -S trigger.min_new_labels=…"
    if drift is not None and drift.triage == "unclear":
        yield "labels: without them nothing retrains; see: mlops label export"
    yield "read the mail as its receivers would; then change monitoring or trigger in params.yaml"


def _unseen(done: Outcome) -> Iterator[str]:
    if any(seen.alarm for seen in done.windows if seen.shifted):
        yield "windows alarmed, but too few in a row: see monitoring.raise_k and raise_n"
    if done.before - done.during > 0.0:
        lost = f"{done.measure} fell by {points(done.before - done.during).lstrip('+')}"
        yield f"{lost}, and what is watched moved too little to raise an alarm"
    yield "larger windows see smaller shifts: -S monitoring.window_rows=…; or send a stronger one"


def listed(known: Known, targets: tuple[str, ...]) -> str:
    """Return one known shift for `--list`."""
    about = f"@{known.on.upper()}" if targets else ""
    return f"{known.name + about:<18} {known.words}; {known.strength}"


def duration(minutes: float) -> str:
    """Return a time for people."""
    if minutes >= _DAY_MINUTES:
        return f"{minutes / _DAY_MINUTES:.1f} days"
    if minutes >= _HOUR_MINUTES:
        return f"{minutes / _HOUR_MINUTES:.1f} hours"
    return f"{minutes:.1f} minutes"


def _incident(told: Told, done: Outcome) -> Iterator[str]:
    yield _line("incident", f"{told.id}: {one_line(told.cause, 80)}; severity {told.severity} of 5")
    for column in told.columns[:3]:
        yield _line("", one_line(column, 110))
    for shift in told.shifts:
        yield _line("", one_line(shift, 160))
    name = done.shift.partition(":")[0]
    yes = f"yes, as {told.named}" if told.named else "no: nothing in it points there"
    yield _line("named", f"does it point to {name}? {yes}")
    yield _line("triage", f"{told.triage}: {one_line(told.advice, 300)}")
    if told.answer:
        yield _line("trigger", f"at the end: {one_line(told.answer, 200)}")
    yield _line("page", _near(told.page))


def _near(place: str) -> str:
    """Return a path as it is from here, if it lies below."""
    path, here = Path(place), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _line(name: str, text: str) -> str:
    return f"  {name:<9} {text}"
