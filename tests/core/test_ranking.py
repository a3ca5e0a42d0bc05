from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn import metrics as sk

from mlops.core.ranking import Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample(
    seed: int, n: int, classes: int, digits: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[labels]
    # One digit makes long runs of equal scores, fifteen make none.
    return labels, np.round(1.0 / (1.0 + np.exp(-scores)), digits)


@pytest.mark.parametrize("digits", [1, 2, 15])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("resampled", [False, True])
def test_areas_agree_with_scikit_learn(digits: int, classes: int, resampled: bool) -> None:
    labels, p = sample(4, 200, classes, digits)
    rows = np.arange(200)
    if resampled:
        rows = np.random.default_rng(0).integers(0, 200, 230)  # also of another length
    counts = np.bincount(rows, minlength=200)
    truth = [labels[rows] == k for k in range(classes)]
    roc = np.mean([sk.roc_auc_score(t, p[rows, k]) for k, t in enumerate(truth)])
    pr = np.mean([sk.average_precision_score(t, p[rows, k]) for k, t in enumerate(truth)])
    found = Ranking(labels, p).areas(counts)
    assert found == pytest.approx((roc, pr), abs=1e-12)


def test_classes_that_a_resample_lacks_are_left_out() -> None:
    labels, p = sample(1, 60, 3, 3)
    counts = np.where(labels == 2, 0, 1)
    rows = np.flatnonzero(counts)
    found = Ranking(labels, p)
    expected = np.mean([sk.roc_auc_score(labels[rows] == k, p[rows, k]) for k in (0, 1)])
    assert found.roc_auc(counts) == pytest.approx(expected)
    assert all(math.isnan(area) for area in found.areas(np.where(labels == 0, 1, 0)))
