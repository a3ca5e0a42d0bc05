from __future__ import annotations

import numpy as np
import pytest

from mlops.core.estimate import Estimate
from mlops.core.triage import Accuracy, outgrown, triage, unmeasured

NEEDED = 150  # of .95, for a loss of .05


@pytest.mark.parametrize(
    ("breaks", "accuracy", "kind", "wanted"),
    [
        (("blank: all",), Accuracy(0, 100, 0.95), "quality", 0),
        ((), Accuracy(0, 0, 0.95), "unclear", NEEDED),
        ((), Accuracy(30, 49, 0.95), "unclear", NEEDED - 49),  # fewer than min_labels never settle
        ((), Accuracy(30, 50, 0.95), "costly", 0),  # plain before the power is reached
        ((), Accuracy(46, 50, 0.95), "unclear", NEEDED - 50),
        ((), Accuracy(50, 50, 0.95), "unclear", NEEDED - 50),
        ((), Accuracy(NEEDED - 10, NEEDED, 0.95), "harmless", 0),
        ((), Accuracy(NEEDED - 16, NEEDED, 0.95), "costly", 0),
        ((), Accuracy(135, 135, 0.95), "harmless", 0),
        ((), Accuracy(40, 50, None), "unclear", 50),
    ],
)
def test_an_incident_is_worth_what_was_measured(
    breaks: tuple[str, ...], accuracy: Accuracy, kind: str, wanted: int
) -> None:
    found = triage(breaks=breaks, accuracy=accuracy, margin=0.05, min_labels=50)
    assert found.kind == kind
    assert found.labels_wanted == wanted
    assert found.words


@pytest.mark.parametrize("told", [Estimate(0.99, 0.98, 1.0), Estimate(0.5, 0.4, 0.6)])
@pytest.mark.parametrize(
    "accuracy", [Accuracy(0, 0, 0.95), Accuracy(100, 200, 0.95), Accuracy(195, 200, 0.95)]
)
def test_an_estimate_closes_and_downgrades_nothing(told: Estimate, accuracy: Accuracy) -> None:
    alone = triage(breaks=(), accuracy=accuracy, margin=0.05, min_labels=50)
    found = triage(breaks=(), accuracy=accuracy, margin=0.05, min_labels=50, estimate=told)
    assert (found.kind, found.labels_wanted) == (alone.kind, alone.labels_wanted)
    assert found.escalated == (alone.kind == "unclear" and told.value < 0.9)


@pytest.mark.parametrize(
    ("labelled", "newest"),
    [
        ((), 0), ((0,), 1), ((50,), 0), ((0, 0), 2), ((50, 0, 0), 2), ((0, 50), 0), ((50, 49), 1),
        ((50, 0, 60, 10, 39), 2), ((50, 0, 60, 10, 40), 1), ((5,) * 12, 9),
    ],
)  # fmt: skip
def test_the_newest_windows_with_few_labels_are_not_measured(
    labelled: tuple[int, ...], newest: int
) -> None:
    assert unmeasured(labelled, min_labels=50) == newest


WELL, BADLY, WIDE = Estimate(0.94, 0.9, 0.97), Estimate(0.5, 0.4, 0.6), Estimate(0.5, 0.1, 0.93)


@pytest.mark.parametrize(
    ("newer", "measured", "worse"),
    [
        (None, WELL, False),  # nothing can be said of them
        (WELL, WELL, False),
        (BADLY, WELL, True),
        (BADLY, None, True),
        (BADLY, BADLY, False),  # labels showed it to be wrong
        (Estimate(0.3, 0.2, 0.4), BADLY, True),
        (WIDE, WELL, False),
        (WELL, BADLY, False),
        (Estimate(0.85, 0.8, 0.9), Estimate(1.0, 0.99, 1.0), False),  # within the margin
    ],
)
def test_what_labels_showed_to_be_harmless_holds_until_it_looks_worse(
    newer: Estimate | None, measured: Estimate | None, worse: bool
) -> None:
    assert outgrown(newer, measured, reference=0.95, margin=0.06) is worse


def test_what_it_asks_for_is_worth_asking() -> None:
    """Of clean streams looked at after every ten labels, few are ever called costly."""
    rng, false, missed = np.random.default_rng(3), 0, 0
    for _ in range(150):
        for truth in (0.95, 0.87):
            right, kind, labels = rng.random(160) < truth, "unclear", 0
            while kind == "unclear":
                labels += 10
                seen = Accuracy(int(right[:labels].sum()), labels, 0.95)
                kind = triage(breaks=(), accuracy=seen, margin=0.05, min_labels=50).kind
            false += kind == "costly" and truth == 0.95
            missed += kind == "harmless" and truth == 0.87
    assert false <= 8
    assert missed <= 30
