"""What the mails of an incident say at each stage: the four answers, each true at its moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters.incident import ACCURACY
from mlops.core import wording

if TYPE_CHECKING:
    from mlops.adapters.aftermath import Aftermath
    from mlops.adapters.incidents import Incident
    from mlops.core.alert import Stage

_DAY_S = 86400.0


@dataclass(frozen=True)
class Answers:
    """The first lines of a mail.

    Attributes:
        real: whether it is, or was, real.
        how_bad: what it does, or did, to the accuracy.
        next_step: what happens next; of a resolved incident what ended it.
        act: whether the reader must act, and how.
    """

    real: str
    how_bad: str
    next_step: str
    act: str


def answers(held: Incident, stage: Stage, after: Aftermath) -> Answers:
    """Return what a mail says first.

    Args:
        held: the incident as it stands.
        stage: of the mail.
        after: what became of the incident until now.
    """
    if stage == "resolved":
        return Answers(_was_real(held), _was_bad(held, after), _ended(held, after), "No.")
    next_step, act = _next(held, stage, after)
    return Answers(_real(held), _how_bad(held, stage, after), next_step, act)


def state(held: Incident, stage: Stage) -> str:
    """Return what the subject ends with, where that is not the stage's own word."""
    body = held.body
    if stage == "retrained":
        return "retraining started"
    if stage != "detected":
        return ""
    if body.triage == "costly" and body.trigger in ("granted", "in flight"):
        return "retraining started"
    if body.labels_wanted:
        return f"detected, {body.labels_wanted} labels wanted"
    return ""


def measure(held: Incident) -> str:
    """Return what accuracy is called: that of a regression is a coverage."""
    return "coverage" if held.body.regression else "accuracy"


def _counted(held: Incident) -> str:
    count = len(held.body.windows)
    return f"{count} window" + ("s" if count != 1 else "")


def _real(held: Incident) -> str:
    body, noun = held.body, _counted(held)
    if body.breaks:
        return f"Yes: data checks failed in {noun}. {'; '.join(body.breaks)}."
    if held.cause == ACCURACY:
        return f"Yes: labels show it in {noun}. {_capital(body.loss)}."
    if body.gradual:
        return f"Yes: {body.gradual}."
    over = [c for c in body.columns if c.value >= c.threshold]
    top = over[0] if over else (body.columns[0] if body.columns else None)
    first = f"Yes: {noun} alarmed."
    return f"{first} {top.column}: {top.words}." if top else first


def _was_real(held: Incident) -> str:
    body, noun = held.body, _counted(held)
    lasted = f" It lasted {_span((held.resolved_s or held.updated_s) - held.opened_s)}."
    if held.kind == "quality":
        return f"It was real: data checks failed in {noun}.{lasted}"
    if held.cause == ACCURACY:
        return f"It was real: labels showed it in {noun}.{lasted} {_capital(body.loss)}."
    if body.gradual:
        return f"It was real: {body.gradual}.{lasted}"
    return f"It was real: {noun} alarmed.{lasted}"


def _how_bad(held: Incident, stage: Stage, after: Aftermath) -> str:
    body = held.body
    if stage in ("promoted", "refused") and after.decision is not None:
        return wording.effect(after.decision)
    if body.triage == "quality":
        return f"Accuracy is not known. Broken data measures nothing: {body.advice}."
    advice = body.advice or "not known yet: labels are not here"
    if body.triage == "unclear" and body.wanted:
        advice = f"labels not here yet{_guessed(held)}. {advice}"
    elif fell := _fell(held):
        advice = f"{fell}. {_capital(advice)}"
    more = "".join(f" Looks like {shift}." for shift in body.shifts)
    return f"{_capital(advice)}.{more}"


def _was_bad(held: Incident, after: Aftermath) -> str:
    body = held.body
    more = "".join(f" It looked like {shift}." for shift in body.shifts)
    if held.kind == "quality":
        return "No model is to blame; retraining was blocked meanwhile."
    if fell := _fell(held):
        last = after.figures[-1] if after.figures else None
        now = f"; it is {last.share:.1%} now" if last and last.labels and last.share else ""
        return f"{fell}{now}. Measured on {body.labelled} labels chosen at random.{more}"
    return f"Whether {measure(held)} fell is not known{_guessed(held)}: no labels came.{more}"


def _fell(held: Incident) -> str:
    """Say what the labels showed, in the past tense; empty where they showed nothing."""
    body = held.body
    if body.triage not in ("costly", "harmless") or body.accuracy is None:
        return ""
    if body.reference_accuracy is None:
        return f"{_capital(measure(held))} was {body.accuracy:.1%}"
    then, now = f"{body.reference_accuracy:.1%}", f"{body.accuracy:.1%}"
    if body.triage == "harmless":
        return f"It cost nothing that counts: {measure(held)} {now} after {then}"
    return f"{_capital(measure(held))} fell from {then} to {now}"


def _guessed(held: Incident) -> str:
    if not held.body.estimate:
        return ""
    value, low, high = held.body.estimate
    return f"; estimated {measure(held)} {value:.0%} ({low:.0%} to {high:.0%})"


def _ended(held: Incident, after: Aftermath) -> str:
    """Say what ended it: the input went back, or another version came into service."""
    body = held.body
    if held.kind == "quality":
        return "The data is sound again: its last windows passed every check."
    quiet = "Its windows are quiet."
    if held.cause == ACCURACY:
        quiet = f"{_capital(body.back)}."
    if after.version and after.version != held.version:
        came = f", {after.came}," if after.came else ""
        since = f" since {_time(after.since_s, held.resolved_s)}" if after.since_s else ""
        return f"Version {after.version}{came} is in service{since}. {quiet}"
    if held.cause == ACCURACY:
        return (
            f"{_capital(measure(held))} went back by itself, under version {held.version}. {quiet}"
        )
    return f"The input went back: the last windows are quiet, under version {held.version}."


def _next(held: Incident, stage: Stage, after: Aftermath) -> tuple[str, str]:
    """Return what happens next, and whether the reader must act."""
    body = held.body
    if stage == "retrained":
        return "A retrain was requested and starts now. Its decision comes in this thread.", "No."
    asks = stage == "needs you" and body.triage == "unclear"
    if stage == "detected" or body.triage == "quality" or asks:
        return _first_steps(held)
    decided = body.answer or "A decision was taken."
    if after.decision is not None and stage in ("promoted", "refused"):
        done, real = wording.done(after.decision), wording.real(after.decision)
        decided = f"{_capital(done)}. {_capital(real)}."
    if stage == "promoted":
        end = (
            "labels show it within the margin"
            if held.cause == ACCURACY
            else "its windows are quiet"
        )
        closes = f" The incident closes once {end}." if held.state == "open" else ""
        undo = wording.undo(after.decision) if after.decision else ""
        return f"{decided}{closes}", f"No. To undo it: {undo}." if undo else "No."
    if stage == "refused":
        return decided, "No, unless it happens again."
    return decided, _todo(after)


def _todo(after: Aftermath) -> str:
    decision = after.decision
    if decision is not None and decision.verdict.outcome == "inconclusive":
        return f"Yes: {wording.must_do(decision)}."
    return "Yes: see why, then send labels or run the train flow."


def _first_steps(held: Incident) -> tuple[str, str]:
    body = held.body
    if held.state == "resolved":
        return "It is over meanwhile; the next mail of this thread says what ended it.", "No."
    if body.triage == "quality":
        return (
            "Retraining is blocked until the data is sound again.",
            "Yes: repair the source of the data, then watch: mlops status.",
        )
    if body.triage == "harmless":
        return "Nothing: the shift costs no accuracy, so it is only logged.", "No."
    if body.triage == "unclear":
        return f"A retrain starts once labels show a loss of accuracy. {_decides(held)}", _ask(held)
    return _costly(held)


def _costly(held: Incident) -> tuple[str, str]:
    body = held.body
    if body.trigger == "granted":
        return "A retrain was requested and starts now.", "No."
    wait = f"No retrain yet: {body.answer}."
    if body.trigger == "in flight":
        return f"{_capital(body.answer)}.", "No."
    if body.trigger == "labels":
        return f"{wait} {_decides(held)}", _ask(held)
    return wait, "No, unless it stays so."


def _decides(held: Incident) -> str:
    """Say how many labels decide, and which setting asks for them."""
    body = held.body
    if not body.decides:
        return ""
    both = ""
    if body.wanted and body.training > body.wanted:
        both = f" {body.wanted} of them, chosen at random, show whether {measure(held)} fell."
    return f"{body.labels_wanted} more labels decide, by {body.decides}.{both}"


def _ask(held: Incident) -> str:
    how = f"mlops label export --incident {held.id}. Or send labels to POST /feedback."
    count = held.body.labels_wanted
    return f"Yes: label {count} predictions: {how}" if count else f"Yes: label predictions: {how}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


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
