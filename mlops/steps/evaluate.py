"""Step `evaluate`: score the very file that would be served, and say how sure the figures are.

It looks at the test rows alone. What the recent rows say is for the gate: whoever chose among
candidates by their figures there would have looked without paying (see `mlops.core.gate`), so
they are shown by `promote`, after its verdict (see `mlops.adapters.recent_figures`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.evaluate import EvaluateSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mlops.adapters.appraisal import Side
    from mlops.adapters.runtimes import Scorer
    from mlops.adapters.snapshot import Rows
    from mlops.core.assessment import Measured, Rules, Scored
    from mlops.core.robustness import Robustness
    from mlops.core.schema import Schema


class EvaluateParams(View):
    """What `evaluate` may see."""

    evaluate: EvaluateSection


def evaluate(params: EvaluateParams, site: Site) -> Report:
    """Read `data/prepared/` and `models/candidate/`, write `reports/evaluation/`.

    Raises:
        ParamsError: if `evaluate.protected` names a column that there is none of.
        DataError: if an input is missing, damaged or does not fit the model.
        StepError: if there are no test rows, or the model answers with something else than
            probabilities.
    """
    from mlops.adapters import appraisal, evaluation, explaining, model_files, plots
    from mlops.adapters.onnx_session import latency_ms
    from mlops.adapters.runtimes import model_file, open_model
    from mlops.adapters.snapshot import read_rows

    section, prepared = params.evaluate, site.layout.prepared
    rules = _rules(section)
    schema, _ = model_files.read_split(prepared)
    session = open_model(site.layout.candidate)
    folder = site.out(site.layout.evaluation)
    folder.mkdir(parents=True, exist_ok=True)
    test = _test(session, prepared, schema)
    validation = _score(session, read_rows(prepared / "validation.npz"), schema)
    robust = _robustness(section, session, test, schema, folder)
    found, figures = appraisal.write(folder, test, validation, schema, rules)
    more = _also(robust, latency_ms(session, test.rows.features), rules)
    figures |= {one.name: one.interval.value for one in more}
    figures["model_bytes"] = float(model_file(site.layout.candidate).stat().st_size)
    evaluation.write_metrics(folder, figures)
    evaluation.write_intervals(folder, rules.confidence, [*found, *more])
    _write_slices(section, test, rules, folder, schema)
    explaining.write(folder, site.layout.candidate, session, test, schema, section)
    plots.training(folder / "training.png", model_files.read_history(site.layout.candidate))
    evaluation.write_predictions(folder, test.rows, test.scored.probabilities)
    evaluation.write_blanks(folder)
    reference = read_rows(prepared / "reference.npz")
    evaluation.write_reference(folder, reference, session.probabilities(reference.features))
    return Report(_summary(figures, test), facts=dict(figures))


def _summary(figures: dict[str, float], test: Side) -> str:
    from mlops.core.amounts import number

    rows = f"{len(test.rows)} test rows"
    if test.scored.regression:
        return f"mean absolute error {number(figures['mae'])} on {rows}"
    return f"accuracy {100 * figures['accuracy']:.1f} % on {rows}"


def _rules(section: EvaluateSection) -> Rules:
    from mlops.core.assessment import Rules

    return Rules(
        section.confidence, section.resamples, section.seed, section.bins, section.min_slice_rows,
        section.top_k,
    )  # fmt: skip


def _score(session: Scorer, rows: Rows, schema: Schema) -> Scored:
    from mlops.core.assessment import Scored
    from mlops.core.quality import sound
    from mlops.errors import StepError

    answers = session.probabilities(rows.features)
    if not sound(answers, regression=not schema.classes).all():
        what = "probabilities (NaN, or not summing to 1)" if schema.classes else "quantiles"
        raise StepError(f"the model file: answers are no {what}")
    return Scored(rows.label, answers, rows.key, rows.production)


def _test(session: Scorer, prepared: Path, schema: Schema) -> Side:
    """Return the test rows, cut into slices."""
    from mlops.adapters.appraisal import Side
    from mlops.adapters.snapshot import read_rows
    from mlops.core import slices
    from mlops.errors import StepError

    path = prepared / "test.npz"
    rows = read_rows(path)
    if len(rows) == 0:
        raise StepError(f"{path}: no rows; raise split.test and run: mlops prepare")
    scored = _score(session, rows, schema)
    names, looks = slices.properties(rows.features, schema)
    parts = slices.parts(scored, schema, looks, names, slices.terciles(looks))
    return Side(rows, scored, names, looks, parts)


def _also(robust: Robustness | None, times_ms: NDArray[np.float64], rules: Rules) -> list[Measured]:
    """Return what is measured beside the answers: the time that they take, and robustness."""
    from mlops.core.assessment import Measured
    from mlops.core.intervals import quantile_interval

    latency = quantile_interval(times_ms, 0.95, rules.confidence)
    out = [Measured("latency_in_process_p95_ms", latency, "order statistics")]
    if robust is not None:
        name = f"robustness_{robust.measure}"
        out.append(Measured(name, robust.mean, "bootstrap BCa"))
    return out


def _robustness(
    section: EvaluateSection, session: Scorer, test: Side, schema: Schema, folder: Path
) -> Robustness | None:
    """Run the suite of disturbances on some of the test rows, and write its tables and plot."""
    from mlops.adapters import evaluation, plots
    from mlops.core import robustness

    if section.robustness_rows == 0:
        return None
    some = test.rows.take(robustness.choose(len(test.rows), section.robustness_rows, section.seed))
    found = robustness.endure(
        some.features, some.label, some.key, schema, session.probabilities,
        confidence=section.confidence, resamples=section.resamples, seed=section.seed,
    )  # fmt: skip
    evaluation.write_robustness(folder, found)
    plots.robustness(folder / "robustness.png", found)
    return found


def _write_slices(
    section: EvaluateSection, test: Side, rules: Rules, folder: Path, schema: Schema
) -> None:
    """Write declared slices, weak ones found among the test rows, and protected columns."""
    from mlops.adapters import evaluation, fairness, interval_plots
    from mlops.core import slices, weakness

    out = [*slices.measure(test.scored, test.parts, rules)]
    if section.weak_depth:
        # Twice as many rows as a slice needs: the half that tests it must have enough, too.
        search = weakness.Rules(section.weak_depth, 2 * section.min_slice_rows, most=5)
        out += slices.find(test.scored, test.looks, test.names, rules, search, schema=schema)
    regression = test.scored.regression
    evaluation.write_slices(folder, out, regression=regression)
    interval_plots.slices(folder / "slices.png", out, 1.0 - rules.confidence, regression=regression)
    if section.protected:
        groups = [
            fairness.compare_groups(test.scored, test.parts, column, rules)
            for column in section.protected
        ]
        evaluation.write_fairness(folder, groups)
