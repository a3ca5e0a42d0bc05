"""What a verdict costs beside an Evidently KS run of the same rows, on the same machine.

A verdict is all that `monitor` does between decoded rows and the answer: quality checks, columns,
what each is given the rest, statistics, thresholds. Evidently gets the same columns, without those
*given the rest*, of which correlated columns have one each.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.baseline import read_baseline
from mlops.adapters.files import write_json
from mlops.adapters.observe import look
from mlops.adapters.threads import one_thread
from mlops.core.columns import columns
from mlops.core.drift import presort
from mlops.core.quality import Arrivals
from mlops.core.schema import Column, TableSchema, to_plain
from mlops.core.smirnov import distance, p_value
from mlops.core.thresholds import Thresholds
from mlops.core.volume import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.adapters.baseline import Baseline
    from mlops.core.columns import Columns

WANTED = ((10_000, 20, 100.0), (100_000, 64, 50.0))
QUICK = ((2000, 8, 10.0),)
_CLASSES = 10
_ADDED = 4  # columns beside a table's own: missing, confidence, entropy, predicted
_FACTORS = 4  # that correlated columns have in common


@dataclass(frozen=True)
class Speed:
    """Seconds of one verdict, of a KS p-value of every column, and of Evidently's KS run.

    Attributes:
        rows: of the window, and of the reference.
        width: columns that Evidently compares.
        watched: columns that the verdict judges.
        correlated: whether columns explain each other.
        verdict_s: of processor time, as the others.
        ks_s: of the p-values.
        evidently_s: of its run.
        wanted: verdicts that it shall cost.
    """

    rows: int
    width: int
    watched: int
    correlated: bool
    verdict_s: float
    ks_s: float
    evidently_s: float
    wanted: float

    @property
    def ratio(self) -> float:
        """How many verdicts Evidently's run costs."""
        return self.evidently_s / self.verdict_s

    @property
    def line(self) -> str:
        """The figures as a printed line."""
        kind = "correlated" if self.correlated else "independent"
        return (
            f"{self.rows:,} × {self.rows:,} rows, {self.width} {kind} columns: verdict on "
            f"{self.watched} {1000 * self.verdict_s:.1f} ms, KS p-values {1000 * self.ks_s:.1f} ms "
            f"(1/{self.evidently_s / self.ks_s:.0f}), Evidently {1000 * self.evidently_s:.0f} ms: "
            f"1/{self.ratio:.0f} of it, 1/{self.wanted:.0f} wanted"
        )


def measure(
    rows: int, width: int, wanted: float, *, correlated: bool, times: int = 2
) -> Speed:  # fmt: skip
    """Time all three in turns; the fastest of each counts: noise only adds."""
    rng = np.random.default_rng(0)
    before, now = (_draw(rng, rows, width - _ADDED, correlated=correlated) for _ in range(2))
    baseline = _baseline(before)
    thresholds = _thresholds(baseline)
    ids = [f"{n:064x}" for n in range(rows)]
    came = Arrivals(0, ids, Span(0.0, 60.0), ())
    old, new = (columns(*drawn, baseline.schema) for drawn in (before, now))

    def verdict() -> None:
        look((*now, ids), came, baseline, thresholds)

    ready = presort(old).ordered

    def smirnov() -> None:
        for d in distance(ready, np.sort(new.values.T, axis=1)):  # noqa: PD011 - no frame
            p_value(float(d), rows, rows)

    tries = ((verdict, 4 * times), (smirnov, times), (_evidently(old, new), times))
    with one_thread("blas"):  # as `monitor` does
        verdict_s, ks_s, evidently_s = (min(_seconds(what) for _ in range(n)) for what, n in tries)
    watched = len(thresholds.columns)
    return Speed(rows, width, watched, correlated, verdict_s, ks_s, evidently_s, wanted)


def _draw(
    rng: np.random.Generator, rows: int, count: int, *, correlated: bool
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Draw features, (N, count), and a model's answers to them, (N, 10)."""
    world = np.random.default_rng(5)
    features = rng.normal(size=(rows, count))
    if correlated:
        features += rng.normal(size=(rows, _FACTORS)) @ world.normal(size=(_FACTORS, count))
    scores = np.exp(features @ world.normal(size=(count, _CLASSES)) / np.sqrt(count))
    return features, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def _baseline(drawn: tuple[NDArray[np.float64], NDArray[np.float32]]) -> Baseline:
    """Return the rows as `monitor` reads them from a version's folder."""
    features, answers = drawn
    names = tuple(str(k) for k in range(_CLASSES))
    schema = TableSchema(names, tuple(Column(f"c{d}", "number") for d in range(features.shape[1])))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        label = answers.argmax(axis=1)
        np.savez(folder / "reference.npz", features=features, probabilities=answers, label=label)
        write_json(folder / "model.json", {"schema": to_plain(schema)})
        return read_baseline(folder)


def _thresholds(baseline: Baseline) -> Thresholds:
    """Return thresholds that are not calibrated: how large they are costs nothing."""
    names, rows = baseline.columns.all_names, len(baseline.columns)
    return Thresholds(
        columns=names, limits=(0.1,) * len(names), means=(0.0,) * len(names), min_effect=0.1,
        window_rows=rows, reference_rows=rows, rate=0.0, budget=0.001, z=4.0, tail=(0.0,) * 9,
        block=1, calibrated=True, reason="",
    )  # fmt: skip


def _evidently(old: Columns, new: Columns) -> Callable[[], None]:
    """Return a run of Evidently's drift preset by KS; building its data sets is not counted."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    names = [*old.names, "predicted"]
    definition = DataDefinition(numerical_columns=names)
    frames = [
        Dataset.from_pandas(
            pd.DataFrame(np.column_stack([c.values, c.predicted]), columns=names),  # noqa: PD011 - Columns has values of its own
            definition,
        )
        for c in (old, new)
    ]

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Report([DataDriftPreset(num_method="ks")]).run(frames[1], frames[0]).dict()

    return run


def _seconds(what: Callable[[], None]) -> float:
    began = time.process_time()
    what()
    return time.process_time() - began
