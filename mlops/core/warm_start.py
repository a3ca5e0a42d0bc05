"""Whether a training may begin with the champion's weights, and whether it should.

Source: J. Ash & R. Adams, On warm-starting neural network training (2020): such a start is
quicker and can end worse, hence the probe and the choice.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlops.core.sprint import sprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from mlops.core.preprocessing import Preprocessed
    from mlops.core.sprint import Course


@dataclass(frozen=True)
class Pedigree:
    """What must agree between two trainings for one to take over the other's weights.

    Attributes:
        schema: of the examples, as JSON holds it.
        network: class path.
        width_factor: multiple of the network's standard width.
        split: how rows are dealt to the sides, as JSON holds it.
    """

    schema: object
    network: str
    width_factor: float
    split: object


@dataclass(frozen=True)
class Start:
    """With which weights a training begins.

    Attributes:
        kind: `warm`: the champion's; `scratch`: fresh ones.
        why: in words.
        version: of the champion whose weights were at hand, taken or not; empty for none.
        warm_loss: validation loss after the probe from the champion's weights; None: no probe.
        scratch_loss: the same from fresh weights.
    """

    kind: Literal["warm", "scratch"]
    why: str
    version: str = ""
    warm_loss: float | None = None
    scratch_loss: float | None = None


def obstacle(
    own: Pedigree,
    theirs: Pedigree,
    judging: Sequence[NDArray[np.uint64]],
    seen: NDArray[np.uint64],
) -> str:
    """Say why the champion's weights must not be taken; empty if they may.

    What the champion was fitted on, a training from its weights was fitted on, too. So none of
    those rows may be among the rows that judge the candidate or watch over it. Sides go by hash:
    that holds by itself while the split stays as it was, and is looked at all the same.

    Args:
        own: of the training.
        theirs: of the champion.
        judging: uint64 keys of the rows of test, recent and reference.
        seen: uint64, keys of all that the champion was fitted on.
    """
    for what, mine, other in (
        ("examples have another schema", own.schema, theirs.schema),
        ("network is another", own.network, theirs.network),
        ("network has another width", own.width_factor, theirs.width_factor),
        ("rows were split otherwise", own.split, theirs.split),
    ):
        if mine != other:
            return f"the champion's {what}"
    known = sum(int(np.isin(keys, seen).sum()) for keys in judging)
    return f"the champion was fitted on {known} of the rows that judge" if known else ""


def take_over(model: Preprocessed, tensors: dict[str, Tensor]) -> str:
    """Put a champion's weights into the network of `model`; the normalisation stays its own.

    Args:
        model: of the same architecture; left as it was where the weights do not fit.
        tensors: the champion's, by the names of `Preprocessed`.

    Returns:
        Why they do not fit; empty if they were taken.
    """
    prefix = "network."
    network = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    own = {name: tuple(t.shape) for name, t in model.network.state_dict().items()}
    if own != {name: tuple(t.shape) for name, t in network.items()}:
        return "the champion's weights have other shapes"
    model.network.load_state_dict(network)
    return ""


def probe(
    model: Preprocessed,
    train: tuple[Tensor, ...],
    validation: tuple[Tensor, Tensor],
    course: Course,
) -> float:
    """Train a copy for a short while and return its last validation loss.

    Args:
        model: with the weights to begin with; left as it is.
        train: features, labels, and weights if there are any, on the device to train on.
        validation: features and labels of rows that are not fitted on.
        course: how, and for how long, at least one epoch.
    """
    runner = copy.deepcopy(model).to(train[0].device)
    return list(sprint(runner, train, validation, course))[-1]


def chosen(version: str, warm_loss: float, scratch_loss: float, epochs: int) -> Start:
    """Return the start that the probe speaks for; of equal ones scratch, which owes nothing."""
    warm = warm_loss < scratch_loss
    why = (
        f"after {epochs} epochs the validation loss is {warm_loss:.4f} from the weights of "
        f"version {version}, {scratch_loss:.4f} from scratch"
    )
    kind: Literal["warm", "scratch"] = "warm" if warm else "scratch"
    return Start(kind, why, version, warm_loss, scratch_loss)
