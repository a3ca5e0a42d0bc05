"""Which rows lie beyond a reference, in worlds where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.core.support import Support, survey, unsupported

ROWS, WIDE = 2000, 12


def normal(rows: int, seed: int, columns: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def surveyed(row_ND: np.ndarray) -> Support:
    return survey(row_ND, np.arange(len(row_ND)) % 8)


@pytest.fixture(scope="module")
def known() -> Support:
    return surveyed(normal(ROWS, 0))


@pytest.mark.parametrize("rows", [400, ROWS])
@pytest.mark.parametrize("columns", [1, 4, 40])
def test_clean_rows_lie_within(rows: int, columns: int) -> None:
    told = []
    for seed in range(5):
        known = surveyed(normal(rows, seed, columns))
        told += [unsupported(known, normal(500, 100 * seed + n, columns)) for n in range(5, 15)]
    assert np.mean(told) < 0.003
    assert max(told) < 0.025


@pytest.mark.parametrize("moved", [[0], [0, 1, 2, 3]])
def test_the_farther_the_more_lies_beyond(known: Support, moved: list[int]) -> None:
    told = []
    for by in (0.0, 2.0, 3.0, 4.0, 6.0, 10.0, 1e9):
        rows = normal(500, 1)
        rows[:, moved] += by
        told.append(unsupported(known, rows))
    assert told == sorted(told)
    assert told[0] < 0.02
    assert min(told[4:]) > 0.9
    assert told[-1] == 1.0


def test_a_part_of_the_rows_counts_as_that_part(known: Support) -> None:
    rows = normal(1000, 1)
    rows[:300] += 20.0
    assert unsupported(known, rows) == pytest.approx(0.3, abs=0.02)


def test_one_column_of_many_that_moves_is_seen() -> None:
    rows = normal(500, 1, WIDE)
    rows[:, 5] -= 8.0
    assert unsupported(surveyed(normal(ROWS, 0, WIDE)), rows) > 0.9


def test_a_gap_between_rows_is_beyond_though_each_column_is_in_its_range() -> None:
    line = normal(ROWS, 0, 1)
    across = np.hstack([normal(500, 1, 1) + 2.0, normal(500, 2, 1) - 2.0])
    assert unsupported(surveyed(np.hstack([line, line])), across) > 0.9


@pytest.mark.parametrize("wild", [1e3, 1e9])
def test_one_wild_row_does_not_stretch_the_limit_of_the_others(wild: float) -> None:
    rows = normal(ROWS, 0)
    rows[0, 0] = wild
    moved = normal(500, 1)
    moved[:, 1] += 8.0
    assert unsupported(surveyed(rows), moved) > 0.9


def test_copies_in_a_group_are_no_neighbours() -> None:
    """Two hundred entities of ten rows: other entities' clean rows lie within."""
    rows, entity = np.repeat(normal(200, 0), 10, axis=0), np.repeat(np.arange(200), 10)
    apart, leaked = survey(rows, entity % 8), survey(rows, np.arange(ROWS) % 8)
    assert unsupported(apart, normal(500, 1)) < 0.03
    assert unsupported(leaked, normal(500, 1)) > 0.9


def test_a_column_of_one_value_and_more_rows_than_are_looked_at() -> None:
    rows = normal(3000, 0)
    rows[:, 2] = 7.0
    known, clean, moved = surveyed(rows), normal(5000, 1), normal(5000, 1)
    clean[:, 2] = moved[:, 2] = 7.0
    moved[:, 2] += 9.0
    assert unsupported(known, clean) < 0.02
    assert unsupported(known, moved) == 1.0
    assert unsupported(known, moved[:1]) == 1.0
