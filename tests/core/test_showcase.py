from __future__ import annotations

import numpy as np

from mlops.core.showcase import NOBODY, pairs, surest_mistakes

LABEL = np.array([0, 1, 2, 0, 2, 1])
P = np.array([
    [0.9, 0.1, 0.0],  # right
    [0.7, 0.2, 0.1],  # 1 taken for 0
    [0.1, 0.1, 0.8],  # right
    [0.6, 0.3, 0.1],  # right, less sure
    [0.0, 0.95, 0.05],  # 2 taken for 1, surer
    [0.3, 0.4, 0.3],  # right
], dtype=np.float32)  # fmt: skip


def test_mistakes_come_surest_first() -> None:
    assert surest_mistakes(LABEL, P).tolist() == [4, 1]


def test_a_mistake_stands_beside_the_surest_right_answer_of_the_class_it_was_taken_for() -> None:
    assert pairs(LABEL, P, 2) == ((4, 5), (1, 0))
    assert pairs(LABEL, P, 1) == ((4, 5),)
    assert pairs(LABEL, P, 0) == ()


def test_with_too_few_mistakes_right_answers_of_further_classes_follow() -> None:
    assert pairs(LABEL, P, 5) == ((4, 5), (1, 0), (NOBODY, 2))


def test_no_right_answer_is_shown_twice_and_a_class_may_have_none() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], dtype=np.float32)
    assert pairs(np.array([1, 1, 0]), p, 3) == ((0, 2), (1, NOBODY))
