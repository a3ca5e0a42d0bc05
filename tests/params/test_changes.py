"""`-S section.key=value`: read by the one loader, told in its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops.cli.simulate.verb import write_params
from mlops.errors import EXIT_USAGE, ParamsError
from mlops.params.everything import Everything
from mlops.params.load import load

TEMPLATE = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="module")
def params() -> Everything:
    return load(TEMPLATE, Everything)


def test_without_changes_the_file_says_the_same(params: Everything, tmp_path: Path) -> None:
    assert load(TEMPLATE, Everything, ()) == params


def test_changes_stand_in_place_of_what_the_file_says(params: Everything, tmp_path: Path) -> None:
    changes = (
        "monitoring.window_rows=60", "gate.floors.accuracy=0.5", "data.limit=700",
        "tune.width_factor=[0.5, 2.0]", "monitoring.false_alarms=2 per year", "data.limit=",
        "model.augment=true",
    )  # fmt: skip
    found = load(TEMPLATE, Everything, changes)
    assert found.monitoring.window_rows == 60
    assert found.gate.floors.accuracy == 0.5
    assert found.tune.width_factor == (0.5, 2.0)
    assert found.monitoring.budget.count == 2.0
    assert found.data.limit is None
    assert found.model.augment
    assert found.train == params.train
    write_params(found, tmp_path / "params.yaml")
    assert load(tmp_path / "params.yaml", Everything) == found


WRONG = [
    ("window_rows=60", "-S window_rows=60: write section.key=value, as in -S gate.alpha=0.1"),
    ("monitoring.window_rows", "write section.key=value"),
    ("monitoring.window_rows=1e2", "window_rows = '1e2' is text, not a number; write 100"),
    ("monitoring.window_rows=5", "-S monitoring.window_rows = 5: write a value that is greater"),
    ("monitoring.windowrows=60", "is not a known key (did you mean window_rows?)"),
    ("monitor.window_rows=60", "-S monitor is not a section (did you mean monitoring?)"),
    ("gate.alpha.deep=1", "-S gate.alpha.deep: alpha holds no keys; see: mlops config show"),
    ("trigger.enabled=no", "-S trigger.enabled = 'no': write true or false"),
    ("monitoring.raise_k=9", "-S monitoring.raise_k = 9 exceeds raise_n = 3; lower it"),
    ("gate.alpha=[0.1", "-S "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_wrong_change_is_one_line(
    params: Everything, tmp_path: Path, change: str, said: str
) -> None:
    with pytest.raises(ParamsError) as caught:
        load(TEMPLATE, Everything, (change,))
    assert said in str(caught.value)
    assert str(caught.value).startswith("-S ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE
