"""What is estimated of a regression's mean absolute error, in worlds whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core import direct_error
from mlops.core.columns import Columns
from mlops.core.direct_error import LABELS, estimate
from mlops.core.direct_loss import LEAST, Losses
from mlops.core.ground import Ground, lay, look

if TYPE_CHECKING:
    from mlops.core.estimate import ErrorEstimate

Known = tuple[Ground, Losses]
World = tuple[Columns, np.ndarray]


def world(
    rows: int, seed: int, *, at: float = 0.0, noise: float = 1.0, tail: float = 30.0
) -> World:
    """Return rows, and how far off their answers are: farther the larger `a` is.

    Args:
        rows: how many.
        seed: of all chance.
        at: mean of `a`, 0 in the reference.
        noise: that no column shows, times the reference's.
        tail: degrees of freedom of Student's t, of which errors are drawn.
    """
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, 4))
    table[:, 0] += at
    error = np.abs(rng.standard_t(tail, rows)) * np.exp(0.5 * table[:, 0]) * noise
    return Columns(("a", "b", "c", "d"), table, np.zeros(rows, dtype=np.int64), 1), error


def learn(rows: Columns, error: np.ndarray, key: np.ndarray | None = None) -> Known | None:
    """Learn from labelled rows, each of its own key by default; None where they are too few."""
    ground = lay(rows, np.arange(len(rows), dtype=np.uint64) if key is None else key)
    found = ground and direct_error.learn(ground, error)
    return (ground, found) if ground and found else None


def told(known: Known | None, rows: Columns) -> ErrorEstimate:
    """Return what is estimated of rows; there must be an estimate."""
    assert known is not None
    seen = look(known[0], rows)
    assert seen is not None
    return estimate(known[1], seen)


@pytest.fixture(scope="module")
def known() -> Known:
    found = learn(*world(2000, 0))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("tail", "references", "least"),
    [(30.0, 2000, 57), (30.0, LABELS, 55), (3.0, 2000, 54), (3.0, LABELS, 50)],
)
def test_the_interval_holds_the_truth_of_clean_windows(
    tail: float, references: int, least: int
) -> None:
    """Of sixty; a little less often where single errors of a heavy tail decide the mean."""
    inside = 0
    for seed in range(6):
        known = learn(*world(references, seed, tail=tail))
        for window in range(10):
            rows, error = world(300, 100 + 10 * seed + window, tail=tail)
            found = told(known, rows)
            inside += found.holds(float(error.mean()))
            assert found.low > 0.0
    assert least <= inside <= 60


@pytest.mark.parametrize("tail", [30.0, 3.0])
@pytest.mark.parametrize("at", [-1.0, 1.0])
def test_rows_where_it_is_farther_off_or_nearer_are_seen(at: float, tail: float) -> None:
    reference, error = world(2000, 0, tail=tail)
    known, inside, off, naive = learn(reference, error), 0, 0.0, 0.0
    for seed in range(1, 11):
        rows, truth = world(300, seed, at=at, tail=tail)
        found = told(known, rows)
        inside += found.holds(float(truth.mean()))
        off += abs(found.value - truth.mean())
        naive += abs(error.mean() - truth.mean())
    assert inside >= 8
    assert off < 0.4 * naive


def test_noise_that_no_column_shows_is_not_seen(known: Known) -> None:
    rows, error = world(1000, 1, noise=2.0)
    found = told(known, rows)
    assert found.value == pytest.approx(known[1].unit, rel=0.1)
    assert error.mean() > 1.8 * found.value


def test_the_interval_narrows_with_rows_and_no_further_than_the_reference_knows() -> None:
    wide = {}
    for references in (LABELS, 2000):
        known = learn(*world(references, 0))
        for rows in (1, 100, 10_000):
            found = told(known, world(rows, 1)[0].take(slice(0, rows)))
            assert found.high is not None or rows == 1
            wide[references, rows] = np.log((found.high or np.inf) / found.low)
    assert wide[2000, 1] > 3 * wide[2000, 100] > 6 * wide[2000, 10_000]
    assert wide[LABELS, 10_000] > 2 * wide[2000, 10_000]


@pytest.mark.parametrize(("far", "share"), [(6.0, 1.0), (6.0, 0.3)])
def test_rows_beyond_the_reference_bound_the_error_from_below_only(
    known: Known, far: float, share: float
) -> None:
    rows, error = world(1000, 1)
    many = round(1000 * share)
    rows.values[:many, 1] += far
    error[:many] *= 100.0  # nobody can know
    found = told(known, rows)
    assert found.high is None
    assert found.holds(float(error.mean()))
    assert found.low < (1.0 - share + 0.05) * found.value
    assert str(found).startswith("at least ")
    rows, error = world(1000, 1)
    error[:many] = 0.0
    rows.values[:many, 1] += far
    assert told(known, rows).low <= error.mean() + 0.01  # clean rows look beyond it, too: 1 %


@pytest.mark.parametrize("unit", [1e-30, 1.0, 1e30, 1e150])
def test_it_is_told_in_the_targets_own_unit(known: Known, unit: float) -> None:
    reference, error = world(2000, 0)
    rows, _ = world(300, 1, at=1.0)
    one, other = told(known, rows), told(learn(reference, unit * error), rows)
    assert other.value == pytest.approx(unit * one.value)
    assert other.low == pytest.approx(unit * one.low)


@pytest.mark.parametrize("at", [-3.0, 0.0, 1.0])
def test_a_tail_without_a_mean_yields_numbers_all_the_same(at: float) -> None:
    """One error is larger than all others together: what is told of it is finite, and wide."""
    reference, error = world(2000, 0)
    wild = error.copy()
    wild[7] = 1e6
    calm, found = (told(learn(reference, one), world(300, 1, at=at)[0]) for one in (error, wild))
    high = found.high or np.inf
    assert 0.0 < found.low < found.value < high
    assert calm.low < high
    for seed in range(4):
        cauchy = learn(*world(400, seed, tail=1.0))
        found = told(cauchy, world(300, 99, at=at)[0])
        assert 0.0 < found.low < found.value < (found.high or np.inf)
        assert np.isfinite([found.low, found.value, found.high or 0.0]).all()


def test_a_correction_larger_than_what_it_corrects_leaves_no_error_below_nothing(
    known: Known,
) -> None:
    """As if the models had said ten times too much of the reference: the rest is below 0."""
    ground, found = known
    seen = look(ground, world(300, 1)[0])
    assert seen is not None
    for weight in (seen.weight, np.eye(2000)[0]):
        looked = replace(seen, weight=weight, blind=0.0)
        told = estimate(replace(found, said=found.said + 10.0), looked)
        assert told.value == pytest.approx(0.01 * found.unit)
        assert told.high is not None
        assert 0.0 < told.low < told.value < told.high < np.inf


def test_a_single_row_that_speaks_knows_little(known: Known) -> None:
    """Whatever it says: that it was told rightly may be chance."""
    ground, found = known
    seen = look(ground, world(10_000, 1)[0])
    assert seen is not None
    for one in np.abs(found.off).argsort()[:20]:
        told = estimate(found, replace(seen, weight=np.eye(2000)[one], blind=0.0))
        assert told.high is not None
        assert told.high > 4.0 * told.low


def test_where_nothing_tells_the_error_it_is_the_references() -> None:
    slopes = []
    for seed in range(6):
        rows, _ = world(400, seed)
        error = np.random.default_rng(seed).exponential(size=400)
        found = learn(rows, error)
        assert found is not None
        slopes.append(found[1].slope)
        assert told(found, world(5000, 9)[0]).value == pytest.approx(error.mean(), rel=0.1)
    assert min(slopes) == 0.0


def test_where_answers_are_exact_nothing_is_below_nothing() -> None:
    """Half of the rows, by `b`, are answered exactly; a window has those alone."""
    reference, error = world(2000, 0)
    error[reference.values[:, 1] < 0.0] = 0.0
    rows, _ = world(500, 1)
    found = told(learn(reference, error), rows.take(rows.values[:, 1] < -0.5))
    assert 0.0 < found.low < found.value < 0.1 * error.mean()


@pytest.mark.parametrize(
    ("error", "keys", "learns"),
    [
        (np.zeros(0), 400, False),
        (np.ones(LABELS - 1), LABELS - 1, False),
        (np.ones(LABELS), LABELS, True),
        (np.zeros(400), 400, False),
        (np.repeat([1.0, 0.0], [LEAST - 1, 400 - LEAST + 1]), 400, False),
        (np.repeat([1.0, 0.0], [LEAST, 400 - LEAST]), 400, True),
        (np.ones(400), 7, False),
        # What is off is all one key's: without its group every answer is exact.
        (np.repeat([1.0, 0.0], [50, 350]), 8, True),
    ],
)
def test_too_little_teaches_nothing(error: np.ndarray, keys: int, learns: bool) -> None:
    key = (np.arange(len(error)) * keys // max(len(error), 1)).astype(np.uint64)
    rows, _ = world(len(error), 0)
    found = learn(rows, error, key)
    assert (found is not None) == learns
    if learns:
        assert told(found, world(100, 1)[0]).value > 0.0


def test_entities_of_many_rows_count_as_what_they_are() -> None:
    """Fifty rows an entity, off by the same: 40 entities know less than 2000 rows."""
    rows, _ = world(2000, 0)
    entity = np.repeat(np.arange(40), 50)
    error = np.random.default_rng(0).exponential(size=40)[entity]
    together = learn(rows, error, entity.astype(np.uint64))
    apart = learn(rows, error)
    wide, narrow = (told(k, world(5000, 3)[0]) for k in (together, apart))
    assert wide.high is not None
    assert narrow.high is not None
    assert np.log(wide.high / wide.low) > 2 * np.log(narrow.high / narrow.low)


def test_the_same_reference_teaches_the_same(known: Known) -> None:
    rows, _ = world(300, 1)
    assert told(learn(*world(2000, 0)), rows) == told(known, rows)
