"""The weights that a training begins with: fresh ones, or the champion's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import inherited
from mlops.adapters.device import device, enough_memory
from mlops.adapters.snapshot import read_rows
from mlops.core import learning, warm_start
from mlops.core.warm_start import Start

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from mlops.adapters.inherited import Inherited
    from mlops.adapters.keeper import Examples
    from mlops.core.preprocessing import Preprocessed
    from mlops.core.sprint import Course
    from mlops.core.warm_start import Pedigree

PROBE_ROWS = 4000
"""Rows of each side that the probe trains and scores on, at most: it shall take seconds."""


@dataclass(frozen=True)
class Setting:
    """What a start depends on besides model and rows.

    Attributes:
        how: `train.start`.
        course: of the probe.
        own: what must agree with the champion's.
        inherited: `models/inherited`.
        prepared: `data/prepared`.
    """

    how: Literal["warm", "auto"]
    course: Course
    own: Pedigree
    inherited: Path
    prepared: Path


def begin(
    model: Preprocessed, sides: tuple[Examples, Examples], setting: Setting
) -> tuple[Start, Inherited | None]:
    """Give `model` the weights that the training begins with.

    Args:
        model: with fresh weights; it has the champion's afterwards if the start is warm.
        sides: rows to train on, and of validation.
        setting: the rest.

    Returns:
        The start, and the champion where its weights were taken.

    Raises:
        DataError: if a file is missing or damaged.
        StepError: if the GPU's memory does not suffice for a probe.
    """
    held = inherited.read(setting.inherited)
    if held is None:
        return Start("scratch", "no champion's weights lie in models/inherited"), None
    judging = _judging(setting.prepared, held)
    why = warm_start.obstacle(setting.own, held.pedigree, judging, held.seen)
    fresh = {name: t.clone() for name, t in model.network.state_dict().items()}
    why = why or warm_start.take_over(model, held.tensors)
    if why:
        return Start("scratch", why, held.version), None
    if setting.how == "warm":
        return Start("warm", f"with the weights of version {held.version}", held.version), held
    with enough_memory():
        start = _probed(model, fresh, sides, setting.course, held.version)
    return start, held if start.kind == "warm" else None


def _judging(prepared: Path, champion: Inherited) -> list[NDArray[np.uint64]]:
    """Return the keys of rows that judge or watch, less those too new for the champion's fit."""
    test, recent, reference = (
        read_rows(prepared / f"{name}.npz") for name in ("test", "recent", "reference")
    )
    until_s = champion.trained_until_s
    newer = reference.observed_s > (-math.inf if until_s is None else until_s)  # NaN: not known
    return [test.key, recent.key, reference.key[~newer]]


def _probed(
    warm: Preprocessed,
    fresh: dict[str, torch.Tensor],
    sides: tuple[Examples, Examples],
    course: Course,
    version: str,
) -> Start:
    """Probe both starts and leave the better one's weights in the model."""
    inherited_weights = {name: t.clone() for name, t in warm.network.state_dict().items()}
    train, validation = (_some(side, course.seed) for side in sides)
    losses = []
    for weights in (inherited_weights, fresh):
        warm.network.load_state_dict(weights)
        losses.append(warm_start.probe(warm, train, (validation[0], validation[1]), course))
    start = warm_start.chosen(version, losses[0], losses[1], course.epochs)
    warm.network.load_state_dict(inherited_weights if start.kind == "warm" else fresh)
    warm.train()
    return start


def _some(side: Examples, seed: int) -> tuple[torch.Tensor, ...]:
    """Return at most so many rows of a side, drawn with the seed."""
    index = learning.epoch_order(len(side.labels), seed, 0)[:PROBE_ROWS].sort().values
    parts = (side.features, side.labels, *([] if side.weights is None else [side.weights]))
    place = device()
    return tuple(part[index].to(place) for part in parts)
