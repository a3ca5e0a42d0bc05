"""What both models are worth on the rows that judged them, shown once the verdict is on record.

Nothing shows it before: whoever chose the best of many candidates by their figures on these rows,
and asked the gate about that one, would have looked many times and paid once.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import comparison_plot, files, mlflow, run_files
from mlops.adapters.evidence import LOCK, read_evidence
from mlops.adapters.model_files import write_table
from mlops.core import assessment, regression_scores, slices
from mlops.core.assessment import Scored
from mlops.core.bounds import dependent
from mlops.core.exam import counting
from mlops.core.harm import declared
from mlops.core.slices import EVERYTHING, Part
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.evidence import Dossier
    from mlops.core.assessment import Measured
    from mlops.core.decision import Decision
    from mlops.core.exam import Paired
    from mlops.core.slices import Slice
    from mlops.site import Site

TABLE, SLICES, PICTURE = "recent.csv", "recent_slices.csv", "recent.png"
_CONFIDENCE, _BINS = 0.95, 10


@dataclass(frozen=True)
class _Side:
    """One model on the rows: its name in the tables, its metrics, and its score on each slice."""

    who: str
    scored: Scored
    metrics: tuple[Measured, ...]
    slices: tuple[Slice, ...]


def show(site: Site, decision: Decision) -> None:
    """Put the figures on the rows that judged into the candidate's run, once.

    Two tables, a picture and the metrics `recent_…` of the candidate. A verdict that looked at no
    recent rows has paid for none, and shows none. They are made from the decision's folder; a
    host that does not have it leaves them to the one that decided.

    Args:
        site: where the folder lies.
        decision: on record in the ledger.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it refuses.
    """
    run_id, place = decision.candidate.run_id, f"decision/{decision.id}"
    if decision.verdict.evidence.recent_since_s is None:
        return
    if f"{place}/{TABLE}" in run_files.find(site, run_id, place):
        return
    folder = site.layout.decisions / decision.id
    if not (folder / LOCK).is_file() or files.sha256(folder / LOCK) != decision.evidence:
        return
    try:
        figures = write(folder, read_evidence(folder))
    except DataError:
        return  # damaged since: `mlops replay` says so
    run_files.put(site, run_id, folder / PICTURE, "plots")
    for name in (TABLE, SLICES):
        run_files.put(site, run_id, folder / name, "tables")
    _log(site, run_id, figures, at_ms=int(1000 * decision.at_s))
    run_files.put(site, run_id, folder / TABLE, place)  # last: where it lies, all lies


def write(folder: Path, dossier: Dossier) -> dict[str, float]:
    """Write `recent.csv`, `recent_slices.csv` and `recent.png`; return the candidate's figures.

    Args:
        folder: of the decision.
        dossier: what was judged.
    """
    exam, rules = dossier.exam, dossier.rules
    rows = exam.recent.take(counting(exam, rules)[0])
    rows = replace(rows, key=dependent(rows.key, rows.observed_s, rules.block_s))
    how = assessment.Rules(
        _CONFIDENCE, rules.resamples, rules.seed, _BINS, rules.min_slice_rows, len(exam.classes)
    )
    parts = [Part(EVERYTHING, "all", "", np.ones(len(rows.label), dtype=bool))]
    parts += [Part(one.name, "", "", one.mask) for one in declared(exam, rows, rules)]
    said = (("candidate", rows.candidate), ("champion", rows.champion))
    sides = [_side(who, rows, answers, parts, how) for who, answers in said if answers is not None]
    _write_tables(folder, sides)
    comparison_plot.draw(
        folder / PICTURE, [(side.who, side.slices) for side in sides], regression=exam.regression
    )
    mine = {"recent": sides[0].scored}
    if exam.regression:
        return regression_scores.figures(mine)
    return assessment.figures(mine, how)


def _side(
    who: str, rows: Paired, answers: NDArray[np.float32], parts: list[Part], how: assessment.Rules
) -> _Side:
    every = np.ones(len(rows.label), dtype=bool)
    scored = Scored(rows.label, answers, rows.key, every)
    measure: Any = regression_scores.measured if scored.regression else assessment.measured
    return _Side(who, scored, measure(scored, how), slices.measure(scored, parts, how))


def _write_tables(folder: Path, sides: list[_Side]) -> None:
    limits = ("value", "low", "high")
    table = [
        (side.who, one.name, *(None if np.isnan(v) else v for v in astuple(one.interval)))
        for side in sides for one in side.metrics
    ]  # fmt: skip
    write_table(folder / TABLE, ("model", "metric", *limits), table)
    found = [
        (side.who, one.name, one.n, one.status, *(astuple(one.score) if one.score else [None] * 3))
        for side in sides for one in side.slices
    ]  # fmt: skip
    write_table(folder / SLICES, ("model", "slice", "n", "status", *limits), found)


def _log(site: Site, run_id: str, figures: dict[str, float], *, at_ms: int) -> None:
    from mlflow.entities import Metric

    api = mlflow.client(site)
    with mlflow.errors():
        points = [Metric(name, v, at_ms, 0) for name, v in figures.items() if np.isfinite(v)]
        api.log_batch(run_id, metrics=points)
