"""What `mlops demo` does to its own copy of the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlops.cli.demo.workspace import weakened
from mlops.errors import StepError

TEMPLATE = (Path(__file__).parents[2] / "params.yaml").read_text()
OTHER = """\
model:
  epochs: 3
tune:   # trials
  # learning_rate: old

  epochs: 6
  trials: 40  # many
  learning_rate: [0.1, 0.2]
train:
  patience: 4
  epochs: 100   # most
evaluate: {epochs: 9}
"""


@pytest.mark.parametrize("text", [TEMPLATE, OTHER])
def test_only_the_epochs_of_the_training_are_cut(text: str) -> None:
    expected, found = yaml.safe_load(text), yaml.safe_load(weakened(text))
    expected["train"] |= {"epochs": 1}
    assert found == expected
    assert text.count("#") == weakened(text).count("#")


def test_a_key_that_is_not_there_is_named() -> None:
    with pytest.raises(StepError, match=r"train\.epochs"):
        weakened(OTHER.replace("  epochs: 100", "  rounds: 100"))
