from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.core.lost_slices import LostSlice, Side, find_lost, level
from mlops.core.slices import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Share = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]

CUTS = (("low", -1.0, 1 / 3), ("middle", 1 / 3, 2 / 3), ("high", 2 / 3, 2.0))


def usual(x: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Be weak on class 6 and on low values of the second column, always."""
    return np.asarray(0.95 - 0.25 * (y == 6) - 0.1 * (x[:, 1] < 1 / 3))


def side(rng: np.random.Generator, rows: int, share: Share) -> Side:
    """Draw rows of ten classes and three columns, right with a probability of their own."""
    x, y = rng.random((rows, 3)), rng.integers(0, 10, rows)
    parts = [Part("all", "all", "", np.ones(rows, dtype=bool))]
    parts += [Part("class", str(k), "", y == k) for k in range(10)]
    parts += [
        Part(f"column {c}", value, "", (x[:, c] > above) & (x[:, c] <= upto))
        for c in range(3) for value, above, upto in CUTS
    ]  # fmt: skip
    return Side(rng.random(rows) < share(x, y), tuple(parts))


def names(found: tuple[LostSlice, ...]) -> list[tuple[str, str]]:
    return [(one.name, one.value) for one in found]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (lambda x, y: usual(x, y) - 0.5 * (y == 3), [("class", "3")]),
        (lambda x, y: usual(x, y) - 0.4 * (x[:, 2] > 2 / 3), [("column 2", "high")]),
        (
            lambda x, y: usual(x, y) - 0.6 * (y == 3) - 0.35 * (x[:, 2] > 2 / 3) * (y != 3),
            [("column 2", "high"), ("class", "3")],
        ),
        (lambda x, y: usual(x, y) + 0.05 * (y != 3) - 0.02 * (y == 3), []),
    ],
    ids=["a class", "a third of a column", "both, each once", "the others gained"],
)
def test_what_lost_more_than_the_others_is_named(
    share: Share, expected: list[tuple[str, str]]
) -> None:
    rng = np.random.default_rng(3)
    found = find_lost(side(rng, 3000, usual), side(rng, 1500, share))
    assert sorted(names(found)) == sorted(expected)


def test_a_part_that_was_always_weak_and_a_loss_of_all_alike_blame_none() -> None:
    rng = np.random.default_rng(4)
    counts = {"nothing lost": 0, "all alike": 0}
    for _ in range(100):
        before = side(rng, 1500, usual)
        counts["nothing lost"] += bool(find_lost(before, side(rng, 600, usual)))
        alike = side(rng, 600, lambda x, y: usual(x, y) - 0.15)
        counts["all alike"] += bool(find_lost(before, alike))
    assert max(counts.values()) <= 10  # of 100 at 5 %: more by chance once in a hundred


def test_all_looks_together_have_one_level() -> None:
    assert 0.045 < sum(level(look) for look in range(1, 200)) < 0.05
    assert [round(level(look), 4) for look in (1, 2, 3)] == [0.0304, 0.0076, 0.0034]
    rng, wrong = np.random.default_rng(8), 0
    for _ in range(60):
        before = side(rng, 1500, usual)
        alike = side(rng, 1920, lambda x, y: usual(x, y) - 0.15)
        for look, rows in enumerate((60, 120, 240, 480, 960, 1920), 1):
            seen = Side(alike.right[:rows], tuple(
                Part(p.name, p.value, p.limits, p.mask[:rows]) for p in alike.parts
            ))  # fmt: skip
            if find_lost(before, seen, level(look)):
                wrong += 1
                break
    assert wrong <= 8  # of 60 at 5 %: more by chance once in a hundred


def test_what_the_reference_hardly_has_is_held_against_the_rest_of_it() -> None:
    rng = np.random.default_rng(5)

    def rows(count: int, new: int, accuracy: float) -> Side:
        strange = np.arange(count) < new
        right = rng.random(count) < np.where(strange, accuracy, 0.95)
        parts = (Part("colour", "red", "", ~strange), Part("colour", "unknown", "", strange))
        return Side(right, parts)

    found = find_lost(rows(500, 3, 0.9), rows(400, 120, 0.3))
    assert names(found) == [("colour", "unknown")]
    assert found[0].before is None
    assert "the reference has hardly such rows (120 labels); the others 9" in str(found[0])
    assert find_lost(rows(500, 3, 0.9), rows(400, 120, 0.97)) == ()


@pytest.mark.parametrize("few", [0, 15, 39])
def test_too_few_labels_name_nothing(few: int) -> None:
    rng = np.random.default_rng(6)
    some = side(rng, few, lambda x, y: 0.0 * usual(x, y))
    assert find_lost(side(rng, 1000, usual), some) == ()
    assert find_lost(some, side(rng, 1000, usual)) == ()


def test_it_is_said_in_shares_and_labels() -> None:
    one = LostSlice("contrast", "low", "≤ 0.2", 0.9, 0.5, 40, 0.95, 0.94, 0.001)
    assert str(one) == (
        "contrast low (≤ 0.2): 90.0% to 50.0% (40 labels); the others 95.0% to 94.0%"
    )
