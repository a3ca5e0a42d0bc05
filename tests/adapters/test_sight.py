from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.embedding import write_embedding
from mlops.adapters.sight import learn
from mlops.core.features import arrays
from mlops.core.schema import ImageSchema, TextSchema
from tests.entrants import write_onnx

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(0)


def answers(rows: int) -> np.ndarray:
    return RNG.dirichlet(np.ones(3), rows).astype(np.float32)


def test_a_window_has_the_columns_of_its_reference(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (300, 4, 4, 1), dtype=np.uint8)
    schema, p = ImageSchema(("a", "b", "c"), 4, 4, 1), answers(300)
    bare, without = learn(images, p, np.arange(300, dtype=np.uint64), schema, tmp_path)
    assert bare.embedding is None  # as in versions that were registered without one
    write_onnx(tmp_path / "model.onnx", RNG.normal(0, 0.3, (16, 3)).astype(np.float32))
    write_embedding(tmp_path, images)
    sight, reference = learn(images, p, np.arange(300, dtype=np.uint64), schema, tmp_path)
    more = set(reference.names) - set(without.names)
    assert {"embedding 1 of 4", "embedding beyond the 4"} <= more
    seen = sight.see(images[:50], p[:50])
    assert seen.all_names == reference.all_names
    own = [n for n, name in enumerate(seen.names) if not name.endswith("given the rest")]
    assert np.allclose(seen.values[:, own], reference.values[:50, own], atol=1e-5)


def test_words_that_the_reference_lacks_are_seen(tmp_path: Path) -> None:
    texts = [" ".join(RNG.choice(["win", "free", "call", "now", "later"], 4)) for _ in range(80)]
    schema = TextSchema(("a", "b", "c"), 32)
    features = arrays(texts, schema)
    sight, reference = learn(
        features, answers(80), np.arange(80, dtype=np.uint64), schema, tmp_path
    )
    at = reference.names.index("unknown_words")
    assert reference.values[:, at].tolist() == [0.0] * 80
    seen = sight.see(arrays(["win bitcoin", "call"], schema), answers(2))
    assert seen.names == reference.names
    assert seen.values[:, at].tolist() == [0.5, 0.0]
