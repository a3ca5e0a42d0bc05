from __future__ import annotations

import numpy as np
import pytest

from mlops.core.quality import Arrivals, breaks, sound

IDS = [str(n) for n in range(100)]
GOOD = Arrivals(wrong_size=0, example_ids=IDS, duration_s=60.0, earlier_s=[60.0] * 9)


@pytest.mark.parametrize(
    ("unsound", "blank", "arrivals", "name"),
    [
        (1, 0.0, GOOD, "probabilities"),
        (0, 0.5, GOOD, "blank"),
        (0, 0.0, Arrivals(3, IDS, 60.0, []), "size"),
        (0, 0.0, Arrivals(0, ["same"] * 60 + IDS[:40], 60.0, []), "stuck"),
        (0, 0.0, Arrivals(0, IDS, 90_000.0, [60.0] * 9), "volume"),
    ],
)
def test_a_break_is_named(unsound: int, blank: float, arrivals: Arrivals, name: str) -> None:
    found = breaks(
        unsound=unsound, blank_share=blank, reference_blank_share=0.01, arrivals=arrivals
    )
    assert [text.split(":")[0] for text in found] == [name]


@pytest.mark.parametrize(
    ("blank", "arrivals"),
    [(0.0, GOOD), (0.05, GOOD), (0.0, Arrivals(0, IDS, 90_000.0, [60.0] * 4))],
)
def test_sound_windows_pass(blank: float, arrivals: Arrivals) -> None:
    assert not breaks(unsound=0, blank_share=blank, reference_blank_share=0.01, arrivals=arrivals)


def test_rows_that_are_no_distribution_are_found() -> None:
    rows = [[0.5, 0.5], [np.nan, 1], [np.inf, 0], [0.5, 0.2], [1.5, -0.5], [1, 0]]
    assert sound(np.array(rows, dtype=np.float32)).tolist() == [True, *[False] * 4, True]
