from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters.evidently import TOLERANCE, make_report, values
from mlops.core.alarm import Verdict, judge
from mlops.core.columns import Columns
from mlops.core.drift import presort, statistics
from mlops.core.thresholds import Thresholds
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("brightness", "contrast", "constant")
LIMITS = Thresholds(
    columns=(*NAMES, "predicted"), limits=(0.2, 0.123456789, 0.1, 0.15), means=(0.0,) * 4,
    tail=(0.0,) * 9, block=1, min_effect=0.0,
    window_rows=150, reference_rows=400, rate=0.001, budget=0.002, z=4.0, calibrated=True,
    reason="made up",
)  # fmt: skip


def rows(seed: int, count: int, shift: float = 0.0) -> Columns:
    """Draw columns with ties, a constant, and a class that only some rows have."""
    rng = np.random.default_rng(seed)
    values = np.column_stack([
        rng.normal(shift, 1, count), np.round(rng.exponential(1, count), 1), np.ones(count)
    ])  # fmt: skip
    classes = rng.integers(0, 9 + (seed > 1), count)
    return Columns(NAMES, values, classes, 11)


def judged(reference: Columns, window: Columns) -> Verdict:
    found = statistics(presort(reference), window)
    return judge(LIMITS, found, np.zeros(len(found)), len(window))


def test_evidentlys_page_shows_our_numbers_and_thresholds(tmp_path: Path) -> None:
    reference, window = rows(1, 400), rows(2, 150, shift=0.7)
    verdict = judged(reference, window)
    make_report(reference, window, verdict, tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    told = {
        m["config"]["column"]: (m["config"]["method"], m["config"]["threshold"])
        for m in content["metrics"]
        if "column" in m["config"]
    }
    page = (tmp_path / "report.html").read_text()
    assert page.count("brightness") > 0
    assert told == {c.column: (c.method, c.threshold) for c in verdict.columns}
    assert verdict.drifted[0].column == "brightness"


def test_ours_are_evidentlys_statistics() -> None:
    from mlops.adapters.evidently import _run

    reference = rows(1, 400)
    for seed, count, shift in ((2, 150, 0.0), (3, 37, 2.0)):
        window = rows(seed, count, shift)
        verdict = judged(reference, window)
        theirs = values(_run(reference, window, verdict).dict())
        assert theirs.keys() == {*NAMES, "predicted"}
        for column in verdict.columns:
            assert abs(theirs[column.column] - column.value) <= TOLERANCE


def test_a_page_that_disagrees_with_the_verdict_is_refused(tmp_path: Path) -> None:
    reference, window = rows(1, 400), rows(2, 150)
    verdict = judged(reference, window)
    wrong = replace(verdict.columns[0], value=verdict.columns[0].value + 1e-6)
    with pytest.raises(MonitorError, match="brightness is"):
        make_report(reference, window, replace(verdict, columns=(wrong, *verdict.columns[1:])),
                    tmp_path)  # fmt: skip
    turned = replace(verdict.columns[0], drifted=not verdict.columns[0].drifted)
    with pytest.raises(MonitorError, match="drifted by our verdict"):
        make_report(reference, window, replace(verdict, columns=(turned, *verdict.columns[1:])),
                    tmp_path)  # fmt: skip
    assert list(tmp_path.iterdir()) == []
