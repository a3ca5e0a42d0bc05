from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from scipy.stats import wasserstein_distance

from mlops.core.columns import Columns
from mlops.core.drift import jensenshannon, methods, presort, shares, statistics, wasserstein

_VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@settings(deadline=None, max_examples=60)
@given(_VALUES, _VALUES)
def test_wasserstein_is_scipys(old: list[float], new: list[float]) -> None:
    ours = wasserstein(np.sort(old), np.sort(new))
    assert ours == pytest.approx(wasserstein_distance(old, new), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=8))
def test_jensenshannon_is_scipys(counts: list[tuple[int, int]]) -> None:
    p, q = (np.array(column, dtype=float) + np.eye(len(counts))[0] for column in zip(*counts))  # noqa: B905 - pairs
    p, q = p / p.sum(), q / q.sum()
    assert jensenshannon(p, q) == pytest.approx(float(distance.jensenshannon(p, q)), abs=1e-7)


def test_statistics_are_ordered_numeric_then_predicted() -> None:
    rng = np.random.default_rng(0)
    old = Columns(("a", "b"), rng.normal(size=(300, 2)), rng.integers(0, 3, 300), 3)
    new = Columns(("a", "b"), rng.normal([2.0, 0.0], 1, (100, 2)), np.zeros(100, dtype=int), 3)
    found = statistics(presort(old), new)
    assert found[0] == pytest.approx(2.0, abs=0.3)
    assert found[1] < 0.5
    assert found[2] == pytest.approx(jensenshannon(shares(old), shares(new)))
    assert methods(("a", "b")) == ("wasserstein", "wasserstein", "jensenshannon")


@pytest.mark.parametrize("rows", [300, 701])
def test_many_columns_are_compared_as_each_by_itself(rows: int) -> None:
    rng, names = np.random.default_rng(0), tuple(f"c{d}" for d in range(19))
    drawn = [rng.gamma(2.0, size=(n, 19)) for n in (300, rows)]
    old, new = (Columns(names, x, np.zeros(len(x), dtype=int), 1) for x in drawn)
    before = new.values.copy()
    alone = [wasserstein_distance(a, b) / a.std() for a, b in zip(*(x.T for x in drawn))]  # noqa: B905 - pairs
    assert statistics(presort(old), new)[:-1] == pytest.approx(alone, abs=1e-12)
    assert (new.values == before).all()  # they are not sorted where they stand


def test_a_constant_reference_is_normed_as_evidently_does() -> None:
    old = Columns(("a",), np.ones((10, 1)), np.zeros(10, dtype=int), 2)
    new = Columns(("a",), np.full((10, 1), 1.002), np.zeros(10, dtype=int), 2)
    assert statistics(presort(old), new)[0] == pytest.approx(2.0)


@pytest.mark.parametrize("rows", [0, 5])
def test_what_cannot_be_compared_is_refused(rows: int) -> None:
    old = Columns(("a",), np.ones((10, 1)), np.zeros(10, dtype=int), 2)
    new = Columns(("b",), np.ones((rows, 1)), np.zeros(rows, dtype=int), 2)
    with pytest.raises(ValueError, match="cannot be compared"):
        statistics(presort(old), new)
    with pytest.raises(ValueError, match="no rows"):
        presort(old.take(slice(0)))


def _coded(code: np.ndarray, names: tuple[str, ...] = ("c",)) -> Columns:
    return Columns(("c",), code[:, np.newaxis].astype(float), np.zeros(len(code), int), 1, names)


def test_drift_of_names_does_not_depend_on_the_order_of_their_codes() -> None:
    rng = np.random.default_rng(0)
    old, new = (
        rng.choice(4, 2000, p=[0.4, 0.3, 0.2, 0.1]),
        rng.choice(4, 300, p=[0.1, 0.3, 0.2, 0.4]),
    )
    found = statistics(presort(_coded(old)), _coded(new))[0]
    assert found == pytest.approx(
        float(distance.jensenshannon(np.bincount(old) / 2000, np.bincount(new) / 300)), abs=1e-9
    )
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        turned = np.array(order)
        again = statistics(presort(_coded(turned[old])), _coded(turned[new]))[0]
        assert again == pytest.approx(found, abs=1e-12)
    # As numbers the same change would be another one by the order of the codes.
    numbers = [
        statistics(presort(_coded(t[old], ())), _coded(t[new], ()))[0]
        for t in (np.arange(4), np.array([0, 2, 3, 1]))
    ]
    assert abs(numbers[0] - numbers[1]) > 0.1
    assert methods(("c", "d"), ("c",)) == ("jensenshannon", "wasserstein", "jensenshannon")


def test_names_that_the_reference_lacks_count_in_full() -> None:
    old = _coded(np.array([0, 0, 1, 1]))
    assert statistics(presort(old), _coded(np.array([-2, -1, 7, 7])))[0] == pytest.approx(
        np.sqrt(np.log(2))
    )
    assert statistics(presort(old), old)[0] == 0.0
    assert old.take(slice(0, 2)).named == ("c",)
