from __future__ import annotations

import pytest

from mlops.core.triage import Accuracy, triage


@pytest.mark.parametrize(
    ("breaks", "accuracy", "kind", "wanted"),
    [
        (("blank: all",), Accuracy(0, 100, 0.95), "quality", 0),
        ((), Accuracy(0, 0, 0.95), "unclear", 50),
        ((), Accuracy(30, 49, 0.95), "unclear", 1),
        ((), Accuracy(30, 50, 0.95), "costly", 0),
        ((), Accuracy(46, 50, 0.95), "harmless", 0),
        ((), Accuracy(50, 50, 0.95), "harmless", 0),
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
