"""A backtest in words, for a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters.learners import QUICK
from mlops.core.amounts import points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops.core.backtest_report import Backtest, Step, Summary

_SHOWN = 40  # windows in which something happened; windows.csv has all


_REMEDIES = {
    "floor": "they ask for what the data may no longer give: try -S gate.floors.accuracy=0.5",
    "slice": (
        "if one class may pay for the others, as where their mix moves: try "
        "-S gate.class_slices=false, and see what it gains"
    ),
}
"""Checks that alone may keep every candidate out → what to try."""


def pieces(text: str) -> tuple[str, ...]:
    """Return `a.b=1,c.d=[1, 2]` as `a.b=1` and `c.d=[1, 2]`: a comma before a key divides."""
    import re

    return tuple(re.split(r",\s*(?=[a-z]\w*\.[a-z])", text))


def head(project: str, found: Backtest, over: str, model: str) -> Iterator[str]:
    """Yield what is walked through, and what of it is not as in production."""
    steps, where = found.steps, "prediction log" if over == "log" else "data source"
    known = f", {found.measure} {found.reference:.1%} on its reference" if found.reference else ""
    yield (
        f"backtest of {project} over the {where}: {len(steps)} windows, {_day(steps[0].start_s)} "
        f"to {_day(steps[-1].end_s)}"
    )
    yield (
        f"  first model: {found.first_rows:,} rows from {_day(found.first_from_s)} on{known}; "
        f"{found.threshold_words}"
    )
    if model == "quick":
        yield f"  models: {QUICK}; -S backtest.model=project trains the network"
    yield "  not judged here: latency, memory and size, which need the real server"
    yield from (f"  note: {words}" for words in found.left_out)


def lines(found: Backtest) -> Iterator[str]:
    """Yield the windows in which something happened, why candidates were not promoted, the sum."""
    happened = [s for s in found.steps if s.events]
    yield ""
    yield f"{'window until':<17} {'rows':>7} {'with':>7} {'without':>7}  what happened"
    if not happened:
        yield "  nothing: no incident in any window"
    for step in happened[:_SHOWN]:
        yield (
            f"{_minute(step.end_s):<17} {step.rows:>7,} {_share(step.accuracy):>7} "
            f"{_share(step.accuracy_static):>7}  {_told(step, found)}"
        )
    if len(happened) > _SHOWN:
        yield f"  … and {len(happened) - _SHOWN} more; windows.csv has all"
    refused = [r for r in found.retrains if r.outcome != "promote"]
    for retrain in refused[:5]:
        yield f"  version {retrain.version}, {retrain.outcome}: {retrain.words}"
    yield from _hints(found)
    yield ""
    yield from _sum(found, found.summary())


def _hints(found: Backtest) -> Iterator[str]:
    """Yield which kinds of checks alone kept candidates out, and what to try."""
    for start, remedy in _REMEDIES.items():
        failed = [r.failed for r in found.retrains if r.failed]
        alone = [names for names in failed if all(name.startswith(start) for name in names)]
        if alone:
            yield f"  {len(alone)} of them failed at the gate's {start}s alone; {remedy}"


def beside(found: Sequence[Backtest], others: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield policies side by side."""
    sums = [one.summary() for one in found]
    names = ["as given", *(", ".join(changes) for changes in others)]
    wide = max(len(name) for name in names)
    yield ""
    yield (
        f"{'policy':<{wide}} {'retrains':>9} {'promoted':>9} {'incidents':>9} {'false':>6} "
        f"{'days low':>9} {'accuracy':>9} {'minutes':>8}"
    )
    for name, s in zip(names, sums, strict=True):
        days = "–" if s.days_degraded is None else f"{s.days_degraded:.0f}"
        yield (
            f"{name:<{wide}} {s.retrains:>9} {s.promotions:>9} {s.incidents:>9} "
            f"{s.false_alarms + s.noted:>6} {days:>9} {_share(s.accuracy):>9} {s.minutes:>8.1f}"
        )


def _sum(found: Backtest, s: Summary) -> Iterator[str]:
    rest = [(s.refused, "refused by the gate"), (s.inconclusive, "inconclusive"),
            (s.failed, "failed")]  # fmt: skip
    told = "".join(f", {count} {words}" for count, words in rest if count)
    yield f"retrains     {s.retrains}: {s.promotions} promoted{told}"
    broken = f"; {s.broken} more of broken data" if s.broken else ""
    yield (
        f"incidents    {s.incidents}: {s.costly} costly, {s.false_alarms} false alarms, {s.noted} "
        f"harmless when found (digest), {s.unsettled} unsettled for want of labels{broken}"
    )
    kept = "kept" if s.within else "exceeded beyond chance"
    yield f"budget       {s.allowed:.2g} incidents without a loss in {s.windows} windows: {kept}"
    if s.accuracy is not None and s.accuracy_static is not None:
        gain = points(s.accuracy - s.accuracy_static)
        yield (
            f"{found.measure:<12} {s.accuracy:.1%} with the loop, {s.accuracy_static:.1%} without: "
            f"{gain}"
        )
    if s.days_degraded is not None and s.days_degraded_static is not None:
        yield (
            f"degraded     {s.days_degraded:.0f} days with the loop, {s.days_degraded_static:.0f} "
            f"without (more than {found.margin:.1%} below the first reference)"
        )
    yield f"cost         {s.minutes:.1f} minutes of training on this machine"


def _told(step: Step, found: Backtest) -> str:
    known = {f"incident {one.number}": one for one in found.episodes}
    parts = []
    for words in step.events:
        which, _, verb = words.rpartition(" ")
        if one := known.get(which):
            first = f"; {one.first}" if verb == "opened" else ""
            parts.append(f"{words} ({one.cause}{first})")
        else:
            parts.append(words)
    return "; ".join(parts)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")


def _minute(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M")
