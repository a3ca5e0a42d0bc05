from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from mlops.core import networks
from mlops.core.learning import Hyperparameters
from mlops.core.sprint import Course, sprint
from mlops.core.warm_start import Pedigree, chosen, obstacle, probe, take_over
from tests.pictures import image_model

if TYPE_CHECKING:
    from mlops.core.preprocessing import ImagePreprocessed

OWN = Pedigree({"kind": "image"}, "a.Net", 1.0, {"salt": "1", "test": 0.25})
COURSE = Course(Hyperparameters(0.01, 1e-4, 0.0, 0.5), 3, 8, 7, augment=False)


def _keys(*keys: int) -> np.ndarray:
    return np.array(keys, np.uint64)


@pytest.mark.parametrize(
    ("theirs", "seen", "words"),
    [
        (OWN, _keys(1, 2), ""),
        (replace(OWN, schema={"kind": "text"}), _keys(1), "examples have another schema"),
        (replace(OWN, network="b.Net"), _keys(1), "network is another"),
        (replace(OWN, width_factor=0.5), _keys(1), "network has another width"),
        (replace(OWN, split={"salt": "2", "test": 0.25}), _keys(1), "rows were split otherwise"),
        # Whatever the split says: not one row that judges may have taught the champion.
        (OWN, _keys(1, 8, 9), "fitted on 2 of the rows that judge"),
    ],
)
def test_only_a_champion_that_has_seen_nothing_that_judges_is_taken(
    theirs: Pedigree, seen: np.ndarray, words: str
) -> None:
    found = obstacle(OWN, theirs, [_keys(8), _keys(7, 9), _keys()], seen)
    assert (words in found) if words else found == ""


def _model(seed: int, mean: float = 0.5, width: float = 0.5) -> ImagePreprocessed:
    torch.manual_seed(seed)
    return image_model(networks.SmallCNN(1, 8, 8, 2, width, 0.0), [mean], [0.2])


def test_weights_are_taken_over_and_the_normalisation_is_not() -> None:
    champion, model = _model(1, mean=0.1), _model(2, mean=0.5)
    assert take_over(model, champion.state_dict()) == ""
    for name, tensor in champion.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)
    own = _model(3, mean=0.5).state_dict()["mean"]
    assert torch.equal(model.state_dict()["mean"], own)


def test_weights_of_another_shape_leave_the_model_as_it_was() -> None:
    model = _model(2)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    assert "other shapes" in take_over(model, _model(1, width=1.0).state_dict())
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


def _rows(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures that are bright above or below, and which."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(count) % 2
    image = torch.randint(0, 90, (count, 8, 8, 1), generator=generator, dtype=torch.uint8)
    for row, half in enumerate(label.tolist()):
        image[row, 4 * half : 4 * half + 4] += 120
    return image, label


def test_the_probe_prefers_weights_that_know_the_task_and_touches_nothing() -> None:
    train, validation = _rows(64, 0), _rows(32, 1)
    fresh, learnt = _model(3), _model(3)
    list(sprint(learnt, train, validation, replace(COURSE, epochs=12)))
    before = {name: t.clone() for name, t in learnt.state_dict().items()}
    short = replace(COURSE, epochs=1)
    warm, scratch = (probe(m, train, validation, short) for m in (learnt, fresh))
    assert warm < scratch
    assert probe(learnt, train, validation, short) == warm
    assert all(torch.equal(t, before[name]) for name, t in learnt.state_dict().items())


def test_weights_reach_a_sprint() -> None:
    image, label = _rows(64, 0)
    validation = _rows(32, 1)
    wrong = torch.cat([label[:32], 1 - label[32:]])  # half the rows lie

    def last(*weights: torch.Tensor) -> float:
        return list(sprint(_model(3), (image, wrong, *weights), validation, COURSE))[-1]

    assert last(torch.ones(64)) == last()
    assert last(torch.tensor([2.0] * 32 + [0.0] * 32)) < last() - 0.05


def test_the_choice_says_both_losses_and_a_tie_owes_nothing() -> None:
    start = chosen("4", 0.25, 0.5, 3)
    assert (start.kind, start.version) == ("warm", "4")
    assert start.why == (
        "after 3 epochs the validation loss is 0.2500 from the weights of version 4, "
        "0.5000 from scratch"
    )
    assert chosen("4", 0.5, 0.5, 3).kind == "scratch"
