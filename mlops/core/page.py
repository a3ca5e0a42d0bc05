"""The page of a model version: what a reviewer reads in MLflow, from the first line down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core import wording
from mlops.core.card import worst_slices
from mlops.core.card_text import NOT_STATED, limits, score_table, slice_table, training
from mlops.core.fit import Section, fitted
from mlops.core.markup import bullets, code, figure, moment, plain, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.card import Card
    from mlops.core.decision import Check, Decision, Metric

PAGE_CHARACTERS = 5000
"""What MLflow's column of descriptions holds; Postgres refuses more, SQLite does not."""
_ANSWER = 300  # letters of one answer or check
_SHADOW = "It is the `shadow`: a person pointed that alias at it, and nobody gets its answers."
_REAL = ("latency", "memory", "size")
"""Checks of the trial in the real server: see `mlops.core.exam.Trial`."""
_GAP = "&emsp;"  # MLflow's page sets no space between columns
_VERDICTS = {
    "promote": "✓ promote",
    "reject": "✗ reject",
    "inconclusive": "? inconclusive",
}


@dataclass(frozen=True)
class Link:
    """Where a page leads to, or what it shows.

    Attributes:
        title: in words.
        address: of the picture or page.
    """

    title: str
    address: str


@dataclass(frozen=True)
class Surroundings:
    """What stands around a decision on its page.

    Attributes:
        card: the version's model card; nothing where it could not be read.
        plots: pictures to show, where the page can reach them.
        links: pages to go to.
        shadow: whether the alias `shadow` points at the version.
    """

    card: Card | None = None
    plots: tuple[Link, ...] = ()
    links: tuple[Link, ...] = ()
    shadow: bool = False


def page(decision: Decision, around: Surroundings) -> str:
    """Return a decided version's page as Markdown, its first line the headline.

    Where there is no room for everything, what the model card and the run hold too gives way.
    """
    title = f"## {_VERDICTS[decision.verdict.outcome]}"
    beside = (_SHADOW,) if around.shadow else ()
    lead = "\n\n".join([wording.headline(decision), "---", title, *beside, _answers(decision)])
    sections = (
        Section("Champion against candidate", (_against(decision),), 9),
        *_measured(around.card),
        *_tried(decision),
        Section("What the gate looked at", _checks(decision), 0),
        *_limits(around.card),
        Section("Where it comes from", (_origin(decision, around),), 9),
        Section("Commands", (_commands(decision),), 9),
        *_pictures(around.plots),
    )
    return fitted(lead, sections, PAGE_CHARACTERS)


def undecided(reason: str, card: Card) -> str:
    """Return the page of a version that was registered and not judged yet."""
    kind = wording.fitting(wording.kind(reason), 10)
    lead = (
        f"{' · '.join(filter(None, ('◇ not judged yet', kind)))}\n\n"
        "Nothing was decided about this version. To judge it: `mlops promote`."
    )
    return fitted(lead, (*_measured(card), *_limits(card)), PAGE_CHARACTERS)


def front(card: Card) -> str:
    """Return the page of the registered model: what it is for and what its aliases do."""
    use = plain(card.intended_use) or f"Intended use: {NOT_STATED}"
    return (
        f"{use}\n\n"
        "The alias `champion` is the deployment: moving it puts that version in service, and "
        "`mlops rollback` moves it back. `previous` was in service before, `challenger` waits "
        "for approval; `shadow` is yours to point at a version that is to run beside the champion. "
        "Each version's page says what was decided about it and why.\n"
    )


def anchored(markdown: str, address: str) -> str:
    """Return a page with the pictures and links that MLflow finds by itself made absolute.

    Args:
        markdown: a page.
        address: of MLflow, as a browser reaches it.
    """
    base = address.rstrip("/")
    return markdown.replace("](get-artifact?", f"]({base}/get-artifact?").replace(
        "](#/", f"]({base}/#/"
    )


def comparison(decision: Decision) -> list[dict[str, str]]:
    """Return champion against candidate as rows of a table, one per metric.

    The interval is of candidate minus champion, each end a one-sided bound; `–` stands for none.
    """
    return [
        {
            "metric": metric.name,
            "champion": figure(metric.champion),
            "candidate": figure(metric.candidate),
            "difference": figure(_difference(metric)),
            "interval": "–"
            if metric.lower is None and metric.upper is None
            else f"{figure(metric.lower)} to {figure(metric.upper)}",
        }
        for metric in decision.verdict.metrics
    ]


def _difference(metric: Metric) -> float | None:
    return None if metric.champion is None else metric.candidate - metric.champion


def _answers(decision: Decision) -> str:
    return "\n\n".join(
        f"**{question[0].upper()}{question[1:]}?** {plain(answer, _ANSWER)}"
        for question, answer in wording.questions(decision)
    )


def _against(decision: Decision) -> str:
    rival = decision.champion
    head = (
        "metric", f"champion {plain(rival.version)}" if rival else "champion",
        f"candidate {plain(decision.candidate.version)}", "difference", "at worst … at best",
    )  # fmt: skip
    rows = [(plain(row["metric"]), *list(row.values())[1:]) for row in comparison(decision)]
    return table(head, rows, _GAP) or "The models could not be compared."


def _checks(decision: Decision) -> tuple[str, ...]:
    """Return every check; or, shorter, those that did not pass and the names of the rest."""
    checks = decision.verdict.checks
    failed = [check for check in checks if not check.passed]
    passed = ", ".join(plain(check.name) for check in checks if check.passed)
    brief = "\n\n".join(filter(None, (_check_table(failed), f"✓ {passed}" if passed else "")))
    return _check_table(checks), brief


def _check_table(checks: Sequence[Check]) -> str:
    rows = [(f"{wording.mark(c)} {plain(c.name)}", plain(c.words, _ANSWER)) for c in checks]
    return table(("check", "found"), rows, _GAP)


def _measured(card: Card | None) -> tuple[Section, ...]:
    if card is None:
        return ()
    worst = (slice_table(worst_slices(card, n), card, _GAP) for n in (6, 3))
    none = "No slice has enough rows to be assessed."
    return (
        Section("How good it is", (score_table(card, _GAP, main=True), ""), 1),
        Section("Worst slices", tuple(shown or none for shown in worst), 4),
    )


def _tried(decision: Decision) -> tuple[Section, ...]:
    """Return what the candidate cost in the real server, where the gate tried it."""
    found = [c.words for c in decision.verdict.checks if c.name in _REAL]
    words = "; ".join(plain(text, _ANSWER) for text in found)
    return (Section("In the real server", (f"{words[:1].upper()}{words[1:]}.",), 9),) * bool(found)


def _pictures(plots: tuple[Link, ...]) -> tuple[Section, ...]:
    """Return pictures under their titles: MLflow strips the text that stands for a picture."""
    shown = [f"**{plain(p.title)}**\n\n![{plain(p.title)}]({p.address})" for p in plots]
    return (Section("Pictures", tuple("\n\n".join(shown[:n]) for n in (99, 5, 3)), 3),)


def _limits(card: Card | None) -> tuple[Section, ...]:
    if card is None:
        return ()
    use = f"Intended use: {plain(card.intended_use) or NOT_STATED}"
    found = limits(card)
    brief = (use, *found[:2], f"{len(found[2:])} more on the model card")
    return (Section("Limits", (bullets((use, *found)), bullets(brief)), 2),)


def _commands(decision: Decision) -> str:
    candidate = decision.candidate.version
    asked = [
        (code(f"mlops approve {candidate}"), "put this version in service"),
        (code(f"mlops reject {candidate}"), "decline it; what is in service stays"),
    ]
    rows = [
        *(asked if decision.approval == "pending" else ()),
        (code("mlops rollback"), "put the version before back in service"),
        (code(f"mlops why {candidate}"), "how it came to be, in ten lines"),
        (code(f"mlops replay {decision.id}"), "derive this verdict again from its evidence"),
    ]
    return table(("command", "what it does"), rows, _GAP)


def _origin(decision: Decision, around: Surroundings) -> str:
    card, evidence = around.card, decision.verdict.evidence
    excluded = evidence.recent_excluded + evidence.base_excluded
    incident = f", incident {plain(decision.incident)}" if decision.incident else ""
    rows = f"{evidence.recent_rows} recent, {evidence.base_rows} base, {excluded} left out"
    commit = code(decision.commit[:12]) if decision.commit else "unknown"
    why = wording.trained(plain(decision.reason))
    items = [
        f"{why[:1].upper()}{why[1:]}{incident}",
        f"Decision {code(decision.id)} by {plain(decision.actor)}, {moment(decision.at_s)}",
        f"Rows compared: {rows}; their hash {code(decision.data_digest[:12])}",
        f"Snapshot (DVC md5): {code(card.snapshot) if card and card.snapshot else 'not tracked'}",
        *(training(card) if card else ()),
        f"Model (sha256 of its manifest): {code(decision.candidate.digest[:12])}",
        f"Gate's parameters (sha256): {code(decision.params_digest[:12])}",
        f"Code (git commit): {commit}",
        *(f"[{plain(link.title)}]({link.address})" for link in around.links),
    ]
    return bullets(items)
