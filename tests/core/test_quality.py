from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.core.quality import Arrivals, breaks, sound
from mlops.core.schema import Column, ImageSchema, TableSchema, TextSchema
from mlops.core.usual import Usual, broken, contents, usual
from mlops.core.volume import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDS = [str(n) for n in range(100)]
GOOD = Arrivals(wrong_size=0, example_ids=IDS, span=Span(0.0, 60.0), earlier=[])


DAY_S = 86_400.0
LETTERS = TextSchema(("ham", "spam"), 4)
FULL = np.full((100, 4), 97, dtype=np.uint8)
FULL[:, 0] = np.arange(100)
BEFORE = Usual(blank=0.01, repeated=0.02)


def checked(
    features: NDArray[Any] = FULL, arrivals: Arrivals = GOOD, unsound: int = 0
) -> list[str]:
    held = contents(features, LETTERS, BEFORE)
    found = breaks(held, LETTERS, BEFORE, unsound=unsound, arrivals=arrivals)
    return [text.split(":")[0] for text in found]


@pytest.mark.parametrize(
    ("unsound", "empty", "arrivals", "name"),
    [
        (1, 0, GOOD, "probabilities"),
        (0, 50, GOOD, "blank"),
        (0, 0, replace(GOOD, wrong_size=3), "size"),
        (0, 0, replace(GOOD, example_ids=["same"] * 60 + IDS[:40]), "stuck"),
        (
            0,
            0,
            replace(
                GOOD,
                span=Span(1.2e6, 1.2e6 + DAY_S / 2),
                earlier=[Span(60.0 * n, 60.0 * n + 60.0) for n in range(20_000)],
            ),
            "volume",
        ),
    ],
)
def test_a_break_is_named(unsound: int, empty: int, arrivals: Arrivals, name: str) -> None:
    features = FULL.copy()
    features[:empty] = 0
    assert checked(features, arrivals, unsound) == [name]


@pytest.mark.parametrize("empty", [0, 5])
def test_sound_windows_pass(empty: int) -> None:
    features = FULL.copy()
    features[:empty] = 0
    assert checked(features) == []


def test_where_half_of_the_reference_is_one_example_a_window_may_be_so_too() -> None:
    copies = replace(GOOD, example_ids=["same"] * 60 + IDS[:40])
    often = replace(BEFORE, repeated=0.5)
    assert not breaks(contents(FULL, LETTERS, often), LETTERS, often, unsound=0, arrivals=copies)


TABLE = TableSchema(
    ("no", "yes"),
    (
        Column("price", "number"), Column("colour", "category", ("red", "blue")),
        Column("rate", "number"), Column("when", "number", time=True),
    ),
)  # fmt: skip


def table(rows: int = 100) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    found = np.column_stack([
        rng.uniform(5.0, 9.0, rows), rng.integers(0, 2, rows), np.full(rows, 2.0),
        np.linspace(0.0, DAY_S, rows),
    ])  # fmt: skip
    found[: rows // 10, 0] = np.nan
    return found


@pytest.mark.parametrize(
    ("column", "value", "share", "said"),
    [
        (0, np.nan, 0.8, "missing price: no value in 8"),
        (
            1,
            -1.0,
            0.6,
            "unknown colour: names in 60% of its values that the model",
        ),
        (1, np.nan, 0.6, "missing colour: no value in 60%"),
        (0, 1e6, 0.6, "range price: far outside 5"),
        (2, 200.0, 0.6, "range rate: far outside 2 to 2"),
        (0, np.nan, 0.4, ""),
        (1, -1.0, 0.4, ""),
        (0, 1e6, 0.4, ""),
        (0, 30.0, 1.0, ""),  # drift, however much
        (2, 5.0, 1.0, ""),
        (3, 1e10, 1.0, ""),  # time goes on
    ],
)
def test_a_column_that_breaks_is_named_and_one_that_drifts_is_not(
    column: int, value: float, share: float, said: str
) -> None:
    window = table()
    window[: int(share * len(window)), column] = value
    before = usual(table(), TABLE)
    held = contents(window, TABLE, before)
    found = breaks(held, TABLE, before, unsound=0, arrivals=GOOD)
    assert [text[: len(said)] for text in found] == ([said] if said else [])


def test_contents_are_counted() -> None:
    window = table()
    window[:3, 0], window[3:5, 0], window[50:52, 2] = 1e6, -np.inf, -300.0
    window[95:, 1], window[98:] = -1.0, np.nan
    held = contents(window, TABLE, usual(table(), TABLE))
    assert (held.rows, held.blank) == (100, 2)
    assert held.missing == (7, 2, 2, 2)
    assert held.unknown == (0, 3, 0, 0)
    assert held.beyond == (5, 0, 2, 0)


def test_a_sparse_column_has_windows_without_a_value_and_breaks_among_its_values() -> None:
    rng, false = np.random.default_rng(1), 0
    whole = table(2000)
    whole[rng.random(2000) < 0.95, 0] = np.nan
    before = usual(whole, TABLE)
    for _ in range(200):
        window = whole[rng.integers(0, 2000, 100)]
        false += bool(broken(contents(window, TABLE, before), TABLE, before))
    assert false == 0
    window = table(400)
    window[:, 0] = np.where(rng.random(400) < 0.6, np.nan, 1e6)
    window[:, 1] = np.where(rng.random(400) < 0.6, np.nan, -1.0)
    full = usual(table(), TABLE)
    found = broken(contents(window, TABLE, full), TABLE, full)
    assert [text.split()[0] for text in found] == ["missing", "range", "missing", "unknown"]
    few = table()
    few[3:, 0] = np.nan
    few[:3, 0] = 1e6
    assert not broken(contents(few, TABLE, before), TABLE, before)  # three values show nothing


def test_what_the_reference_holds_is_described() -> None:
    found = usual(table(), TABLE)
    assert found.missing == (0.1, 0.0, 0.0, 0.0)
    assert found.ranges[1] is None
    assert found.ranges[2:] == ((2.0, 2.0), None)
    assert found.repeated == 0.01
    pixels = np.zeros((4, 2, 2, 1), dtype=np.uint8)
    pixels[3] = 1
    assert usual(pixels, ImageSchema(("a", "b"), 2, 2, 1)) == Usual(blank=1.0, repeated=0.75)
    nothing = np.full((3, 4), np.nan)
    assert usual(nothing, TABLE).ranges == (None,) * 4
    assert not broken(contents(table()[:0], TABLE, found), TABLE, found)


def test_rows_that_are_no_distribution_are_found() -> None:
    rows = [[0.5, 0.5], [np.nan, 1], [np.inf, 0], [0.5, 0.2], [1.5, -0.5], [1, 0]]
    assert sound(np.array(rows, dtype=np.float32)).tolist() == [True, *[False] * 4, True]
