"""A short training in a plain loop: a trial of `tune`, a probe before a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core import learning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from mlops.core.learning import Hyperparameters
    from mlops.core.preprocessing import Preprocessed


@dataclass(frozen=True)
class Course:
    """How to train for a short while.

    Attributes:
        hyperparameters: of the optimiser.
        epochs: how many; the learning rate's schedule spans them.
        batch_size: rows per step.
        seed: of order, dropout and augmentation; weights come with the model.
        augment: whether training images are varied.
    """

    hyperparameters: Hyperparameters
    epochs: int
    batch_size: int
    seed: int
    augment: bool


def sprint(
    model: Preprocessed,
    train: tuple[Tensor, ...],
    validation: tuple[Tensor, Tensor],
    course: Course,
) -> Iterator[float]:
    """Train `model` in place and yield the validation loss after each epoch.

    Args:
        model: on the device of the rows.
        train: features (N, *shape) of the schema, labels (N,), and weights (N,) if there are any.
        validation: features and labels of rows that are not fitted on.
        course: how.
    """
    features, labels, *weights = train
    steps = course.epochs * learning.batch_count(len(labels), course.batch_size)
    optimizer = learning.optimiser(model, course.hyperparameters)
    scheduler = learning.schedule(optimizer, steps)
    for epoch in range(course.epochs):
        order = learning.epoch_order(len(labels), course.seed, epoch)
        batches = learning.batches(
            features, labels, order, course.batch_size, weights=weights[0] if weights else None
        )
        learning.train_epoch(
            model, optimizer, scheduler, batches,
            seed=(course.seed, epoch), augment=course.augment,
        )  # fmt: skip
        yield learning.score(model, *validation).loss
