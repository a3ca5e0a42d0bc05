"""The benchmarks themselves: that they run, and that a broken limit is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate_cells import Cell, broken, worst
from tests.project import unmeasured

REPOSITORY = Path(__file__).parent.parent


def bench(*words: str) -> str:
    """Run a benchmark, which must hold its limits; return what it printed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=REPOSITORY, env=unmeasured(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("script", "said"),
    [("benchmarks/gate.py", "all limits hold"), ("benchmarks/drift.py", "all bounds hold")],
)
def test_the_statistics_hold_in_a_small_simulation(script: str, said: str) -> None:
    last = bench(script, "--quick").splitlines()[-1]
    assert last.startswith("worst cell: ")
    assert last.endswith(said)


def test_estimates_without_labels_hold_their_claims_in_a_small_simulation() -> None:
    printed = bench("benchmarks/estimates.py", "--quick")
    assert printed.splitlines()[-1] == "all claims hold"


def test_a_promotion_that_is_killed_leaves_nothing_astray() -> None:
    """A sample: `python benchmarks/kills.py` kills 200 times and lets 50 pairs race."""
    printed = bench("benchmarks/kills.py", "--kills", "1", "--races", "0")
    assert "kills: 1, all agreed after the next start" in printed


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        (Cell("a", "at its limit", 250, 10_000, 0.025), False),
        (Cell("a", "beyond it", 320, 10_000, 0.025), True),
        (Cell("a", "by enumeration", 250, 10_000, 0.025, exact=0.0251), True),
        (Cell("b", "at its floor", 930, 1000, 0.93, at_least=True), False),
        (Cell("b", "below it", 890, 1000, 0.93, at_least=True), True),
        (Cell("b", "not claimed", 890, 1000, 0.93, at_least=True, claimed=False), False),
    ],
)
def test_a_rate_beyond_its_limit_is_seen(cell: Cell, seen: bool) -> None:
    others = [Cell("a", "fine", 10, 10_000, 0.025)] * 20
    assert broken([*others, cell]) == ([cell] if seen else [])
    assert (cell.bound > cell.rate) != cell.at_least
    assert worst([*others, cell]) == (cell if cell.claimed else others[0])
