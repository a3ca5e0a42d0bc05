"""A decision in words: the one place where each sentence about it stands.

The terminal, the Prefect artifact, the MLflow version page and the mail all render these.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.core.decision import Check, Decision, Metric

HEADLINE_CHARACTERS = 32  # MLflow's table of versions shows no more
_STAMP = {"promote": "PASS", "reject": "FAIL", "inconclusive": "MORE"}
_ASKED = {"pending": "REVIEW", "declined": "DECLINED"}


def headline(decision: Decision) -> str:
    """Return at most 32 characters, sign and number first: `▲ +2.1 pp acc · drift · PASS`."""
    from mlops.core.guardrails import points  # it brings scipy: a rollback must not wait for that

    difference = decision.verdict.evidence.difference
    stamp = _ASKED.get(decision.approval, _STAMP[decision.verdict.outcome])
    if difference is not None:
        arrow = "▲" if difference > 0 else ("▼" if difference < 0 else "◆")
        start = f"{arrow} {points(difference)} acc"
    elif decision.champion is None:
        start = "● first model"
    else:
        start = "◆ not compared"
    room = HEADLINE_CHARACTERS - len(start) - len(stamp) - 6
    kind = decision.reason.split(":")[0]  # `drift`, of `drift: contrast`
    reason = " ".join(kind.split())[: max(room, 0)].strip()
    return f"{start} · {reason} · {stamp}" if reason else f"{start} · {stamp}"


def changed(decision: Decision) -> str:
    """Say what changed."""
    why = f" for {decision.reason}" if decision.reason else ""
    incident = f" (incident {decision.incident})" if decision.incident else ""
    rival = (
        f"compared with version {decision.champion.version} in service"
        if decision.champion
        else "with no version in service"
    )
    return f"version {decision.candidate.version} was trained{why}{incident}, {rival}"


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
    word = "refused" if outcome == "reject" else "did not promote"
    return f"{word} version {candidate}; {stays}"


def must_do(decision: Decision) -> str:
    """Say what the reader must do."""
    outcome, missing = decision.verdict.outcome, decision.verdict.missing_labels
    if decision.approval == "pending":
        version = decision.candidate.version
        return f"approve it: mlops approve {version}; or decline it: mlops reject {version}"
    if outcome == "promote":
        return "nothing"
    if outcome == "reject":
        return "nothing, or look at the reasons and train again"
    if missing:
        return f"label {missing} more predictions chosen at random; the next run judges again"
    return (
        "nothing: the labels held would have shown a gain worth finding; "
        "new labels are judged by the next run"
    )


def undo(decision: Decision) -> str:
    """Say how to undo it."""
    if decision.approval == "pending":
        return "nothing to undo: nothing moves before a person approves"
    if decision.verdict.outcome != "promote" or decision.approval == "declined":
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
    checks = [f"  {_mark(check)} {check.words}" for check in decision.verdict.checks]
    return [f"decision {decision.id}: {decision.verdict.outcome}", *answers, "checks:", *checks]


def markdown(decision: Decision, plots: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the decision as Markdown, its first line the headline.

    Args:
        decision: what to render.
        plots: title and address of pictures to show, where the page can reach them.
    """
    answers = [f"**{q[0].upper()}{q[1:]}?** {_plain(a)}" for q, a in questions(decision)]
    parts = [headline(decision), *answers, _metrics(decision), _checks(decision)]
    parts += [f"![{_plain(title)}]({address})" for title, address in plots]
    return "\n\n".join(part for part in [*parts, _hashes(decision)] if part) + "\n"


def comparison(decision: Decision) -> list[dict[str, str]]:
    """Return champion against candidate as rows of a table, one per metric.

    The interval is of candidate minus champion, each end a one-sided bound; `–` stands for none.
    """
    return [
        {
            "metric": metric.name,
            "champion": _figure(metric.champion),
            "candidate": _figure(metric.candidate),
            "interval": "–"
            if metric.lower is None and metric.upper is None
            else f"{_figure(metric.lower)} to {_figure(metric.upper)}",
        }
        for metric in decision.verdict.metrics
    ]


def _metrics(decision: Decision) -> str:
    rows = [_metric_row(metric) for metric in decision.verdict.metrics]
    if not rows:
        return ""
    head = (
        "| metric | candidate | champion | difference at worst | at best |\n|---|--:|--:|--:|--:|"
    )
    return "\n".join([head, *rows])


def _metric_row(metric: Metric) -> str:
    cells = (metric.candidate, metric.champion, metric.lower, metric.upper)
    return f"| {metric.name} | {' | '.join(map(_figure, cells))} |"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def _checks(decision: Decision) -> str:
    rows = [f"| {_mark(c)} | {_plain(c.words)} |" for c in decision.verdict.checks]
    return "\n".join(["| | check |\n|---|---|", *rows]) if rows else ""


def _hashes(decision: Decision) -> str:
    at = datetime.fromtimestamp(decision.at_s, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    evidence = decision.verdict.evidence
    excluded = evidence.recent_excluded + evidence.base_excluded
    return (
        f"Decision `{decision.id}` by {_plain(decision.actor)}, {at}. Rows: "
        f"{evidence.recent_rows} recent, {evidence.base_rows} base, {excluded} left out. "
        f"Model `{decision.candidate.digest[:12]}`, data `{decision.data_digest[:12]}`, "
        f"gate `{decision.params_digest[:12]}`, commit `{decision.commit[:12] or 'unknown'}`."
    )


def _mark(check: Check) -> str:
    return {True: "✓", False: "✗", None: "?"}[check.passed]


def _plain(text: str) -> str:
    """Keep text from acting as Markdown or HTML: names come from data."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
