"""What the mails of an incident say at each stage: the four answers, each true at its moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import serving_words
from mlops.adapters.effect import (
    capital,
    counted,
    fell_from_to,
    guessed,
    measure,
    not_measured,
)
from mlops.adapters.ending import ended, was_bad, was_real
from mlops.adapters.incident import ACCURACY, check
from mlops.core import wording
from mlops.core.alarm import worse

if TYPE_CHECKING:
    from mlops.adapters.aftermath import Aftermath
    from mlops.adapters.incidents import Incident
    from mlops.core.alert import Stage


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
    if held.kind == "serving":
        return Answers(*serving_words.answers(held, stage))
    if stage == "resolved":
        return Answers(was_real(held), was_bad(held, after), ended(held, after), "No.")
    next_step, act = _next(held, stage, after)
    return Answers(_real(held, stage), _how_bad(held, stage, after), next_step, act)


def state(held: Incident, stage: Stage) -> str:
    """Return what the subject ends with, where that is not the stage's own word."""
    body = held.body
    if stage == "retrained":
        return "retraining started"
    if _overdue(held, stage):
        return f"needs you, {body.unmeasured_labels} labels wanted"
    if stage not in ("detected", "measured"):
        return ""
    got_worse = stage == "detected" and worse(body.told_severity, body.severity)
    if body.triage == "costly" and body.trigger in ("granted", "in flight") and not got_worse:
        return "retraining started"
    word = "loss measured" if stage == "measured" else "worse" if got_worse else "detected"
    return f"{word}, {body.labels_wanted} labels wanted" if body.labels_wanted else word


def cause(held: Incident, stage: Stage) -> str:
    """Return what a mail names: what opened the incident, or what a person must know of now.

    Of broken data that is the newest check to fail that no mail told, or else one that still fails.
    """
    body = held.body
    if stage != "needs you" or not body.told_causes:
        return held.cause
    if body.untold:
        return body.untold[-1]
    failing = {check(words) for words in body.breaks}
    return held.cause if not failing or check(held.cause) in failing else body.breaks[0]


def _real(held: Incident, stage: Stage) -> str:
    body, noun = held.body, counted(held)
    if body.breaks:
        where = f"data checks failed in {noun}. " if body.windows else ""
        failing = {check(words) for words in body.breaks}
        gone = (words for words in body.untold if check(words) not in failing)
        return f"Yes: {where}{'; '.join((*body.breaks, *gone))}."
    if held.cause == ACCURACY:
        return f"Yes: labels show it in {noun}. {capital(body.loss)}."
    if stage == "measured":
        return f"Yes: labels show what it costs.{f' {capital(body.loss)}.' if body.loss else ''}"
    if body.gradual:
        return f"Yes: {body.gradual}."
    over = [c for c in body.columns if c.value >= c.threshold]
    top = over[0] if over else (body.columns[0] if body.columns else None)
    first = f"Yes: {noun} alarmed."
    if worse(body.told_severity, body.severity):
        first += f" Severity {body.severity} now, {body.told_severity} when it was last told."
    return f"{first} {top.column}: {top.words}." if top else first


def _how_bad(held: Incident, stage: Stage, after: Aftermath) -> str:
    body = held.body
    if stage in ("promoted", "refused") and after.decision is not None:
        return wording.effect(after.decision)
    if _overdue(held, stage):
        since = capital(not_measured(held).partition(": label")[0])
        return f"{since}. {fell_from_to(held)} before that."
    if body.triage == "quality":
        return (
            f"{capital(measure(held))} is not known. Broken data measures nothing: {body.advice}."
        )
    advice = body.advice or "not known yet: labels are not here"
    if body.triage == "unclear" and body.wanted:
        advice = f"labels not here yet{guessed(held)}. {advice}"
    elif fell := fell_from_to(held):
        advice = f"{fell}. {capital(advice)}"
    more = "".join(f" Looks like {shift}." for shift in body.shifts)
    more += "".join(f" Lost more than the others: {one}." for one in body.slices)
    return f"{capital(advice)}.{more}"


def _next(held: Incident, stage: Stage, after: Aftermath) -> tuple[str, str]:
    """Return what happens next, and whether the reader must act."""
    body = held.body
    if stage == "retrained":
        return "A retrain was requested and starts now. Its decision comes in this thread.", "No."
    if _overdue(held, stage):
        return _unknown(held)
    asks = stage == "needs you" and body.triage == "unclear"
    if stage in ("detected", "measured", "overdue") or body.triage == "quality" or asks:
        return _first_steps(held)
    decided = body.answer or "A decision was taken."
    if after.decision is not None and stage in ("promoted", "refused"):
        done, real = wording.done(after.decision), wording.real(after.decision)
        decided = f"{capital(done)}. {capital(real)}."
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


def _overdue(held: Incident, stage: Stage) -> bool:
    """Say whether a mail asks for labels of a loss that nothing measures any more."""
    return stage == "overdue" and bool(held.body.unmeasured_s)


def _unknown(held: Incident) -> tuple[str, str]:
    within = f"labels show {measure(held)} within the margin"
    closes = f"mlops incident {held.id} --close WHY"
    return (
        f"It stays open: unknown is not healthy. Either {within}, or a person closes it: {closes}.",
        _ask(held, held.body.unmeasured_labels),
    )


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
        return f"Nothing: the shift costs no {measure(held)}, so it is only logged.", "No."
    if body.triage == "unclear":
        next_step = f"A retrain starts once labels show a loss of {measure(held)}. {_decides(held)}"
        return next_step, _ask(held, body.labels_wanted)
    return _costly(held)


def _costly(held: Incident) -> tuple[str, str]:
    body = held.body
    if body.trigger == "granted":
        return "A retrain was requested and starts now.", "No."
    wait = f"No retrain yet: {body.answer}."
    if body.trigger == "in flight":
        return f"{capital(body.answer)}.", "No."
    if body.trigger == "labels":
        return f"{wait} {_decides(held)}", _ask(held, body.labels_wanted)
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


def _ask(held: Incident, count: int) -> str:
    how = f"mlops label export --incident {held.id}. Or send labels to POST /feedback."
    return f"Yes: label {count} predictions: {how}" if count else f"Yes: label predictions: {how}"
