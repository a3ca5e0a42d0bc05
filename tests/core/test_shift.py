from __future__ import annotations

from typing import Any

import pytest

from mlops.core.estimate import Estimate
from mlops.core.shift import name_shifts, same_mix

EVEN, SKEWED = (100, 100, 100), (180, 60, 60)
BASE: dict[str, Any] = {
    "mix": (), "reference_mix": EVEN, "loss": None, "margin": 0.03, "estimate": None,
    "reference": 0.95,
}  # fmt: skip


@pytest.mark.parametrize(
    ("drifted", "known", "names"),
    [
        (["brightness"], {}, ["covariate"]),
        (["predicted"], {}, ["prior"]),  # a guess, and said to be one
        (["predicted"], {"mix": SKEWED}, ["prior"]),
        # The embedding follows the classes: beside them it is no sign of other inputs.
        (["embedding 1 of 4", "predicted"], {}, ["prior"]),
        (["embedding 1 of 4 given the rest"], {}, ["covariate"]),
        (["embedding 2 of 4", "predicted", "noise"], {"mix": EVEN}, ["covariate"]),
        # What the model says is no input, given the rest or not; nor is a predicted number.
        (["confidence given the rest"], {}, []),
        (["prediction", "spread"], {"mix": EVEN, "loss": 0.2}, ["concept"]),
        (["predicted"], {"mix": EVEN}, []),
        (["brightness"], {"mix": SKEWED}, ["covariate", "prior"]),
        # Concept shift is named with labels only, whatever an estimate says.
        (["confidence"], {"estimate": Estimate(0.5, 0.4, 0.6)}, []),
        (["confidence"], {"mix": EVEN, "loss": 0.2}, ["concept"]),
        ([], {"mix": EVEN, "loss": 0.02}, []),
        (
            ["brightness"],
            {"mix": EVEN, "loss": 0.3, "estimate": Estimate(0.9, 0.85, 0.95)},
            ["covariate", "concept"],
        ),
        (
            ["brightness"],
            {"mix": EVEN, "loss": 0.3, "estimate": Estimate(0.66, 0.6, 0.7)},
            ["covariate"],
        ),
    ],
)
def test_a_shift_is_named_by_what_supports_it(
    drifted: list[str], known: dict[str, Any], names: list[str]
) -> None:
    found = name_shifts(drifted, **{**BASE, **known})
    assert [shift.name for shift in found] == names
    assert all(shift.words for shift in found)


def test_a_new_mix_is_said_to_move_the_inputs() -> None:
    _, prior = name_shifts(["brightness"], **{**BASE, "mix": SKEWED})
    assert prior.words.endswith("which moves the inputs, too")
    (alone,) = name_shifts(["predicted"], **{**BASE, "mix": SKEWED})
    assert alone.words.startswith("the labels' mix of classes changed")
    assert "inputs" not in alone.words


def test_two_mixes() -> None:
    assert same_mix((), EVEN) is None
    assert same_mix((5,), (9,)) == 1.0
    same, other = same_mix((30, 31, 29), EVEN), same_mix(SKEWED, EVEN)
    assert same is not None
    assert same > 0.9
    assert other is not None
    assert other < 1e-6
