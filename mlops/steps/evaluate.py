"""Step `evaluate`: score the very file that would be served, and say how sure the figures are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.params.base import View
from mlops.params.evaluate import EvaluateSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.onnx_session import Session
    from mlops.adapters.snapshot import Rows
    from mlops.core.assessment import Measured, Rules, Scored
    from mlops.core.robustness import Robustness
    from mlops.core.slices import Part
    from mlops.core.temperature import Rescaled


class EvaluateParams(View):
    """What `evaluate` may see."""

    evaluate: EvaluateSection


@dataclass(frozen=True)
class _Side:
    """Rows of one kind, what was answered, and what they look like."""

    name: str
    rows: Rows
    scored: Scored
    names: tuple[str, ...]
    looks: NDArray[np.float64]
    parts: tuple[Part, ...]


def evaluate(params: EvaluateParams, site: Site) -> Report:
    """Read `data/prepared/` and `models/candidate/`, write `reports/evaluation/`.

    Raises:
        ParamsError: if `evaluate.protected` names a column that there is none of.
        DataError: if an input is missing, damaged or does not fit the model.
        StepError: if there are no test rows, or the model answers with something else than
            probabilities.
    """
    from mlops.adapters import evaluation, model_files, plots
    from mlops.adapters.onnx_session import Session, latency_ms
    from mlops.adapters.snapshot import read_rows
    from mlops.core import temperature

    section, prepared = params.evaluate, site.layout.prepared
    rules = _rules(section)
    schema, _ = model_files.read_split(prepared)
    model = site.layout.candidate / model_files.MODEL
    session = Session(model)
    folder = site.out(site.layout.evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    sides = _sides(session, prepared, schema.classes)
    test = sides[0]
    validation = _score(session, read_rows(prepared / "validation.npz"))
    rescaled = temperature.assess(test.scored, validation, rules)
    robust = _robustness(section, session, test, folder)
    found, figures = _measure(
        sides, rules, rescaled, robust, latency_ms(session, test.rows.features)
    )
    figures["model_bytes"] = float(model.stat().st_size)
    evaluation.write_metrics(folder, figures)
    evaluation.write_intervals(folder, rules.confidence, found)
    _write_slices(section, sides, rules, folder)
    _write_test_rows(folder, test, schema.classes, rules, rescaled)
    _write_explanations(section, site.layout.candidate, folder, test, schema.classes)
    history = model_files.read_table(site.layout.candidate / model_files.HISTORY)
    plots.training(folder / "training.png", history)
    evaluation.write_predictions(folder, [(s.name, s.rows, s.scored.probabilities) for s in sides])
    reference = read_rows(prepared / "reference.npz")
    evaluation.write_reference(folder, reference, session.probabilities(reference.features))
    words = f"accuracy {100 * figures['accuracy']:.1f} % on {len(test.rows)} test rows"
    if len(sides) > 1:
        words += f", {100 * figures['recent_accuracy']:.1f} % on {len(sides[1].rows)} recent rows"
    return Report(words, facts=dict(figures))


def _rules(section: EvaluateSection) -> Rules:
    from mlops.core.assessment import Rules

    return Rules(
        section.confidence, section.resamples, section.seed, section.bins, section.min_slice_rows,
        section.top_k,
    )  # fmt: skip


def _score(session: Session, rows: Rows) -> Scored:
    from mlops.core.assessment import Scored
    from mlops.errors import StepError

    probabilities = session.probabilities(rows.features)
    sums = probabilities.sum(axis=1)
    if not np.isfinite(probabilities).all() or not np.allclose(sums, 1.0, atol=1e-3):
        raise StepError("model.onnx: answers are no probabilities (NaN, or not summing to 1)")
    return Scored(rows.label, probabilities, rows.key, rows.production)


def _sides(session: Session, prepared: Path, classes: Sequence[str]) -> tuple[_Side, ...]:
    """Return the test rows, and the recent ones if there are any, cut into the same slices."""
    from mlops.adapters.snapshot import read_rows
    from mlops.core import columns, slices
    from mlops.errors import StepError

    sides: list[_Side] = []
    cuts: tuple[tuple[float, ...], ...] = ()
    for name in ("test", "recent"):
        path = prepared / f"{name}.npz"
        rows = read_rows(path)
        if len(rows) == 0:
            if name == "test":
                raise StepError(f"{path}: no rows; raise split.test and run: mlops prepare")
            continue
        scored = _score(session, rows)
        names, looks = columns.looks(rows.features)
        cuts = cuts or slices.terciles(looks)
        parts = slices.parts(scored, classes, looks, names, cuts)
        sides.append(_Side(name, rows, scored, names, looks, parts))
    return tuple(sides)


def _measure(
    sides: tuple[_Side, ...],
    rules: Rules,
    rescaled: Rescaled,
    robust: Robustness | None,
    times_ms: NDArray[np.float64],
) -> tuple[list[tuple[str, Measured]], dict[str, float]]:
    """Return every metric with its interval, and the flat figures of `metrics.json`."""
    from mlops.core import assessment
    from mlops.core.assessment import Measured
    from mlops.core.intervals import quantile_interval

    found = [(s.name, one) for s in sides for one in assessment.measured(s.scored, rules)]
    out = assessment.figures({side.name: side.scored for side in sides}, rules)
    latency = quantile_interval(times_ms, 0.95, rules.confidence)
    more = [*rescaled.measured(), Measured("latency_p95_ms", latency, "order statistics")]
    if robust is not None:
        more.append(Measured("robustness_accuracy", robust.mean, "bootstrap BCa"))
    out |= {one.name: one.interval.value for one in more}
    return [*found, *(("test", one) for one in more)], out


def _robustness(
    section: EvaluateSection, session: Session, test: _Side, folder: Path
) -> Robustness | None:
    """Run the corruption suite on some of the test rows, and write its tables and plot."""
    from mlops.adapters import evaluation, plots
    from mlops.core import robustness

    if section.robustness_rows == 0:
        return None
    some = test.rows.take(robustness.choose(len(test.rows), section.robustness_rows, section.seed))
    found = robustness.endure(
        some.features, some.label, some.key, session.probabilities,
        confidence=section.confidence, resamples=section.resamples, seed=section.seed,
    )  # fmt: skip
    evaluation.write_robustness(folder, found)
    plots.robustness(folder / "robustness.png", found)
    return found


def _write_slices(
    section: EvaluateSection, sides: tuple[_Side, ...], rules: Rules, folder: Path
) -> None:
    """Write declared slices, weak ones found among the test rows, and protected columns."""
    from mlops.adapters import evaluation, fairness, plots
    from mlops.core import slices, weakness

    out = [(s.name, one) for s in sides for one in slices.measure(s.scored, s.parts, rules)]
    test = sides[0]
    if section.weak_depth:
        # Twice as many rows as a slice needs: the half that tests it must have enough, too.
        search = weakness.Rules(section.weak_depth, 2 * section.min_slice_rows, most=5)
        found = slices.find(test.scored, test.looks, test.names, rules, search)
        out += [(test.name, one) for one in found]
    evaluation.write_slices(folder, out)
    shown = [one for name, one in out if name == test.name]
    plots.slices(folder / "slices.png", shown, 1.0 - rules.confidence)
    if section.protected:
        groups = [
            (s.name, fairness.compare_groups(s.scored, s.parts, column, rules))
            for s in sides for column in section.protected
        ]  # fmt: skip
        evaluation.write_fairness(folder, groups)


def _write_test_rows(
    folder: Path, test: _Side, classes: tuple[str, ...], rules: Rules, rescaled: Rescaled
) -> None:
    """Write tables and plots of the test rows: classes, confusion, calibration, mistakes."""
    from mlops.adapters import evaluation, plots, sheets
    from mlops.core import assessment, metrics, reliability

    label, p = test.scored.label, test.scored.probabilities
    guess = metrics.predicted(p)
    table = metrics.confusion(label, guess, len(classes))
    scores = assessment.by_class(test.scored, rules)
    curve = reliability.calibration(label, p, rules.bins)
    evaluation.write_classes(folder, classes, scores, table.sum(axis=1))
    evaluation.write_confusion(folder, np.array(classes), label, guess)
    evaluation.write_calibration(folder, curve)
    evaluation.write_temperature(folder, rescaled.before, rescaled.after)
    plots.confusion(folder / "confusion.png", table, classes)
    plots.calibration(folder / "calibration.png", curve, rescaled.curve, rescaled.temperature.value)
    plots.per_class(folder / "per_class.png", scores, table.sum(axis=1), classes)
    sheets.mistakes(folder / "mistakes.png", test.rows.features, label, p, classes)


def _write_explanations(
    section: EvaluateSection, candidate: Path, folder: Path, test: _Side, classes: tuple[str, ...]
) -> None:
    """Write the sheet of attributions, on the network that the model file was made from."""
    from mlops.core import showcase

    p = test.scored.probabilities
    pairs = showcase.pairs(test.scored.label, p, section.explained)
    if not pairs:
        return
    from mlops.adapters import explanations, sheets

    rows = np.array(sorted({row for pair in pairs for row in pair if row != showcase.NOBODY}))
    images, answers = test.rows.features[rows], p[rows].argmax(axis=1)
    found = explanations.explain(candidate, images, answers, p[rows])
    shown = sheets.Explained(rows, images, test.scored.label[rows], p[rows], found)
    sheets.explanations(folder / "explanations.png", pairs, shown, classes)
