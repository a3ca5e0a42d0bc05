"""What each row moves: held against leaving it out."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.core import influence, metrics

NAMES = ("balanced_accuracy", "f1_macro", "roc_auc")


def answers(rng: np.random.Generator, label_N: np.ndarray, classes: int) -> np.ndarray:
    logit_NK = rng.normal(size=(len(label_N), classes)).round(1)  # some are tied
    logit_NK[np.arange(len(label_N)), label_N] += 1.5
    odds_NK = np.exp(logit_NK)
    return np.asarray(odds_NK / odds_NK.sum(axis=1, keepdims=True), dtype=np.float32)


def drawn(seed: int, rows: int, shares: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label_N = rng.choice(len(shares), rows, p=shares)
    return label_N, answers(rng, label_N, len(shares)), answers(rng, label_N, len(shares))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shares", [[0.8, 0.2], [0.5, 0.3, 0.15, 0.05]])
def test_it_is_what_leaving_a_row_out_changes(name: str, shares: list[float]) -> None:
    label_N, ours, theirs = drawn(4, 200, shares)
    whole = getattr(metrics, name)
    found = getattr(influence, name)(label_N, ours, theirs)

    def difference(rows: np.ndarray) -> float:
        return float(whole(label_N[rows], ours[rows]) - whole(label_N[rows], theirs[rows]))

    every = np.arange(200)
    seen = difference(every)
    assert found.value.mean() == pytest.approx(seen, abs=1e-9)
    left_N = np.array([200 * seen - 199 * difference(np.delete(every, i)) for i in every])
    assert np.corrcoef(left_N, found.value)[0, 1] > 0.998
    assert found.value.std() == pytest.approx(left_N.std(), rel=0.1)
    assert found.span[0] <= found.value.min() + 1e-9
    assert found.value.max() <= found.span[1] + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_the_worst_row_of_models_that_agree_is_one_of_the_rarest_class(name: str) -> None:
    label_N = np.repeat([0, 1], [90, 10])
    right = np.eye(2, dtype=np.float32)[label_N]
    found = getattr(influence, name)(label_N, right, right)
    assert np.allclose(found.value, 0.0)
    # A tenth of the rows, one of two classes: half of ten; F1 counts a row twice, labelled and
    # answered; each area of two classes has a row of one and of the other.
    expected = {"balanced_accuracy": 5.0, "f1_macro": 2.5 + 1.0 / 3.6, "roc_auc": 10.0}[name]
    assert found.span == pytest.approx((-expected, expected))


@pytest.mark.parametrize("name", NAMES)
def test_a_class_without_a_row_can_bring_anything(name: str) -> None:
    label_N, ours, theirs = drawn(5, 50, [0.5, 0.5, 0.0])
    assert getattr(influence, name)(label_N, ours, theirs).span == (-np.inf, np.inf)


def test_one_class_alone_has_no_area() -> None:
    label_N = np.zeros(5, dtype=np.int64)
    said = np.full((5, 2), 0.5, dtype=np.float32)
    assert np.isnan(influence.roc_auc(label_N, said, said).value).all()
