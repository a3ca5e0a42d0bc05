"""One window: where it lies, what it says, and how a row of SQL holds it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops.core.alarm import ColumnVerdict, Verdict
from mlops.core.alert import ColumnChange
from mlops.core.amounts import number
from mlops.core.estimate import MEAN_ERROR, ErrorEstimate, Estimate
from mlops.core.fixed import Fixed
from mlops.core.redacted import unwatched

if TYPE_CHECKING:
    import sqlalchemy as sa

ReportState = Literal["pending", "made", "failed", "stored", "local", "outdated", "pruned"]
MADE: tuple[ReportState, ...] = ("made", "stored", "local")
"""States of a page that shows what is known of its window."""


@dataclass(frozen=True)
class Cut:
    """Where a window that is not judged yet begins and ends; both ends inclusive."""

    project: str
    version: str
    number: int
    first_seq: int
    last_seq: int
    rows: int
    start_s: float
    end_s: float

    @property
    def id(self) -> str:
        """Identity of the window: the same however often it is cut."""
        return f"{self.project}-{self.version}-{self.number}"

    @property
    def before(self) -> str:
        """Identity of the version's window before it."""
        return f"{self.project}-{self.version}-{self.number - 1}"


@dataclass(frozen=True)
class Window:
    """A judged window.

    Attributes:
        cut: where it lies.
        verdict: what its numbers say.
        labelled: its predictions with a label that measures.
        correct: those of them that were right.
        report: what became of its page, see `mlops.adapters.report_states`.
        incident: the incident it belongs to, if any.
        regression: whether its version predicts numbers: then those are right that lie between
            the outer quantiles.
        estimate: of its accuracy, without labels, as it was judged.
        evidence: of a shift, that the version's windows have added up to.
        fixed: its inputs against the fixed reference; None where that is the version's own.
        redacted: columns of a table that some of its rows were kept without.
        error: of a regression, the mean absolute error of the labelled predictions; None without.
        error_estimate: of it, without labels, as it was judged.
    """

    cut: Cut
    verdict: Verdict
    labelled: int
    correct: int
    report: ReportState
    incident: str | None
    regression: bool = False
    estimate: Estimate | None = None
    evidence: float = 0.0
    fixed: Fixed | None = None
    redacted: tuple[str, ...] = ()
    error: float | None = None
    error_estimate: ErrorEstimate | None = None

    @property
    def id(self) -> str:
        """Identity of the window."""
        return self.cut.id

    @property
    def measure(self) -> str:
        """What its accuracy is called: that of a regression is a coverage."""
        return "coverage" if self.regression else "accuracy"

    @property
    def share(self) -> str:
        """Its accuracy in words: as measured, else as estimated, said to be so; else unknown."""
        if self.labelled:
            return f"{self.correct / self.labelled:.1%}"
        told = self.estimate
        return f"est. {told.value:.1%} ({told.low:.1%}–{told.high:.1%})" if told else "unknown"

    @property
    def off(self) -> str:
        """Its mean absolute error in words: as measured, else as estimated; else empty."""
        if self.error is not None:
            return number(self.error)
        return f"est. {self.error_estimate}" if self.error_estimate else ""

    @property
    def figures(self) -> str:
        """What is known of its answers, in words: its accuracy, and of a regression its error."""
        error = f", {MEAN_ERROR} {self.off}" if self.off else ""
        return f"{self.measure} {self.share}{error}"

    @property
    def unwatched(self) -> str:
        """What it was not judged by, in words; empty for nothing."""
        return unwatched(self.redacted)


def verdict_content(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as JSON-ready values."""
    return {**asdict(verdict), "alarm": verdict.alarm, "severity": verdict.severity}


def written(window: Window) -> str:
    """Return what the column `verdict` holds."""
    content = {
        "verdict": verdict_content(window.verdict), "labelled": window.labelled,
        "correct": window.correct, "regression": window.regression,
        "estimate": asdict(window.estimate) if window.estimate else None,
        "evidence": window.evidence, "fixed": asdict(window.fixed) if window.fixed else None,
        "redacted": window.redacted, "error": window.error,
        "error_estimate": asdict(window.error_estimate) if window.error_estimate else None,
    }  # fmt: skip
    return json.dumps(content, sort_keys=True, allow_nan=False)


def parsed(row: sa.Row[Any]) -> Window:
    """Read a row of the table `windows`."""
    content = json.loads(row.verdict)
    told = content["verdict"]
    cut = Cut(**{name: getattr(row, name) for name in Cut.__dataclass_fields__})
    verdict = Verdict(
        rows=told["rows"],
        columns=tuple(ColumnVerdict(**column) for column in told["columns"]),
        breaks=tuple(told["breaks"]),
        calibrated=told["calibrated"],
        p=told.get("p", 1.0),
    )
    counts = {"labelled": content["labelled"], "correct": content["correct"]}
    guess = content.get("estimate")  # absent, as others below, in rows of before there was one
    off = content.get("error_estimate")
    return Window(
        cut=cut, verdict=verdict, **counts, report=row.report, incident=row.incident,
        regression=content.get("regression", False),
        estimate=Estimate(**guess) if guess else None,
        evidence=content.get("evidence", 0.0), fixed=_fixed(content.get("fixed")),
        redacted=tuple(content.get("redacted", ())), error=content.get("error"),
        error_estimate=ErrorEstimate(**off) if off else None,
    )  # fmt: skip


def _fixed(content: dict[str, Any] | None) -> Fixed | None:
    if content is None:
        return None
    told = (ColumnChange(**{**c, "trail": tuple(c["trail"])}) for c in content["columns"])
    inputs = tuple(ColumnVerdict(**column) for column in content.get("inputs", ()))
    return Fixed(**{**content, "columns": tuple(told), "inputs": inputs})
