from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import signal
from scipy.stats import beta, poisson

from mlops.core.alarm import Rule, incidents, judge
from mlops.core.calibration import Rules, calibrate
from mlops.core.columns import Columns
from mlops.core.continuous import SHARE, Detector, limit
from mlops.core.continuous import incidents as complete
from mlops.core.drift import norms, presort, statistics
from mlops.core.grid import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.alarm import Verdict
    from mlops.core.drift import Reference
    from mlops.core.thresholds import Thresholds

RULES = Rules(
    window_rows=100, false_alarms=1.0, per_windows=50, min_effect=0.0, replicates=200, seed=7,
    rule=Rule(raise_k=2, raise_n=3, clear_after=2),
)  # fmt: skip
_MIX = np.random.default_rng(3).normal(size=(6, 6))


def draw(rng: np.random.Generator, rows: int, shift: float = 0.0) -> Columns:
    """Draw correlated columns, one of them skewed, and unequal classes."""
    values = rng.normal(size=(rows, 6)) @ _MIX + shift
    values[:, 0] = np.exp(values[:, 0] / 3)
    classes = rng.choice(10, rows, p=np.arange(1, 11) / 55)
    return Columns(tuple("abcdef"), values, classes, 10)


def judged(rng: np.random.Generator, rows: int, count: int, rules: Rules) -> list[Verdict]:
    """Judge clean windows by the real statistics, against a fresh reference of their own."""
    reference = draw(rng, rows)
    thresholds, ready = calibrate(reference, rules), presort(reference)
    found = []
    for _ in range(count):
        window = draw(rng, rules.window_rows)
        values = statistics(ready, window)
        found.append(judge(thresholds, values, np.zeros(7), rules.window_rows))
    return found


def alarms(rng: np.random.Generator, rows: int, count: int, rules: Rules) -> list[bool]:
    return [verdict.alarm for verdict in judged(rng, rows, count, rules)]


@pytest.mark.parametrize("rows", [200, 1000])
def test_clean_streams_keep_to_the_budget(rows: int) -> None:
    rng = np.random.default_rng(rows)
    streams = np.array([alarms(rng, rows, 150, RULES) for _ in range(14)])
    opened = int(incidents(RULES.rule, streams).sum())
    # The budget is 42 in these 2,100 windows. The bound is wide, for streams share references.
    assert opened <= poisson.ppf(0.999, RULES.rate * streams.size)
    assert streams.any()  # a rule that never alarms keeps any budget


def test_the_complete_rule_shares_one_budget() -> None:
    rng, detector = np.random.default_rng(12), Detector(limit(SHARE * RULES.rate))
    half = replace(RULES, false_alarms=1 - SHARE)
    opened, count = 0, 0
    for _ in range(10):
        seen = judged(rng, 400, 150, half)
        opened += complete(RULES.rule, detector, [v.alarm for v in seen], [v.p for v in seen])
        count += len(seen)
        assert min(v.p for v in seen) < 0.1  # a detector that sees nothing keeps any budget
    assert opened <= poisson.ppf(0.999, RULES.rate * count)


def with_names(rng: np.random.Generator, rows: int, *, turned: bool = False) -> Columns:
    """Draw the columns with two of names, one of them of many rare ones."""
    made = draw(rng, rows)
    few = rng.choice(3, rows, p=[0.2, 0.2, 0.6] if turned else [0.6, 0.2, 0.2])
    many = np.minimum(rng.geometric(0.08, rows), 60) - 1
    names, values = (*made.names, "few", "many"), np.column_stack([made.values, few, many])
    return replace(made, names=names, values=values, named=("few", "many"))


def alarm(thresholds: Thresholds, ready: Reference, window: Columns) -> bool:
    found = statistics(ready, window)
    return judge(thresholds, found, np.zeros(len(found)), len(window), window.named).alarm


def test_columns_of_names_keep_to_the_budget_and_show_a_new_mix() -> None:
    rng = np.random.default_rng(8)
    streams = []
    for _ in range(8):
        reference = with_names(rng, 800)
        thresholds, ready = calibrate(reference, RULES), presort(reference)
        streams.append(
            [alarm(thresholds, ready, with_names(rng, RULES.window_rows)) for _ in range(100)]
        )
        assert alarm(thresholds, ready, with_names(rng, RULES.window_rows, turned=True))
    opened = int(incidents(RULES.rule, np.array(streams)).sum())
    assert opened <= poisson.ppf(0.999, RULES.rate * 800)


def test_a_real_shift_is_found_at_once() -> None:
    rng = np.random.default_rng(5)
    reference = draw(rng, 400)
    thresholds = calibrate(reference, replace(RULES, per_windows=500))
    window = draw(rng, 100, shift=1.5)
    verdict = judge(thresholds, statistics(presort(reference), window), np.zeros(7), 100)
    assert verdict.alarm


def test_thresholds_say_what_they_are() -> None:
    thresholds = calibrate(draw(np.random.default_rng(0), 400), RULES)
    assert thresholds.columns == (*"abcdef", "predicted")
    assert thresholds.calibrated
    assert 0 < thresholds.rate <= thresholds.budget
    assert thresholds.budget == RULES.rate


def test_a_small_reference_is_not_called_calibrated() -> None:
    thresholds = calibrate(draw(np.random.default_rng(0), 150), RULES)
    assert not thresholds.calibrated
    assert "150 reference rows" in thresholds.reason
    with pytest.raises(ValueError, match="1 rows"):
        calibrate(draw(np.random.default_rng(0), 1), RULES)


def test_what_is_too_small_to_matter_is_no_evidence() -> None:
    thresholds = calibrate(draw(np.random.default_rng(0), 1000), replace(RULES, min_effect=0.15))
    seen = np.full(7, 0.149)
    assert thresholds.p_value(seen, 1_000_000) == 1.0
    assert thresholds.p_value(seen + 0.001, 1_000_000) < 1e-6


def test_smaller_windows_need_larger_distances_and_none_is_below_the_minimum_effect() -> None:
    rules = replace(RULES, min_effect=0.15)
    thresholds = calibrate(draw(np.random.default_rng(0), 1000), rules)
    assert (thresholds.at(50) > thresholds.at(100)).all()
    assert thresholds.at(1_000_000).min() == 0.15


def test_the_same_seed_gives_the_same_thresholds() -> None:
    reference = draw(np.random.default_rng(0), 300)
    assert calibrate(reference, RULES) == calibrate(reference, RULES)
    other = calibrate(reference, replace(RULES, seed=8))
    assert np.allclose(other.limits, calibrate(reference, RULES).limits, rtol=0.12)


def test_a_rarer_budget_gives_higher_thresholds_also_beyond_what_is_drawn() -> None:
    reference = draw(np.random.default_rng(0), 300)
    found = [
        calibrate(reference, replace(RULES, per_windows=per_windows)).z
        for per_windows in (50, 500, 50_000)
    ]
    assert found[0] < found[1] < found[2]


def test_calibration_is_fast() -> None:
    reference = draw(np.random.default_rng(0), 2000)
    start = time.process_time()
    calibrate(reference, replace(RULES, window_rows=200, replicates=500, per_windows=500))
    assert time.process_time() - start < 6.0  # 2.2 s on a quiet machine


def of_entities(rng: np.random.Generator, entities: int, each: int) -> tuple[Columns, np.ndarray]:
    """Draw entities with so many rows each, which are much alike."""
    key = np.repeat(np.arange(entities), each).astype(np.uint64)
    values = rng.normal(size=(entities, 6))[key] * 0.9 + rng.normal(size=(len(key), 6)) * 0.44
    return Columns(tuple("abcdef"), values, rng.integers(2, size=len(key)), 2), key


def test_a_reference_of_few_entities_keeps_to_the_budget_if_it_knows_them() -> None:
    rng, opened = np.random.default_rng(5), [0, 0]
    for _ in range(10):
        reference, key = of_entities(rng, 80, 5)
        ready = presort(reference)
        windows = [statistics(ready, of_entities(rng, 100, 1)[0]) for _ in range(80)]
        for at, known in enumerate((key, None)):
            limits = calibrate(reference, RULES, key=known).at(100)
            stream = np.array([[(found >= limits).any() for found in windows]])
            opened[at] += int(incidents(RULES.rule, stream)[0])
    most = poisson.ppf(0.999, RULES.rate * 800)
    assert opened[0] <= most < opened[1]


def test_entities_are_said_and_twenty_are_needed() -> None:
    rng = np.random.default_rng(0)
    reference, key = of_entities(rng, 80, 5)
    assert calibrate(reference, RULES, key=key).reason.endswith(
        "; 400 reference rows of 80 entities"
    )
    alone = calibrate(reference, RULES)
    assert calibrate(reference, RULES, key=np.arange(400, dtype=np.uint64)) == alone
    reference, key = of_entities(rng, 19, 20)
    assert (
        "uncalibrated: 380 reference rows are of 19 entities, fewer than 20"
        in calibrate(reference, RULES, key=key).reason
    )
    large, key = of_entities(rng, 900, 5)  # beyond what is resampled
    assert calibrate(large, replace(RULES, replicates=20), key=key).calibrated


def returning(rng: np.random.Generator, rows: int, key: NDArray[np.uint64]) -> Columns:
    """Draw rows that share .7 with those of their key, and .3 of which is a slow series."""
    z = rng.standard_normal((rows, 4))
    slow = signal.lfilter([np.sqrt(1 - 0.7**2)], [1, -0.7], z, axis=0, zi=z[:1] * 0.7)[0]
    whose = rng.standard_normal((int(key.max()) + 1, 4))[key]
    values = np.sqrt(0.7) * whose + np.sqrt(0.3) * slow
    return Columns(tuple("abcd"), values, (values[:, 0] > 0).astype(np.int64), 2)


def false_alarms(trials: int) -> int:
    """Count clean windows in alarm, each of new entities against a reference where each has 20."""
    found, rows = 0, 500
    for replicate in range(trials):
        rng = np.random.default_rng([5, replicate])
        key = rng.permutation(np.arange(2 * rows, dtype=np.uint64) // np.uint64(20))
        reference = returning(rng, 2 * rows, key)
        window = returning(rng, rows, np.arange(rows, dtype=np.uint64))
        rules = Rules(rows, 0.05, 1, 0.0, 100, replicate, Rule(1, 1, 1), 400)
        made = calibrate(reference, rules, in_order=True, key=key)
        assert made.block > 1
        assert "of 50 entities" in made.reason
        found += bool((statistics(presort(reference), window) >= made.at(rows)).any())
    return found


def test_entities_that_come_back_in_a_slow_stream_keep_to_the_budget() -> None:
    """A sample: with blocks alone 57 of 200 such windows alarm, 9 of these 25."""
    assert false_alarms(25) <= 4


@pytest.mark.bench
def test_entities_that_come_back_in_a_slow_stream_keep_to_the_budget_in_full() -> None:
    found = false_alarms(400)
    assert beta.ppf(0.05, found, 401 - found) <= 0.05


def rare(rng: np.random.Generator, rows: int, share: float) -> Columns:
    """Draw columns of few values: one that is mostly 0, one of two values, and a normal one."""
    often = (rng.random(rows) < share) * rng.integers(1, 4, rows) / 3
    values = np.column_stack([often, rng.integers(0, 2, rows), rng.normal(size=rows)])
    return Columns(("rare", "two", "normal"), values, rng.integers(0, 3, rows), 3)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_columns_of_few_values_keep_to_the_budget(share: float) -> None:
    rng = np.random.default_rng(11)
    streams, by_rare = [], 0
    for _ in range(12):
        reference = rare(rng, 600, share)
        thresholds, ready = calibrate(reference, RULES), presort(reference)
        alarms = []
        for _ in range(100):
            found = statistics(ready, rare(rng, RULES.window_rows, share))
            verdict = judge(thresholds, found, np.zeros(4), RULES.window_rows)
            by_rare += any(c.column == "rare" for c in verdict.drifted)
            alarms.append(verdict.alarm)
        streams.append(alarms)
    opened = int(incidents(RULES.rule, np.array(streams)).sum())
    assert opened <= poisson.ppf(0.999, RULES.rate * 1200)
    assert by_rare <= 80  # of 1,200; by the trapezoid rule between its values 96 to 187


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_grid_is_exact_where_columns_have_few_values(share: float) -> None:
    rng = np.random.default_rng(12)
    world, window = rare(rng, 500, share), np.arange(120)
    grid = Grid(world, norms(world))
    drawn = grid.statistics(grid.counts(np.arange(500)[None]), grid.counts(window[None]))[0]
    exact = statistics(presort(world), world.take(window))
    assert drawn[:2] == pytest.approx(exact[:2], rel=1e-9, abs=1e-12)
    assert drawn[2] == pytest.approx(exact[2], rel=0.1)
