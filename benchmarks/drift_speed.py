"""What a verdict costs beside an Evidently KS run of the same rows, on the same machine."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.alarm import judge
from mlops.core.columns import Columns
from mlops.core.drift import norms, presort, statistics
from mlops.core.smirnov import distance, p_value
from mlops.core.thresholds import Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

WANTED = ((10_000, 20, 100.0), (100_000, 64, 50.0))
QUICK = ((2000, 5, 10.0),)


@dataclass(frozen=True)
class Speed:
    """Seconds of one verdict, of a KS p-value of every column, and of Evidently's KS run."""

    rows: int
    width: int
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
        return (
            f"{self.rows:,} × {self.rows:,} rows, {self.width} columns: verdict "
            f"{1000 * self.verdict_s:.1f} ms, KS p-values {1000 * self.ks_s:.1f} ms "
            f"(1/{self.evidently_s / self.ks_s:.0f}), Evidently {1000 * self.evidently_s:.0f} ms: "
            f"1/{self.ratio:.0f} of it, 1/{self.wanted:.0f} wanted"
        )


def measure(rows: int, width: int, wanted: float, times: int = 2) -> Speed:
    """Time all three in turns; the fastest of each counts: noise only adds."""
    rng = np.random.default_rng(0)
    names = tuple(f"c{i}" for i in range(width - 1))
    old, new = (
        Columns(names, rng.normal(size=(rows, width - 1)), rng.integers(0, 10, rows), 10)
        for _ in range(2)
    )
    ready = presort(old)
    limits = (0.1,) * width
    thresholds = Thresholds(
        columns=old.all_names, limits=limits, means=(0.0,) * width, min_effect=0.1,
        window_rows=rows, reference_rows=rows, rate=0.0, budget=0.001, z=4.0, tail=(0.0,) * 9,
        block=1, calibrated=True, reason="",
    )  # fmt: skip
    assert (norms(old) == ready.norm).all()

    def verdict() -> None:
        judge(thresholds, statistics(ready, new), np.zeros(width), rows)

    def smirnov() -> None:
        for d in distance(ready.ordered, np.sort(new.values.T, axis=1)):  # noqa: PD011 - no frame
            p_value(float(d), rows, rows)

    evidently = _evidently(old, new)
    best = [min(_seconds(what) for _ in range(many)) for what, many in
            ((verdict, 4 * times), (smirnov, times), (evidently, times))]  # fmt: skip
    return Speed(rows, width, *best, wanted)


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
