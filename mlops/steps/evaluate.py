"""Step `evaluate`: score the very file that would be served, and say how sure the figures are."""

from __future__ import annotations

import time
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.params.base import View
from mlops.params.evaluate import EvaluateSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.onnx_session import Session
    from mlops.adapters.snapshot import Rows
    from mlops.core.assessment import Rules, Scored

LATENCY_RUNS = 200
"""Single rows that are timed; the first tenth warms up."""


class EvaluateParams(View):
    """What `evaluate` may see."""

    evaluate: EvaluateSection


def evaluate(params: EvaluateParams, site: Site) -> Report:
    """Read `data/prepared/` and `models/candidate/`, write `reports/evaluation/`.

    Raises:
        DataError: if an input is missing, damaged or does not fit the model.
        StepError: if there are no test rows, or the model answers with something else than
            probabilities.
    """
    from mlops.adapters import model_files
    from mlops.adapters.files import write_json
    from mlops.adapters.onnx_session import Session
    from mlops.adapters.snapshot import read_rows
    from mlops.core import assessment
    from mlops.errors import StepError

    section, prepared = params.evaluate, site.layout.prepared
    rules = assessment.Rules(
        section.confidence, section.resamples, section.seed, section.bins, section.min_slice_rows
    )
    schema, _ = model_files.read_split(prepared)
    model = site.layout.candidate / model_files.MODEL
    session = Session(model)
    folder = site.out(site.layout.evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    test, recent = read_rows(prepared / "test.npz"), read_rows(prepared / "recent.npz")
    if len(test) == 0:
        raise StepError(
            f"{prepared / 'test.npz'}: no rows; raise split.test and run: mlops prepare"
        )
    parts = {"test": (test, _score(session, test)), "recent": (recent, _score(session, recent))}
    figures = _figures(parts, rules)
    figures["model_bytes"] = float(model.stat().st_size)
    figures["latency_p95_ms"] = _latency_p95_ms(session, test.image)
    write_json(folder / "metrics.json", {n: _whole(v) for n, v in figures.items()})
    scored = {name: part[1] for name, part in parts.items()}
    _write_uncertainty(folder, scored, schema.classes, rules)
    _write_tables(folder, scored["test"], schema.classes, section.bins)
    history = site.layout.candidate / model_files.HISTORY
    _write_plots(folder, parts["test"], schema.classes, rules, history)
    _write_arrays(folder, session, parts, read_rows(prepared / "reference.npz"))
    accuracy = figures["accuracy"]
    words = f"accuracy {100 * accuracy:.1f} % on {len(test)} test rows"
    if len(recent):
        words += f", {100 * figures['recent_accuracy']:.1f} % on {len(recent)} recent rows"
    return Report(words, facts=dict(figures))


def _whole(value: float) -> float | int:
    """Return a count as a whole number; a share of exactly 1 stays a share."""
    return int(value) if value.is_integer() and value > 1 else value


def _score(session: Session, rows: Rows) -> Scored:
    from mlops.core.assessment import Scored
    from mlops.errors import StepError

    probabilities = session.probabilities(rows.image)
    sums = probabilities.sum(axis=1)
    if not np.isfinite(probabilities).all() or not np.allclose(sums, 1.0, atol=1e-3):
        raise StepError("model.onnx: answers are no probabilities (NaN, or not summing to 1)")
    return Scored(rows.label, probabilities, rows.key, rows.production)


def _figures(parts: dict[str, tuple[Rows, Scored]], rules: Rules) -> dict[str, float]:
    """Return the flat figures of `metrics.json`, those of recent rows with their prefix."""
    from mlops.core import metrics

    out: dict[str, float] = {}
    for name, (rows, scored) in parts.items():
        if len(rows) == 0:
            continue
        prefix = "" if name == "test" else f"{name}_"
        p = scored.probabilities
        found = metrics.summary(scored.label, p, rules.bins)
        found["constant_log_loss"] = metrics.constant_log_loss(scored.label, p.shape[1])
        out |= {f"{prefix}{key}": value for key, value in found.items()}
    return out


def _latency_p95_ms(session: Session, images: NDArray[np.uint8]) -> float:
    """Return the 95th percentile of the time for one row, in milliseconds, one thread."""
    times = []
    for run in range(LATENCY_RUNS):
        row = images[run % len(images)][None]
        began = time.perf_counter()
        session.probabilities(row)
        times.append(time.perf_counter() - began)
    return float(np.percentile(times[LATENCY_RUNS // 10 :], 95) * 1000.0)


def _write_uncertainty(folder: Path, parts: dict[str, Scored], classes: tuple[str, ...],
                       rules: Rules) -> None:  # fmt: skip
    """Write `intervals.json` and `slices.csv`."""
    from mlops.adapters.files import write_json
    from mlops.adapters.model_files import write_table
    from mlops.core import assessment

    intervals: dict[str, Any] = {}
    table: list[tuple[Any, ...]] = []
    for name, rows in parts.items():
        if len(rows.label) == 0:
            continue
        prefix = "" if name == "test" else f"{name}_"
        for metric, (found, method) in assessment.intervals(rows, rules).items():
            intervals[prefix + metric] = {**vars(found), "method": method}
        for s in assessment.slices(rows, classes, rules):
            limits = astuple(s.accuracy) if s.accuracy else (None, None, None)
            table.append((name, s.name, s.value, s.n, s.status, *limits, s.log_loss))
    write_json(folder / "intervals.json", {"confidence": rules.confidence, "metrics": intervals})
    header = ("rows", "slice", "value", "n", "status", "accuracy", "low", "high", "log_loss")
    write_table(folder / "slices.csv", header, table)


def _write_tables(folder: Path, test: Scored, classes: tuple[str, ...], bins: int) -> None:
    """Write `per_class.csv`, `confusion.csv` and `calibration.csv` of the test rows."""
    from mlops.adapters.model_files import write_table
    from mlops.core import metrics

    guess = metrics.predicted(test.probabilities)
    found = metrics.per_class(metrics.confusion(test.label, guess, len(classes)))
    columns = (classes, found.precision, found.recall, found.f1, found.support)
    header = ("class", "precision", "recall", "f1", "n")
    write_table(folder / "per_class.csv", header, zip(*columns, strict=True))
    names = np.array(classes)
    pairs = zip(names[test.label], names[guess], strict=True)
    write_table(folder / "confusion.csv", ("actual", "predicted"), pairs)
    curve = metrics.calibration(test.label, test.probabilities, bins)
    filled = [b for b in zip(curve.confidence, curve.accuracy, curve.rows, strict=True) if b[2] > 0]
    write_table(folder / "calibration.csv", ("confidence", "accuracy", "n"), filled)


def _write_plots(
    folder: Path, test: tuple[Rows, Scored], classes: tuple[str, ...], rules: Rules, history: Path
) -> None:
    from mlops.adapters import model_files, plots
    from mlops.core import assessment, metrics

    rows, scored = test
    label, p = scored.label, scored.probabilities
    table = metrics.confusion(label, metrics.predicted(p), len(classes))
    plots.confusion(folder / "confusion.png", table, classes)
    plots.calibration(folder / "calibration.png", metrics.calibration(label, p, rules.bins))
    by_class = [s for s in assessment.slices(scored, classes, rules) if s.name == "class"]
    plots.per_class(
        folder / "per_class.png", [s.accuracy for s in by_class], [s.n for s in by_class], classes
    )
    plots.training(folder / "training.png", model_files.read_table(history))
    plots.mistakes(folder / "mistakes.png", rows.image, label, p, classes)


def _write_arrays(
    folder: Path, session: Session, parts: dict[str, tuple[Rows, Scored]], reference: Rows
) -> None:
    """Write `predictions.npz` (test rows, then recent ones) and `reference.npz`."""
    from mlops.adapters.files import replacing

    rows, scored = zip(*parts.values(), strict=True)
    predictions: dict[str, NDArray[Any]] = {
        "part": np.repeat(list(parts), [len(r) for r in rows]),
        "example_id": np.concatenate([r.example_id for r in rows]),
        "label": np.concatenate([r.label for r in rows]),
        "key": np.concatenate([r.key for r in rows]),
        "probabilities": np.concatenate([s.probabilities for s in scored]),
    }
    drift = {
        "image": reference.image, "label": reference.label, "key": reference.key,
        "probabilities": session.probabilities(reference.image),
        "observed_s": reference.observed_s, "example_id": reference.example_id,
    }  # fmt: skip
    for name, arrays in (("predictions.npz", predictions), ("reference.npz", drift)):
        with replacing(folder / name) as temporary, temporary.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
