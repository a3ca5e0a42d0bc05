from __future__ import annotations

import numpy as np
import pytest

from mlops.core.embedding import find_directions, is_beyond, is_embedding, names

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("width", [3, 8, 500])
def test_directions_are_the_principal_components(width: int) -> None:
    h = (RNG.normal(size=(60, width)) * np.geomspace(9, 0.1, width) + 5).astype(np.float32)
    found = find_directions(h, 3)
    assert found is not None
    assert np.allclose(found.axes.T @ found.axes, np.eye(3), atol=1e-4)
    z = (h - found.centre) @ found.axes / found.scale
    assert np.allclose(np.cov(z.T, bias=True), np.eye(3), atol=1e-3)
    largest = np.linalg.svd(h - h.mean(axis=0), compute_uv=False)[:3]
    assert np.allclose(found.scale, largest / np.sqrt(60), rtol=1e-3)
    again = find_directions(h[:, ::-1].copy(), 3)
    assert again is not None
    assert np.allclose(again.axes[::-1], found.axes, atol=1e-3)  # the sign is no accident


@pytest.mark.parametrize(
    ("h", "count"),
    [
        (np.ones((9, 4)), 0),
        (np.full((9, 4), np.nan), 0),
        (np.ones((1, 4)), 0),
        (np.outer(np.arange(9.0), np.ones(4)), 1),
    ],
)
def test_a_layer_that_hardly_varies_has_fewer(h: np.ndarray, count: int) -> None:
    found = find_directions(h.astype(np.float32))
    assert (0 if found is None else len(found.scale)) == count


def test_names_are_known_again() -> None:
    assert names(3) == ("embedding 1 of 2", "embedding 2 of 2", "embedding beyond the 2")
    assert all(is_embedding(name) for name in (*names(5), "embedding 1 of 4 given the rest"))
    assert [is_beyond(name) for name in names(2)] == [False, True]
    assert not is_embedding("embedding 1")
