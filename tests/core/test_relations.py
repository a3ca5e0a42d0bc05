from __future__ import annotations

import numpy as np
import pytest

from mlops.core.columns import Columns
from mlops.core.drift import presort, statistics
from mlops.core.relations import GIVEN, relate


def draw(rng: np.random.Generator, rows: int, broken: float = 0.0) -> Columns:
    """Draw a column that follows another, an independent one and a constant."""
    a, b = rng.normal(size=(2, rows))
    noise = rng.normal(size=rows)
    values = np.column_stack([a, 2 * a + 0.3 * noise + broken, b, np.ones(rows)])
    return Columns(("a", "follows", "alone", "constant"), values, np.zeros(rows, dtype=int), 2)


def test_only_columns_that_others_explain_get_a_residual() -> None:
    relations, reference = relate(draw(np.random.default_rng(0), 500))
    assert relations.kept == ("a", "follows")
    assert reference.names[4:] == ("a" + GIVEN, "follows" + GIVEN)
    assert reference.values[:, 4:].std(axis=0) == pytest.approx(1.0)


def test_residuals_are_those_of_leaving_each_row_out() -> None:
    rows = draw(np.random.default_rng(1), 60)
    _, reference = relate(rows)
    x = rows.values
    left_out = []
    for i in range(60):
        rest = np.delete(np.arange(60), i)
        design = np.column_stack([np.ones(59), x[rest][:, [0, 2]]])
        fit, *_ = np.linalg.lstsq(design, x[rest, 1], rcond=None)
        left_out.append(x[i, 1] - np.array([1.0, x[i, 0], x[i, 2]]) @ fit)
    expected = np.array(left_out) / np.std(left_out)
    assert reference.values[:, 5] == pytest.approx(expected, abs=1e-6)


def test_where_entities_have_several_rows_whole_entities_are_left_out() -> None:
    rng = np.random.default_rng(1)
    key = rng.permutation(np.arange(90) // 2).astype(np.uint64)
    key[key > 38] = 38  # one with more rows than there are columns
    rows = draw(rng, 90)
    _, reference = relate(rows, key)
    x, left_out = rows.values, np.empty(90)
    for one in set(key.tolist()):
        rest = key != one
        design = np.column_stack([np.ones(rest.sum()), x[rest][:, [0, 2]]])
        fit, *_ = np.linalg.lstsq(design, x[rest, 1], rcond=None)
        left_out[~rest] = x[~rest, 1] - fit[0] - x[~rest][:, [0, 2]] @ fit[1:]
    assert reference.values[:, 5] == pytest.approx(left_out / left_out.std(), abs=1e-6)
    alone, _ = relate(rows, np.arange(90, dtype=np.uint64))
    assert np.array_equal(alone.weights, relate(rows)[0].weights)


def test_copies_of_an_entity_explain_nothing() -> None:
    rng = np.random.default_rng(4)
    whose = np.repeat(np.arange(40), 10)
    values = rng.normal(size=(40, 4))[whose] + 0.01 * rng.normal(size=(400, 4))
    rows = Columns(tuple("abcd"), values, np.zeros(400, dtype=int), 2)
    assert relate(rows, whose.astype(np.uint64))[0].kept == ()


def test_windows_of_the_same_world_have_residuals_of_the_same_size() -> None:
    rng = np.random.default_rng(2)
    relations, _ = relate(draw(rng, 50))  # few rows: a fit would flatter its own residuals
    window = relations.extend(draw(rng, 5000))
    assert window.values[:, 4:].std(axis=0) == pytest.approx(1.0, abs=0.25)


def test_a_long_window_is_extended_row_by_row() -> None:
    rng = np.random.default_rng(4)
    relations, _ = relate(draw(rng, 500))
    rows = draw(rng, 40_001)
    window = relations.extend(rows)
    assert window.names == (*rows.names, "a" + GIVEN, "follows" + GIVEN)
    assert (window.values[:, :4] == rows.values).all()
    given = (rows.values - relations.centre) @ relations.weights
    assert window.values[:, 4:] == pytest.approx(given, abs=1e-12)


def test_a_broken_relation_shows_in_the_residual_first() -> None:
    rng = np.random.default_rng(3)
    relations, reference = relate(draw(rng, 1000))
    window = relations.extend(draw(rng, 200, broken=0.3))
    found = dict(zip(reference.names, statistics(presort(reference), window)[:-1], strict=True))
    assert found["follows"] < 0.3
    assert found["follows" + GIVEN] > 0.7


@pytest.mark.parametrize("rows", [0, 3, 20])
def test_too_few_rows_give_no_relations(rows: int) -> None:
    few = draw(np.random.default_rng(0), rows)
    relations, same = relate(few)
    assert same is few
    assert relations.extend(few) is few


def test_other_columns_are_refused() -> None:
    relations, _ = relate(draw(np.random.default_rng(0), 100))
    with pytest.raises(ValueError, match="do not fit"):
        relations.extend(Columns(("x",), np.ones((3, 1)), np.zeros(3, dtype=int), 2))
