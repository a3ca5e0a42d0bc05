from __future__ import annotations

import numpy as np

from mlops.core.features import arrays
from mlops.core.schema import TextSchema
from mlops.core.vocabulary import learn_words

SCHEMA = TextSchema(("a", "b"), 48)


def test_a_reference_is_held_against_the_words_of_its_other_texts() -> None:
    texts = ["Buy now", "buy später!", "see you", ""]
    vocabulary, unknown = learn_words(arrays(texts, SCHEMA))
    assert unknown.tolist() == [0.5, 0.5, 1.0, 0.0]
    seen = vocabulary.unknown(arrays(["BUY, you: later", "später", "."], SCHEMA))
    assert seen.tolist() == [1 / 3, 0.0, 0.0]


def test_clean_texts_have_as_many_unknown_words_as_their_reference() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in rng.zipf(1.4, 8)) for _ in range(800)]
    vocabulary, unknown = learn_words(arrays(texts[:400], SCHEMA))
    fresh = vocabulary.unknown(arrays(texts[400:], SCHEMA))
    assert unknown.mean() > 0.05
    assert abs(fresh.mean() - unknown.mean()) < 3 * unknown.std() * np.sqrt(2 / 400)
