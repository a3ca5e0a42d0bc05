"""What a model is worth on held-out rows, as tables and pictures: of classes, or of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import evaluation, interval_plots, plots, regression_plots, sheets
from mlops.core import assessment, metrics, regression_scores, reliability, showcase, temperature
from mlops.core.features import canonical, values_of
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.snapshot import Rows
    from mlops.core.assessment import Measured, Rules, Scored
    from mlops.core.schema import Schema
    from mlops.core.slices import Part
    from mlops.core.temperature import Rescaled

_MISTAKES = 30


@dataclass(frozen=True)
class Side:
    """The test rows, what was answered, and what they look like.

    Attributes:
        rows: the rows.
        scored: with the model's answers.
        names: of the columns of `looks`.
        looks: float64 (N, D): what the examples look like.
        parts: the slices of the rows.
    """

    rows: Rows
    scored: Scored
    names: tuple[str, ...]
    looks: NDArray[np.float64]
    parts: tuple[Part, ...]


def write(
    folder: Path, test: Side, validation: Scored, schema: Schema, rules: Rules
) -> tuple[list[Measured], dict[str, float]]:
    """Write tables and pictures of the test rows; return every metric, and the flat figures.

    Args:
        folder: of the evaluation.
        test: the test rows.
        validation: rows that a temperature may be fitted on.
        schema: of the examples.
        rules: how to measure.
    """
    if schema.classes:
        rescaled = temperature.assess(test.scored, validation, rules)
        found = [*assessment.measured(test.scored, rules), *rescaled.measured()]
        figures = assessment.figures({"test": test.scored}, rules)
        figures |= {one.name: one.interval.value for one in rescaled.measured()}
        _classes(folder, test, schema, rules, rescaled)
    else:
        found = [*regression_scores.measured(test.scored, rules)]
        figures = regression_scores.figures({"test": test.scored})
        _numbers(folder, test.scored, rules)
    _mistakes(folder, test, schema)
    return found, figures


def _classes(folder: Path, test: Side, schema: Schema, rules: Rules, rescaled: Rescaled) -> None:
    """Write classes, confusion and calibration."""
    classes = schema.classes
    label, p = test.scored.label, test.scored.probabilities
    guess = metrics.predicted(p)
    table = metrics.confusion(label, guess, len(classes))
    scores = assessment.by_class(test.scored, rules)
    curve = reliability.calibration(label, p, rules.bins)
    counts = table.sum(axis=1)
    evaluation.write_classes(folder, classes, scores, counts)
    evaluation.write_confusion(folder, np.array(classes), label, guess)
    evaluation.write_calibration(folder, curve)
    evaluation.write_temperature(folder, rescaled.before, rescaled.after)
    plots.confusion(folder / "confusion.png", table, classes)
    plots.calibration(folder / "calibration.png", curve, rescaled.curve, rescaled.temperature.value)
    interval_plots.per_class(folder / "per_class.png", scores, counts, classes)


def _numbers(folder: Path, scored: Scored, rules: Rules) -> None:
    """Write residuals and coverage."""
    bins = regression_scores.coverage_bins(scored, rules)
    evaluation.write_coverage(folder, bins)
    regression_plots.residuals(folder / "residuals.png", scored)
    regression_plots.normal(folder / "normal.png", *regression_scores.normal_quantiles(scored))
    regression_plots.coverage(folder / "coverage.png", bins)


def _mistakes(folder: Path, test: Side, schema: Schema) -> None:
    """Write the worst answers: a sheet of pictures, or a table with what was given."""
    label, answers = test.scored.label, test.scored.probabilities
    if isinstance(schema, ImageSchema) and schema.classes:
        features = test.rows.features
        sheets.mistakes(folder / "mistakes.png", features, label, answers, schema.classes)
        return
    if schema.classes:
        worst = showcase.surest_mistakes(label, answers)[:_MISTAKES]
        loss = metrics.row_log_loss(label, answers)
        names = np.array(schema.classes)
        told = [(names[label[r]], names[answers[r].argmax()]) for r in worst]
    else:
        loss = np.abs(test.scored.point - label)
        worst = np.argsort(-loss, kind="stable")[:_MISTAKES]
        told = [(label[r], test.scored.point[r]) for r in worst]
    shown = canonical(values_of(test.rows.features[worst], schema), schema)
    rows = zip(worst, told, shown, strict=True)
    evaluation.write_mistakes(folder, [
        (test.rows.example_id[r], *pair, loss[r], _safe(one)) for r, pair, one in rows
    ])  # fmt: skip


def _safe(content: bytes) -> str:
    """Return features as a cell that no spreadsheet takes for a formula."""
    text = content.decode(errors="replace")
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
