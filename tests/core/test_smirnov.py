from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.core.smirnov import distance, p_value


@pytest.mark.parametrize(
    ("n", "m"),
    [(5, 5), (10, 7), (50, 50), (100, 60), (1000, 333), (10_000, 10_000), (12_000, 500)],
)
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("digits", [1, 9])
def test_distances_and_p_values_are_scipys(n: int, m: int, shift: float, digits: int) -> None:
    rng = np.random.default_rng([n, m, digits])
    old, new = np.round(rng.normal(size=n), digits), np.round(rng.normal(shift, 1, m), digits)
    expected = stats.ks_2samp(old, new)
    [d] = distance(np.sort(old)[np.newaxis], np.sort(new)[np.newaxis])
    assert d == pytest.approx(expected.statistic, abs=1e-12)
    assert p_value(float(d), n, m) == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-10)
