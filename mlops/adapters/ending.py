"""What the mail of a resolved incident says: all of it past, and what ended it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters.effect import capital, counted, fell_from_to, guessed, measure, not_measured
from mlops.adapters.incident import ACCURACY

if TYPE_CHECKING:
    from mlops.adapters.aftermath import Aftermath
    from mlops.adapters.incident import Incident

_DAY_S = 86400.0


def was_real(held: Incident) -> str:
    """Say that it was real, and how long it lasted."""
    body, noun, long = held.body, counted(held), lasted(held)
    if held.kind == "quality":
        what = f"data checks failed in {noun}" if body.windows else held.cause
        return f"It was real: {what}. {long}"
    if held.cause == ACCURACY:
        return f"It was real: labels showed it in {noun}. {long} {capital(body.loss)}."
    if body.gradual:
        return f"It was real: {body.gradual}. {long}"
    return f"It was real: {noun} alarmed. {long}"


def lasted(held: Incident) -> str:
    """Say how long it lasted, as a sentence."""
    return f"It lasted {_span((held.resolved_s or held.updated_s) - held.opened_s)}."


def was_bad(held: Incident, after: Aftermath) -> str:
    """Say what it did to the accuracy, and what that is now."""
    body = held.body
    more = "".join(f" It looked like {shift}." for shift in body.shifts)
    if held.kind == "quality":
        return "No model is to blame; retraining was blocked meanwhile."
    if fell := fell_from_to(held):
        last = after.figures[-1] if after.figures else None
        now = f"; it is {last.share:.1%} now" if last and last.labels and last.share else ""
        how = f" Measured on {body.labelled} labels chosen at random."
        if body.loss:  # of what labels opened, the first answer holds it already
            how = "" if held.cause == ACCURACY else f" {capital(body.loss)}."
        return f"{fell}{now}.{how}{more}"
    came = f"{body.labelled} labels are too few" if body.labelled else "no labels came"
    return f"Whether {measure(held)} fell is not known{guessed(held)}: {came}.{more}"


def ended(held: Incident, after: Aftermath) -> str:
    """Say what ended it: the input went back, or another version came into service."""
    body = held.body
    if body.closed:
        since = (
            f" {capital(not_measured(held).partition(': label')[0])}." if body.unmeasured_s else ""
        )
        return f"A person closed it, {body.closed}.{since}"
    if held.kind == "quality":
        return "The data is sound again: its last windows passed every check."
    quiet = "Its windows are quiet."
    if held.cause == ACCURACY:
        quiet = f"{capital(body.back)}."
    if after.version and after.version != held.version:
        came = f", {after.came}," if after.came else ""
        since = f" since {_time(after.since_s, held.resolved_s)}" if after.since_s else ""
        return f"Version {after.version}{came} is in service{since}. {quiet}"
    if held.cause == ACCURACY:
        return (
            f"{capital(measure(held))} went back by itself, under version {held.version}. {quiet}"
        )
    return f"The input went back: the last windows are quiet, under version {held.version}."


def _span(seconds: float) -> str:
    if seconds < 2 * 3600:
        minutes = max(round(seconds / 60), 1)
        return f"{minutes} minute" + ("s" if minutes != 1 else "")
    hours = round(seconds / 3600)
    return f"{hours} hours" if seconds < 2 * _DAY_S else f"{round(seconds / _DAY_S)} days"


def _time(at_s: float, beside_s: float | None) -> str:
    """Write a time; without its day, where that is the same as the incident's end's."""
    at = datetime.fromtimestamp(at_s, UTC)
    same = beside_s is not None and at.date() == datetime.fromtimestamp(beside_s, UTC).date()
    return at.strftime("%H:%M UTC" if same else "%Y-%m-%d %H:%M UTC")
