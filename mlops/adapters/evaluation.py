"""The tables of `reports/evaluation/`: for people, MLflow and `dvc plots`."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing, write_json
from mlops.adapters.model_files import write_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.fairness import Fairness
    from mlops.adapters.snapshot import Rows
    from mlops.core.assessment import ClassScores, Measured
    from mlops.core.intervals import Interval
    from mlops.core.regression_scores import CoverageBin
    from mlops.core.reliability import Calibration
    from mlops.core.robustness import Robustness
    from mlops.core.slices import Slice

UNKNOWN = (None, None, None)
_SCORES = [f"{n}{end}" for n in ("precision", "recall", "f1") for end in ("", "_low", "_high")]
_PLOTTED = {
    "confusion.csv": ("actual", "predicted"),
    "calibration.csv": ("confidence", "accuracy", "n"),
    "per_class.csv": ("class", *_SCORES, "n"),
    "severity.csv": ("severity", "score", "low", "high"),
    "coverage.csv": ("prediction_low", "prediction_high", "n", "coverage", "low", "high"),
}
"""The columns of the tables that `dvc.yaml` plots."""


def write_metrics(folder: Path, figures: dict[str, float]) -> None:
    """Write the flat figures of `metrics.json`."""
    write_json(folder / "metrics.json", {name: _whole(v) for name, v in figures.items()})


def _whole(value: float) -> float | int:
    """Return a count as a whole number; a share of exactly 1 stays a share."""
    return int(value) if value.is_integer() and value > 1 else value


def write_intervals(folder: Path, confidence: float, found: Iterable[Measured]) -> None:
    """Write `intervals.json`, and `intervals.csv` with the same as a table.

    Args:
        folder: of the evaluation.
        confidence: coverage of the intervals.
        found: metrics of the test rows.
    """
    metrics, table = {}, []
    for one in found:
        limits = [None if np.isnan(v) else v for v in astuple(one.interval)]
        metrics[one.name] = dict(zip(("value", "low", "high"), limits, strict=True))
        metrics[one.name]["method"] = one.method
        table.append(("test", one.name, *limits, one.method))
    write_json(folder / "intervals.json", {"confidence": confidence, "metrics": metrics})
    header = ("rows", "metric", "value", "low", "high", "method")
    write_table(folder / "intervals.csv", header, table)


def write_slices(folder: Path, found: Iterable[Slice], *, regression: bool = False) -> None:
    """Write `slices.csv`: part of the rows and slice, with accuracy or mean absolute error."""
    table = [
        (
            "test", s.name, s.value, s.limits, s.n, s.status,
            *(astuple(s.score) if s.score else UNKNOWN), s.loss, s.adjusted_p,
        )
        for s in found
    ]  # fmt: skip
    header = (
        "rows", "slice", "value", "limits", "n", "status", "mae" if regression else "accuracy",
        "low", "high", "rmse" if regression else "log_loss", "adjusted_p",
    )  # fmt: skip
    write_table(folder / "slices.csv", header, table)


def write_classes(
    folder: Path, classes: Sequence[str], scores: Sequence[ClassScores], rows: Sequence[int]
) -> None:
    """Write `per_class.csv`: precision, recall and F1 of each class with their intervals."""
    table = [
        (name, *_flat((one.precision, one.recall, one.f1)), n)
        for name, one, n in zip(classes, scores, rows, strict=True)
    ]
    write_table(folder / "per_class.csv", _PLOTTED["per_class.csv"], table)


def write_confusion(folder: Path, names: NDArray[np.str_], label: NDArray[np.int64],
                    guess: NDArray[np.int64]) -> None:  # fmt: skip
    """Write `confusion.csv`: actual and predicted class of every test row."""
    pairs = zip(names[label], names[guess], strict=True)
    write_table(folder / "confusion.csv", _PLOTTED["confusion.csv"], pairs)


def write_calibration(folder: Path, curve: Calibration) -> None:
    """Write `calibration.csv`: the bins that hold rows."""
    bins = zip(curve.confidence, curve.accuracy, curve.rows, strict=True)
    filled = [one for one in bins if one[2] > 0]
    write_table(folder / "calibration.csv", _PLOTTED["calibration.csv"], filled)


def write_temperature(folder: Path, before: dict[str, float], after: dict[str, float]) -> None:
    """Write `temperature.csv`: figures on the test rows as exported, and rescaled."""
    table = [(name, before[name], after[name]) for name in before]
    write_table(folder / "temperature.csv", ("metric", "as_exported", "rescaled"), table)


def write_robustness(folder: Path, found: Robustness) -> None:
    """Write `robustness.csv`, every cell, and `severity.csv`, means over the corruptions."""
    cells = [(c.corruption, c.severity, found.n, *astuple(c.score)) for c in found.cells]
    header = ("corruption", "severity", "n", found.measure, "low", "high")
    write_table(folder / "robustness.csv", header, cells)
    means = [(severity, *astuple(i)) for severity, i in enumerate(found.by_severity)]
    write_table(folder / "severity.csv", _PLOTTED["severity.csv"], means)


def write_coverage(folder: Path, bins: Iterable[CoverageBin]) -> None:
    """Write `coverage.csv`: of a regression, how often targets lie in their intervals."""
    table = [(one.low, one.high, one.n, *astuple(one.coverage)) for one in bins]
    write_table(folder / "coverage.csv", _PLOTTED["coverage.csv"], table)


def write_blanks(folder: Path) -> None:
    """Write what `dvc.yaml` plots and this task does not have, as tables without rows.

    `dvc plots` complains of a file that is not there, and passes over one without rows.
    """
    for name, header in _PLOTTED.items():
        if not (folder / name).exists():
            write_table(folder / name, header, ())


def write_mistakes(folder: Path, table: Iterable[Sequence[Any]]) -> None:
    """Write `mistakes.csv`: the worst answers with what they were given to."""
    header = ("example_id", "label", "answer", "loss", "features")
    write_table(folder / "mistakes.csv", header, table)


def write_fairness(folder: Path, found: Sequence[Fairness]) -> None:
    """Write `fairness.csv`, a line per protected column, and `fairness_groups.csv`."""
    columns, groups = [], []
    for one in found:
        limits = [astuple(i) if i else UNKNOWN for i in (one.difference, one.ratio)]
        status = "assessed" if one.difference else "not assessable"
        columns.append(("test", one.column, len(one.groups), status, *limits[0], *limits[1]))
        for group in one.groups:
            shares = astuple(group.accuracy) if group.accuracy else UNKNOWN
            groups.append(("test", one.column, group.value, group.n, *shares))
    header = ["rows", "column", "groups", "status"]
    for name in ("difference", "ratio"):
        header += [name, f"{name}_low", f"{name}_high"]
    write_table(folder / "fairness.csv", header, columns)
    header = ["rows", "column", "group", "n", "accuracy", "low", "high"]
    write_table(folder / "fairness_groups.csv", header, groups)


def write_predictions(folder: Path, rows: Rows, probabilities: NDArray[np.float32]) -> None:
    """Write `predictions.npz`: the test rows with the answers to them."""
    _write_arrays(folder / "predictions.npz", {
        "example_id": rows.example_id, "label": rows.label, "key": rows.key,
        "probabilities": probabilities,
    })  # fmt: skip


def write_reference(folder: Path, rows: Rows, probabilities: NDArray[np.float32]) -> None:
    """Write `reference.npz`: the rows that drift is measured against, with the answers to them."""
    _write_arrays(folder / "reference.npz", {
        "features": rows.features, "label": rows.label, "key": rows.key,
        "probabilities": probabilities, "observed_s": rows.observed_s,
        "example_id": rows.example_id,
    })  # fmt: skip


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays to one `.npz` file, atomically and without pickle."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _flat(intervals: Iterable[Interval]) -> list[float]:
    return [value for one in intervals for value in astuple(one)]
