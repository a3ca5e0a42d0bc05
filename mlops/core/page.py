"""The page of a model version: what a reviewer reads in MLflow, from the first line down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core import wording
from mlops.core.card import worst_slices
from mlops.core.card_text import NOT_STATED, limits, score_table, slice_table
from mlops.core.markup import bullets, code, figure, moment, plain, table

if TYPE_CHECKING:
    from mlops.core.card import Card
    from mlops.core.decision import Decision, Metric

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
    """

    card: Card | None = None
    plots: tuple[Link, ...] = ()
    links: tuple[Link, ...] = ()


def page(decision: Decision, around: Surroundings) -> str:
    """Return a decided version's page as Markdown, its first line the headline."""
    return _joined(
        wording.headline(decision),
        f"## {_VERDICTS[decision.verdict.outcome]}", _answers(decision),
        "## Champion against candidate", _against(decision),
        *_measured(around.card),
        "## What the gate looked at", _checks(decision),
        *_limits(around.card),
        "## Where it comes from", _origin(decision, around),
        "## Commands", _commands(decision),
        *_pictures(around.plots),
    )  # fmt: skip


def undecided(reason: str, card: Card) -> str:
    """Return the page of a version that was registered and not judged yet."""
    kind = wording.kind(reason)[:10].strip()
    return _joined(
        " · ".join(filter(None, ("◇ not judged yet", kind))),
        "Nothing was decided about this version. To judge it: `mlops promote`.",
        *_measured(card),
        *_limits(card),
    )


def _joined(*parts: str) -> str:
    """Join paragraphs; in MLflow a heading would stick to the table before it but for a rule."""
    return "\n\n".join(f"---\n\n{p}" if p.startswith("## ") else p for p in parts if p) + "\n"


def front(card: Card) -> str:
    """Return the page of the registered model: what it is for and what its aliases do."""
    return _joined(
        plain(card.intended_use) or f"Intended use: {NOT_STATED}",
        "The alias `champion` is the deployment: moving it puts that version in service, and "
        "`mlops rollback` moves it back. `previous` was in service before, `challenger` waits "
        "for approval. Each version's page says what was decided about it and why.",
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
        f"**{question[0].upper()}{question[1:]}?** {plain(answer)}"
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


def _checks(decision: Decision) -> str:
    rows = [(f"{wording.mark(c)} {plain(c.name)}", plain(c.words)) for c in decision.verdict.checks]
    return table(("check", "found"), rows, _GAP)


def _measured(card: Card | None) -> list[str]:
    if card is None:
        return []
    worst = slice_table(worst_slices(card), card.confidence, _GAP)
    return [
        "## How good it is", score_table(card, _GAP) or "No metric was measured.",
        "## Worst slices", worst or "No slice has enough rows to be assessed.",
    ]  # fmt: skip


def _pictures(plots: tuple[Link, ...]) -> list[str]:
    """Return pictures under their titles: MLflow strips the text that stands for a picture."""
    shown = [f"**{plain(p.title)}**\n\n![{plain(p.title)}]({p.address})" for p in plots]
    return ["## Pictures", *shown] if shown else []


def _limits(card: Card | None) -> list[str]:
    if card is None:
        return []
    use = f"Intended use: {plain(card.intended_use) or NOT_STATED}"
    return ["## Limits", bullets((use, *limits(card)))]


def _commands(decision: Decision) -> str:
    candidate = decision.candidate.version
    rows = [
        (code(f"mlops approve {candidate}"), "put this version in service"),
        (code(f"mlops reject {candidate}"), "refuse it, with your reason"),
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
    items = [
        f"Trained for: {plain(decision.reason) or 'no stated reason'}{incident}",
        f"Decision {code(decision.id)} by {plain(decision.actor)}, {moment(decision.at_s)}",
        f"Rows compared: {rows}; their hash {code(decision.data_digest[:12])}",
        f"Snapshot (DVC md5): {code(card.snapshot) if card and card.snapshot else 'not tracked'}",
        f"Model (sha256 of its manifest): {code(decision.candidate.digest[:12])}",
        f"Gate's parameters (sha256): {code(decision.params_digest[:12])}",
        f"Code (git commit): {commit}",
        *(f"[{plain(link.title)}]({link.address})" for link in around.links),
    ]
    return bullets(items)
