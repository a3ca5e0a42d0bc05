from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, f

from mlops.core.alarm import Rule, judge
from mlops.core.calibration import Rules, calibrate
from mlops.core.columns import Columns
from mlops.core.drift import HOTELLING, methods, presort, statistics
from mlops.core.embedding import TOGETHER, is_column, is_embedding, names
from mlops.core.grid import Grid
from mlops.core.joint import learn_joint

WIDTH = 5
RULES = Rules(
    window_rows=100, false_alarms=1.0, per_windows=20, min_effect=0.0, replicates=100, seed=7,
    rule=Rule(raise_k=1, raise_n=1, clear_after=1),
)  # fmt: skip


def draw(rng: np.random.Generator, rows: int, *, by: float = 0.0) -> Columns:
    """Draw an embedding whose first two columns are nearly one; it moves across them."""
    first = rng.normal(size=rows)
    second = first + 0.1 * rng.normal(size=rows) + by
    rest = rng.normal(size=(rows, WIDTH - 1))
    values = np.column_stack([rest[:, 0], first, second, rest[:, 1:]])
    return Columns(("contrast", *names(WIDTH)), values, rng.integers(0, 3, rows), 3)


def test_its_place_and_name_are_those_of_the_verdict() -> None:
    rows = draw(np.random.default_rng(0), 50)
    assert rows.all_names == ("contrast", *names(WIDTH), TOGETHER, "predicted")
    assert methods(rows.all_names[:-1])[-2:] == (HOTELLING, "jensenshannon")
    assert is_embedding(TOGETHER)
    assert not is_column(TOGETHER)
    assert not is_column("embedding 1 of 4 given the rest")
    bare = Columns(("contrast",), rows.values[:, :1], rows.predicted, 3)
    assert bare.all_names == ("contrast", "predicted")
    assert learn_joint(bare) is None
    assert len(statistics(presort(bare), bare)) == 2


def test_it_is_hotellings_statistic() -> None:
    """On clean rows n T² is F-distributed for a known mean; its level is then the nominal one."""
    rng = np.random.default_rng(1)
    below, n, times = 0, 60, 400
    for _ in range(times):
        rows = draw(rng, n)
        joint = learn_joint(rows)
        assert joint is not None
        truth = np.zeros((1, WIDTH + 1))  # the mean of the world
        t2 = n * joint.distance(truth) ** 2
        below += t2 * (n - WIDTH) / (WIDTH * (n - 1)) > f.isf(0.05, WIDTH, n - WIDTH)
    assert binom.ppf(0.001, times, 0.05) <= below <= binom.ppf(0.999, times, 0.05)


def test_the_grid_and_the_verdict_compute_the_same() -> None:
    rng = np.random.default_rng(2)
    world, window = draw(rng, 400), np.arange(100)
    grid = Grid(world, world.values.std(axis=0))
    found = grid.statistics(grid.counts(np.arange(400)[None]), grid.counts(window[None]))
    exact = statistics(presort(world), world.take(window))
    assert found[0, -2] == pytest.approx(exact[-2], rel=1e-9)
    assert found.shape == (1, len(world.all_names))


def test_a_shift_across_columns_that_none_of_them_shows_is_seen() -> None:
    rng = np.random.default_rng(3)
    reference = draw(rng, 1000)
    thresholds, ready = calibrate(reference, RULES), presort(reference)
    assert thresholds.columns == reference.all_names
    seen = {"clean": 0, "moved": 0, "by columns": 0}
    for _ in range(200):
        for name, by in (("clean", 0.0), ("moved", 0.12)):
            window = draw(rng, 100, by=by)
            values = statistics(ready, window)
            verdict = judge(thresholds, values, np.zeros_like(values), 100)
            seen[name] += verdict.alarm
            if name == "moved":
                seen["by columns"] += any(c.column != TOGETHER for c in verdict.drifted)
    assert seen["clean"] <= binom.ppf(0.999, 200, 0.05)
    assert seen["moved"] > 190
    assert seen["by columns"] < 40


def test_an_embedding_that_never_varies_moves_nothing() -> None:
    rng = np.random.default_rng(4)
    rows = draw(rng, 200)
    still = Columns(rows.names, np.where(np.arange(6) > 0, 1.0, rows.values), rows.predicted, 3)
    assert learn_joint(still) is None
    assert statistics(presort(still), still.take(slice(0, 50)))[-2] == 0.0
    assert calibrate(still, RULES).columns == still.all_names
