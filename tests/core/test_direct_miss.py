"""What is estimated of a regression's coverage without labels, in worlds whose truth is known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core import direct_miss
from mlops.core.columns import Columns
from mlops.core.direct_loss import LEAST, Losses
from mlops.core.ground import Ground, lay, look
from mlops.core.relations import GIVEN

if TYPE_CHECKING:
    from mlops.core.estimate import Estimate

COLUMNS = ("a", "b", "kind", "prediction", "spread", f"a{GIVEN}")
COVERAGE = 0.89
World = tuple[Columns, np.ndarray, np.ndarray]


def world(rows: int, seed: int, *, at: float = 0.0, noise: float = 1.0) -> World:
    """Return rows with which are right, and their keys: a target is noisier the larger `a` is.

    Args:
        rows: how many.
        seed: of all chance.
        at: mean of `a`, 0 in the reference.
        noise: that no column shows, times the reference's.
    """
    rng = np.random.default_rng(seed)
    a, b, kind = rng.normal(at, 1.0, rows), rng.normal(size=rows), rng.integers(0, 4, rows)
    inside = np.abs(rng.normal(size=rows)) * np.exp(0.5 * a) * noise < 1.9
    table = np.column_stack([a, b, kind, a + b, np.full(rows, 3.8), a])
    seen = Columns(COLUMNS, table, np.zeros(rows, dtype=np.int64), 1, ("kind",))
    return seen, inside.astype(np.float64), rng.integers(0, 2**60, rows).astype(np.uint64)


Known = tuple[Ground, Losses]


def learn(rows: Columns, right: np.ndarray, key: np.ndarray) -> Known | None:
    """Learn from labelled rows; None where they are too few."""
    ground = lay(rows, key)
    found = ground and direct_miss.learn(ground, right)
    return (ground, found) if ground and found else None


def estimate(known: Known, rows: Columns) -> Estimate | None:
    """Estimate the coverage of unlabelled rows; None without rows."""
    seen = look(known[0], rows)
    return direct_miss.estimate(known[1], seen) if seen else None


@pytest.fixture(scope="module")
def known() -> Known:
    found = learn(*world(2000, 0))
    assert found is not None
    return found


def test_clean_windows_have_the_references_coverage(known: Known) -> None:
    inside = 0
    for seed in range(1, 41):
        rows, right, _ = world(300, seed)
        told = estimate(known, rows)
        assert told is not None
        assert told.value == pytest.approx(COVERAGE, abs=0.03)
        inside += told.low <= right.mean() <= told.high
    assert 36 <= inside <= 40


@pytest.mark.parametrize(("at", "moved"), [(1.0, -0.12), (-1.0, 0.05)])
def test_rows_where_it_misses_more_or_less_are_seen(known: Known, at: float, moved: float) -> None:
    inside = 0
    for seed in range(1, 21):
        rows, right, _ = world(300, seed, at=at)
        told = estimate(known, rows)
        assert told is not None
        assert abs(told.value - COVERAGE) > abs(moved) / 2
        assert abs(told.value - right.mean()) < abs(COVERAGE - right.mean())
        inside += told.low <= right.mean() <= told.high
    assert inside >= 18


def test_noise_that_no_column_shows_is_not_seen(known: Known) -> None:
    rows, right, _ = world(1000, 1, noise=2.0)
    told = estimate(known, rows)
    assert told is not None
    assert right.mean() < COVERAGE - 0.15
    assert told.value == pytest.approx(COVERAGE, abs=0.03)


def test_the_same_reference_teaches_the_same(known: Known) -> None:
    again = learn(*world(2000, 0))
    assert again is not None
    rows = world(300, 1)[0]
    assert estimate(again, rows) == estimate(known, rows)


def test_residuals_teach_nothing_and_codes_no_line(known: Known) -> None:
    assert known[0].names == COLUMNS[:-1]
    assert known[0].numbers == (0, 1, 3, 4)


def test_rows_of_one_key_never_judge_what_they_taught() -> None:
    """Every row stands there ten times: judged on its copies, a chance looks like knowledge."""
    rng = np.random.default_rng(4)
    rows, _, _ = world(200, 4)
    right = (rng.random(200) < 0.8).astype(np.float64)  # nothing tells which
    ten, told = rows.take(np.tile(np.arange(200), 10)), np.tile(right, 10)
    apart = learn(ten, told, np.tile(np.arange(200), 10).astype(np.uint64))
    leaked = learn(ten, told, rng.permutation(2000).astype(np.uint64))
    assert apart is not None
    assert leaked is not None
    assert apart[1].slope < 0.2
    assert leaked[1].slope > 1.0


@pytest.mark.parametrize(
    ("right", "keys", "learns"),
    [
        (np.ones(400), 400, False),
        (np.zeros(400), 400, False),
        (np.zeros(0), 400, False),
        (np.repeat([0.0, 1.0], [LEAST - 1, 400 - LEAST + 1]), 400, False),
        (np.repeat([0.0, 1.0], [LEAST, 400 - LEAST]), 400, True),
        (np.repeat([0.0, 1.0], LEAST), 400, True),
        (np.repeat([0.0, 1.0], 200), 4, False),
        (np.repeat([0.0, 1.0], 200), 1, False),
        # The wrong rows are all one key's: without its group there is nothing to learn.
        (np.repeat([0.0, 1.0], [50, 350]), 8, False),
    ],
)
def test_too_little_teaches_nothing(right: np.ndarray, keys: int, learns: bool) -> None:
    key = (np.arange(len(right)) * keys // 400).astype(np.uint64)
    found = learn(world(len(right), 0)[0], right, key)
    assert (found is not None) == learns


def test_one_row_and_a_column_of_one_value_are_estimated_and_no_rows_are_not() -> None:
    rows, right, key = world(400, 0)
    rows.values[:, 1] = 7.0
    found = learn(rows, right, key)
    assert found is not None
    told = estimate(found, rows.take(slice(0, 1)))
    assert told is not None
    assert 0.0 <= told.low <= told.value <= told.high <= 1.0
    assert told.high - told.low > 0.5
    assert estimate(found, rows.take(slice(0, 0))) is None


def test_where_nothing_tells_a_miss_it_is_the_references_coverage_with_its_noise() -> None:
    slopes = []
    for seed in range(6):
        rows, _, key = world(400, seed)
        right = (np.random.default_rng(seed).random(400) < 0.8).astype(np.float64)
        found = learn(rows, right, key)
        assert found is not None
        slopes.append(found[1].slope)
        told = estimate(found, world(20_000, 9)[0])
        assert told is not None
        assert told.value == pytest.approx(right.mean(), abs=0.03)
        assert told.high - told.low > 1.5 * 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert min(slopes) == 0.0


@pytest.mark.parametrize("columns", [["a"], ["a", "b", "prediction", "spread"]])
def test_the_farther_rows_lie_from_the_reference_the_less_is_known(columns: list[str]) -> None:
    """They are missed ever more often, and no reference row says how often."""
    rng, names = np.random.default_rng(1), ("a", "b", "prediction", "spread")

    def drawn(rows: int, far: float) -> World:
        table = rng.normal(size=(rows, len(names)))
        table[:, [names.index(name) for name in columns]] += far
        right = rng.random(rows) < 1 / (1 + np.exp(1.2 * table[:, 0] - 2.2))
        seen = Columns(names, table, np.zeros(rows, dtype=np.int64), 1)
        return seen, right.astype(np.float64), np.arange(rows, dtype=np.uint64)

    known, wide = learn(*drawn(2000, 0.0)), []
    assert known is not None
    for far in (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0, 50.0):
        rows, right, _ = drawn(1000, far)
        told = estimate(known, rows)
        assert told is not None
        assert told.low <= right.mean() <= told.high
        wide.append(told.high - told.low)
    assert all(b > a - 0.01 for a, b in itertools.pairwise(wide))
    assert wide[0] < 0.06
    assert min(wide[-3:]) > 0.95


def test_entities_of_many_rows_count_as_what_they_are() -> None:
    """Fifty rows an entity, right or wrong together: 40 entities know less than 2000 rows."""
    rows, _, _ = world(2000, 0)
    entity = np.repeat(np.arange(40), 50)
    right = (np.random.default_rng(0).random(40) < 0.7).astype(np.float64)[entity]
    key = np.arange(1000, 1040, dtype=np.uint64)[entity]
    together = learn(rows, right, key)
    apart = learn(rows, right, np.random.default_rng(1).permutation(2000).astype(np.uint64))
    assert together is not None
    assert apart is not None
    wide, narrow = (estimate(k, world(5000, 3)[0]) for k in (together, apart))
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_corner_too_rare_for_the_model_to_learn_corrects_it() -> None:
    """Thirty rows of a thousand are missed half of the time; then most rows are such."""

    def corner(rows: int, share: float, seed: int) -> World:
        seen, right, key = world(rows, seed)
        many = round(share * rows)
        seen.values[:many, 1] += 6.0
        right[:many] = np.random.default_rng(seed).random(many) < 0.4
        return seen, right, key

    found = learn(*corner(1000, 0.03, 0))
    assert found is not None
    told = estimate(found, corner(500, 0.9, 1)[0])
    assert told is not None
    assert told.value < 0.65
    assert told.low < 0.44 < told.high
