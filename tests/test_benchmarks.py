"""The benchmarks themselves: that they run, and that a broken limit is seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate_cells import Cell, broken, worst
from tests.project import unmeasured

REPOSITORY = Path(__file__).parent.parent


def test_the_gates_statistics_hold_in_a_small_simulation() -> None:
    command = [sys.executable, "benchmarks/gate.py", "--quick"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=unmeasured(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("worst cell: ")
    assert last.endswith("all limits hold")


def test_a_promotion_that_is_killed_leaves_nothing_astray() -> None:
    """A sample: `python benchmarks/kills.py` kills 200 times and lets 50 pairs race."""
    command = [sys.executable, "benchmarks/kills.py", "--kills", "1", "--races", "0"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=unmeasured(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kills: 1, all agreed after the next start" in done.stdout


def test_drift_alarms_keep_their_budget_in_a_small_simulation() -> None:
    command = [sys.executable, "benchmarks/drift.py", "--quick"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=unmeasured(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("worst cell: ")
    assert last.endswith("all bounds hold")


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
def test_a_rate_beyond_its_limit_is_seen(cell: Cell, seen: bool) -> None:  # noqa: FBT001
    others = [Cell("a", "fine", 10, 10_000, 0.025)] * 20
    assert broken([*others, cell]) == ([cell] if seen else [])
    assert (cell.bound > cell.rate) != cell.at_least
    assert worst([*others, cell]) == (cell if cell.claimed else others[0])
