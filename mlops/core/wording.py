"""A decision in words: the one place where each sentence about it stands.

The terminal, the Prefect artifact, the MLflow version page and the mail all render these;
`mlops.core.page` sets them as Markdown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from mlops.core.amounts import number, percent, points
from mlops.core.decision import MAE
from mlops.core.trigger import Cause

if TYPE_CHECKING:
    from mlops.core.decision import Check, Decision, Verdict

HEADLINE_CHARACTERS = 29  # MLflow's table of versions shows 32, the last three of them dots
BY_HAND = ("manual", "by hand")
"""Reasons that say no more than that a person asked."""

_STAMP = {"promote": "PASS", "reject": "FAIL", "inconclusive": "MORE"}
_ASKED = {"pending": "REVIEW", "declined": "DECLINED", "withdrawn": "UNSOUND"}


def headline(decision: Decision) -> str:
    """Return at most 29 characters, sign and number first: `▲ +2.1 pp acc · drift · PASS`."""
    difference = decision.verdict.evidence.difference
    stamp = _ASKED.get(decision.approval, _STAMP[decision.verdict.outcome])
    if difference is not None:
        arrow = "▲" if difference > 0 else ("▼" if difference < 0 else "◆")
        start = f"{arrow} {points(difference)} acc"
        if decision.verdict.evidence.metric == MAE:
            start = f"{arrow} {percent(-difference)} error"
    elif decision.champion is None:
        start = "● first model"
    else:
        start = "◆ not compared"
    reason = fitting(kind(decision.reason), HEADLINE_CHARACTERS - len(start) - len(stamp) - 6)
    return f"{start} · {reason} · {stamp}" if reason else f"{start} · {stamp}"


def fitting(words: str, room: int) -> str:
    """Return as many whole words as there is room for; of a first one that is longer, its start."""
    if len(words) <= room:
        return words
    kept = words[: max(room, 0) + 1].rpartition(" ")[0]
    return kept.strip() or words[: max(room, 0)].strip()


def kind(reason: str) -> str:
    """Return the kind of a reason: `drift`, of `drift: contrast`.

    MLflow shows a headline both as it stands and as Markdown, so what may act as markup is left
    out instead of escaped.
    """
    first, _, _ = reason.partition(":")
    return " ".join("".join(c if c.isalnum() or c in "-." else " " for c in first).split())


def changed(decision: Decision) -> str:
    """Say what changed."""
    incident = f" (incident {decision.incident})" if decision.incident else ""
    rival = (
        f"compared with version {decision.champion.version} in service"
        if decision.champion
        else "with no version in service"
    )
    version = decision.candidate.version
    return f"version {version} was {trained(decision.reason)}{incident}, {rival}"


def trained(reason: str) -> str:
    """Say why a version was trained: `for drift: contrast`, or because a person asked."""
    if not reason:
        return "trained for no stated reason"
    if reason.partition(":")[0] in get_args(Cause):
        return f"trained for {reason}"
    said = "" if reason in BY_HAND else f": {reason}"
    return f"trained because a person asked{said}"


def real(decision: Decision) -> str:
    """Say whether the change is real: the two weightiest reasons; the checks list them all."""
    reasons = decision.verdict.reasons
    more = f"; {len(reasons) - 2} more below" if len(reasons) > 2 else ""
    return "; ".join(reasons[:2]) + more


def done(decision: Decision) -> str:
    """Say what the system did."""
    candidate, outcome = decision.candidate.version, decision.verdict.outcome
    if outcome == "promote" and decision.approval in ("auto", "approved"):
        asked = ", as a person approved" if decision.approval == "approved" else ""
        return f"promoted version {candidate}{asked}: it is the champion"
    stays = (
        f"version {decision.champion.version} stays in service"
        if decision.champion
        else "nothing is in service"
    )
    if decision.approval == "pending":
        return f"version {candidate} passed and waits for approval; {stays}"
    if decision.approval == "declined":
        return f"version {candidate} passed, and a person declined it; {stays}"
    if decision.approval == "withdrawn":
        why = "its stored files are not what the ledger vouches for"
        return f"version {candidate} passed, and was not put in service: {why}; {stays}"
    word = "refused" if outcome == "reject" else "did not promote"
    return f"{word} version {candidate}; {stays}"


def must_do(decision: Decision) -> str:
    """Say what the reader must do."""
    outcome = decision.verdict.outcome
    if decision.approval == "pending":
        version = decision.candidate.version
        return f"approve it: mlops approve {version}; or decline it: mlops reject {version}"
    if decision.approval == "withdrawn":
        return "find out what changed the files; restore them, then: mlops promote --again"
    if outcome == "promote":
        return "nothing"
    if outcome == "reject":
        return "nothing, or look at the reasons and train again"
    return _more(decision.verdict)


def _more(verdict: Verdict) -> str:
    """Say what would settle a verdict that is inconclusive."""
    stuck = [c.name for c in verdict.checks if c.passed is None and c.labels is None]
    unknown = f"no number of labels is known to settle {', '.join(stuck)}"
    if verdict.missing_labels:
        rest = f", but {unknown}" if stuck else ""
        asked = f"label {verdict.missing_labels} more predictions chosen at random"
        return f"{asked}; the next run judges again{rest}"
    if stuck:
        return f"train again: {unknown}"
    primary = f"recent {verdict.evidence.metric}"
    shown = any(c.name == primary and c.passed for c in verdict.checks)
    why = "what is not settled needs more rows" if shown else (
        "the labels held would have shown a gain worth finding"
    )  # fmt: skip
    return f"nothing: {why}; new labels are judged by the next run"


def effect(decision: Decision) -> str:
    """Say what the version does to the primary metric, and on what that was measured."""
    metric = next((m for m in decision.verdict.metrics if m.champion is not None), None)
    if metric is None or metric.champion is None:
        return "It is the first model: there is none to compare it with."
    rows = f"{decision.verdict.evidence.recent_rows} recent rows"
    before, after = f"{metric.champion:.1%}", f"{metric.candidate:.1%}"
    if MAE in metric.name:
        before, after = number(metric.champion), number(metric.candidate)
    goes = "goes" if decision.verdict.outcome == "promote" else "would go"
    return (
        f"{metric.name.capitalize()} {goes} from {before} to {after}. "
        f"Measured on the same {rows}, which neither model has seen."
    )


def undo(decision: Decision) -> str:
    """Say how to undo it."""
    if decision.approval == "pending":
        return "nothing to undo: nothing moves before a person approves"
    if decision.verdict.outcome != "promote" or decision.approval in (
        "declined", "withdrawn",
    ):  # fmt: skip
        return "nothing to undo; to judge once more: mlops promote --again"
    if decision.champion is None:
        return "no earlier version to return to; remove the alias champion in MLflow"
    return f"mlops rollback --to {decision.champion.version}"


def questions(decision: Decision) -> tuple[tuple[str, str], ...]:
    """Return the five questions of a decision with their answers, in their order."""
    return (
        ("what changed", changed(decision)),
        ("was it real", real(decision)),
        ("what was done", done(decision)),
        ("what you must do", must_do(decision)),
        ("how to undo it", undo(decision)),
    )


def summary(decision: Decision) -> str:
    """Return one line for the terminal and the Prefect run."""
    outcome = decision.verdict.outcome
    sign = "" if outcome == "promote" else f"{outcome}: "
    return f"{sign}{done(decision)}; {decision.verdict.reasons[0]}"


def lines(decision: Decision) -> list[str]:
    """Return the decision as lines for the terminal."""
    answers = [f"{question + ':':<18}{answer}" for question, answer in questions(decision)]
    checks = [f"  {mark(check)} {check.words}" for check in decision.verdict.checks]
    return [f"decision {decision.id}: {decision.verdict.outcome}", *answers, "checks:", *checks]


def mark(check: Check) -> str:
    """Return ✓, ✗ or ? for a check that passed, failed or was not settled."""
    return {True: "✓", False: "✗", None: "?"}[check.passed]
