from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters.evidently.drift import computed, run_drift, sample, values
from mlops.adapters.evidently.page import Material, make_page
from mlops.adapters.evidently.run import TOLERANCE, agree
from mlops.adapters.observe import shifts
from mlops.adapters.two_baselines import Beside
from mlops.adapters.window import Cut, Window
from mlops.core.alarm import Verdict, judge
from mlops.core.columns import Columns
from mlops.core.drift import presort, statistics
from mlops.core.fixed import summed_up
from mlops.core.thresholds import Thresholds
from mlops.core.words import in_words
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
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


def make_report(
    reference: Columns,
    window: Columns,
    verdict: Verdict,
    folder: Path,
    beside: Beside | None = None,
) -> None:
    cut = Cut("digits", "1", 1, 1, len(window), len(window), 0.0, 60.0)
    seen = Window(cut, verdict, 0, 0, "pending", None)
    make_page(Material(seen, NOW, reference, window, beside), folder)


def judged(reference: Columns, window: Columns) -> Verdict:
    found = statistics(presort(reference), window)
    return judge(LIMITS, found, np.zeros(len(found)), len(window))


def test_evidentlys_page_shows_our_numbers_and_thresholds(tmp_path: Path) -> None:
    reference, window = rows(1, 400), rows(2, 150, shift=0.7)
    verdict = judged(reference, window)
    make_report(reference, window, verdict, tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())["drift"]
    told = {
        m["config"]["column"]: (m["config"]["method"], m["config"]["threshold"])
        for m in content["metrics"]
        if "column" in m["config"]
    }
    page = (tmp_path / "report.html").read_text()
    assert page.count("brightness") > 0
    assert told == {c.column: (c.method, c.threshold) for c in verdict.columns}
    assert verdict.drifted[0].column == "brightness"


def test_a_columns_name_ends_no_script_of_the_page(tmp_path: Path) -> None:
    """Whoever names a column shall not write the page that the alert links."""
    bad = "</script><script>alert(1)</script>"
    names = (bad, "{{7*7}}", "a\r\nb")
    reference, window = (replace(r, names=names) for r in (rows(1, 400), rows(2, 150, shift=0.7)))
    limits = replace(LIMITS, columns=(*names, "predicted"))
    found = statistics(presort(reference), window)
    make_report(reference, window, judge(limits, found, np.zeros(len(found)), 150), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "</script>alert" not in page


def test_the_page_holds_the_fixed_references_distances_beside_the_own_ones(tmp_path: Path) -> None:
    own, window = rows(1, 400), rows(2, 150)
    long = rows(3, 300, shift=1.5)
    long = replace(long, names=NAMES[:2], values=long.values[:, :2])
    limits = replace(
        LIMITS, columns=(*NAMES[:2], "predicted"), limits=(0.2, 0.15, 9.0), means=(0.0,) * 3
    )
    seen = replace(window, names=NAMES[:2], values=window.values[:, :2])
    found = judge(limits, statistics(presort(long), seen), np.zeros(3), len(window))
    beside = Beside(summed_up("<b>1", found.columns[:-1], {}), long)
    verdict = judged(own, window)
    make_report(own, window, verdict, tmp_path, beside)
    page = (tmp_path / "report.html").read_text()
    told = page[page.index("Two baselines") :]
    told = told[: told.index("</section>")]
    assert told.count("<tr>") == 1 + 2
    assert "Against the fixed reference, version &lt;b&gt;1&#x27;s: 1 of 2 input columns" in told
    assert "It reports only" in told
    fixed, mine = found.columns[0], verdict.columns[0]
    assert not mine.drifted
    assert (
        f"<tr><td>brightness</td><td>wasserstein</td><td>{mine.value:.6g}</td><td>0.2</td>"
        f"<td><strong>{fixed.value:.6g}</strong></td><td>0.2</td></tr>"
    ) in told
    wrong = replace(beside.told.inputs[0], value=fixed.value + 1e-6)
    changed = replace(beside, told=replace(beside.told, inputs=(wrong, *beside.told.inputs[1:])))
    with pytest.raises(MonitorError, match="against the fixed reference: brightness is"):
        make_report(own, window, verdict, tmp_path, changed)
    make_report(own, window, verdict, tmp_path, replace(beside, reference=None))
    assert "Its version is gone" in (tmp_path / "report.html").read_text()


def test_ours_are_evidentlys_statistics() -> None:
    reference = rows(1, 400)
    for seed, count, shift in ((2, 150, 0.0), (3, 37, 2.0)):
        window = rows(seed, count, shift)
        verdict = judged(reference, window)
        theirs = values(run_drift(reference, window, verdict).dict())
        assert theirs.keys() == {*NAMES, "predicted"}
        for column in verdict.columns:
            assert abs(theirs[column.column] - column.value) <= TOLERANCE


def test_a_column_of_names_is_judged_as_evidently_judges_categories(tmp_path: Path) -> None:
    def coded(seed: int, count: int, most: int) -> Columns:
        made = rows(seed, count)
        code = np.random.default_rng(seed).integers(-2, most, count)  # a name is new in the window
        values = np.column_stack([made.values[:, 0], code, made.values[:, 2]])
        return replace(made, values=values, named=("contrast",))

    reference, window = coded(1, 400, 3), coded(2, 150, 5)
    found = statistics(presort(reference), window)
    verdict = judge(LIMITS, found, shifts(reference, window), len(window), window.named)
    make_report(reference, window, verdict, tmp_path)  # it refuses what Evidently does not find
    changed = verdict.columns[1]
    assert (changed.method, changed.drifted) == ("jensenshannon", True)
    assert abs(changed.shift) < 1.0
    assert in_words(changed, 0.0).startswith("the share of one of its values moved by")


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


@pytest.mark.parametrize("count", [100, 10_500])
def test_large_distances_agree_within_a_part_of_their_value(tmp_path: Path, count: int) -> None:
    """A column that is constant in the reference is divided by a spread of 0.001."""
    rng = np.random.default_rng(0)

    def of(values: np.ndarray[Any, Any]) -> Columns:
        return Columns(("fee",), values[:, None], np.zeros(len(values), dtype=np.int64), 2)

    reference, window = of(np.full(2000, 1.7e9)), of(1.7e9 + rng.uniform(0, 86_400, count))
    limits = replace(LIMITS, columns=("fee", "predicted"), limits=(0.2, 0.2), means=(0.0,) * 2)
    verdict = judge(limits, statistics(presort(reference), window), np.zeros(2), count)
    assert verdict.columns[0].value > 1e6
    make_report(reference, window, verdict, tmp_path)
    value = verdict.columns[0].value
    wrong = replace(verdict.columns[0], value=value * (1 + 1e-8))
    with pytest.raises(MonitorError, match="fee is"):
        make_report(reference, window, replace(verdict, columns=(wrong, *verdict.columns[1:])),
                    tmp_path)  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (0.0, 9e-10, True), (0.0, 2e-9, False), (1e8, 1e8 + 0.05, True), (1e8, 1e8 + 1, False),
        (math.nan, math.nan, False), (math.inf, 5.0, False), (5.0, math.inf, False),
        (1.0, None, False),
    ],
)  # fmt: skip
def test_numbers_agree_but_for_rounding(ours: float, theirs: float | None, *, agreed: bool) -> None:
    if agreed:
        agree("w: a", ours, theirs)
        return
    with pytest.raises(MonitorError, match="w: a is"):
        agree("w: a", ours, theirs)


def test_of_a_large_window_a_sample_is_shown_and_the_verdict_is_of_all(tmp_path: Path) -> None:
    reference, window = rows(1, 10_400), rows(2, 10_900, shift=0.7)
    verdict = judged(reference, window)
    make_report(reference, window, verdict, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "10,000 of 10,900 rows of the window, 10,000 of 10,400 of the reference" in page
    assert f"<strong>{verdict.columns[0].value:.6g}</strong>" in page
    content = json.loads((tmp_path / "report.json").read_text())["drift"]
    told, ours = values(content), computed(sample(reference), sample(window), verdict)
    assert len(sample(window)) == 10_000
    for whole, shown in zip(verdict.columns, ours.columns, strict=True):
        assert abs(told[whole.column] - shown.value) <= TOLERANCE
    assert told["brightness"] != pytest.approx(verdict.columns[0].value, abs=1e-6)
    wrong = replace(verdict.columns[0], value=verdict.columns[0].value + 1e-6)
    with pytest.raises(MonitorError, match="of the rows that are kept"):
        make_report(reference, window, replace(verdict, columns=(wrong, *verdict.columns[1:])),
                    tmp_path)  # fmt: skip
