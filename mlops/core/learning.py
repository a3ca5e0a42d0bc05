"""How a network learns: order of rows, batches, loss, optimiser. Shared by `tune` and `train`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.preprocessing import Preprocessed

WARM_UP = 0.15
"""Share of the steps over which the learning rate rises."""

EVALUATION_ROWS = 512
"""Rows of one forward pass without gradients: bounds memory, and stays in the CPU's cache."""


@dataclass(frozen=True)
class Hyperparameters:
    """What `tune` searches and `train` uses.

    Attributes:
        learning_rate: the peak of the schedule.
        weight_decay: decoupled, AdamW's.
        dropout: probability.
        width_factor: multiple of the network's standard width.
    """

    learning_rate: float
    weight_decay: float
    dropout: float
    width_factor: float


@dataclass(frozen=True)
class Scores:
    """How a network does on rows that it is not fitted on.

    Attributes:
        loss: mean cross-entropy in nats; of a regression the mean pinball loss of the quantiles
            of the standardised target.
        accuracy: share of right answers; of a regression of targets between the outer quantiles.
    """

    loss: float
    accuracy: float


def step_seed(seed: int, epoch: int, batch: int) -> int:
    """Return the seed of one step's dropout and augmentation, so that resuming changes nothing."""
    return (seed * 1_000_003 + epoch * 1_000_033 + batch * 8_191 + 1) % (1 << 63)


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """Return the order of rows in one epoch, int64 (rows,): a function of seed and epoch only."""
    generator = torch.Generator().manual_seed(step_seed(seed, epoch, 0))
    return torch.randperm(rows, generator=generator)


def batch_count(rows: int, batch_size: int) -> int:
    """Return the steps of an epoch; a last, smaller batch is left out, other rows each time."""
    return max(1, rows // batch_size)


def batches(  # noqa: PLR0917 - rows, and which of them
    features: Tensor,
    labels: Tensor,
    order: Tensor,
    batch_size: int,
    first: int = 0,
    weights: Tensor | None = None,
) -> Iterator[tuple[Tensor, ...]]:
    """Yield an epoch's batches from memory, from batch number `first` on.

    Args:
        features: (N, *shape) of the schema, on any device.
        labels: int64 or, of a regression, float64 (N,), on the same device.
        order: int64 (N,), from `epoch_order`.
        batch_size: rows of a batch.
        first: batches already done, when an interrupted epoch goes on.
        weights: float (N,), of mean 1, of each row's loss; None: all count alike.

    Yields:
        Features and labels, and the weights if there are any.
    """
    parts = (features, labels) if weights is None else (features, labels, weights)
    order = order.to(features.device)
    for batch in range(first, batch_count(len(order), batch_size)):
        index = order[batch * batch_size : (batch + 1) * batch_size]
        yield tuple(part[index] for part in parts)


def training_loss(
    model: Preprocessed,
    features: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    augment: bool,
) -> Tensor:
    """Return the mean loss of one batch, a scalar with its gradient; only images are augmented.

    Weights are not normed within the batch: a batch of old rows pulls less than one of new ones.
    """
    varied = augmented(features) if augment and features.dim() == 4 else features
    losses = _losses(model, model.logits(varied), labels)
    return (losses if weights is None else losses * weights).mean()


def _losses(model: Preprocessed, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each row, (N,): cross-entropy, or pinball over the quantiles.

    Source: R. Koenker & G. Bassett, Regression quantiles (1978).
    """
    if not model.regression:
        return functional.cross_entropy(logits, labels, reduction="none")
    mean, std = model.target.to(torch.float64)
    standard = ((labels - mean) / std).to(torch.float32)
    q = torch.tensor(QUANTILES, device=logits.device)
    gap = standard.unsqueeze(1) - logits
    return torch.maximum(q * gap, (q - 1.0) * gap).mean(dim=1)


def _hits(model: Preprocessed, logits: Tensor, labels: Tensor) -> Tensor:
    """Return which answers are right, bool (N,): see `Scores.accuracy`."""
    if not model.regression:
        right: Tensor = logits.argmax(1) == labels
        return right
    mean, std = model.target.to(torch.float64)
    standard = (labels - mean) / std
    inside: Tensor = (logits[:, 0] <= standard) & (standard <= logits[:, -1])
    return inside


def augmented(images: Tensor) -> Tensor:
    """Return images shifted, rotated and dimmed a little, each on its own; same dtype and shape.

    Rotation up to 10°, shift up to 8 % of the side, contrast 0.8 to 1.2: small enough that a
    label stays true. Draws from torch's global generator.
    """
    rows = len(images)
    draws = torch.rand(4, rows, device=images.device) * 2.0 - 1.0
    angle, shift = draws[0] * math.radians(10.0), draws[1:3] * 0.16
    cos, sin = torch.cos(angle), torch.sin(angle)
    affine = torch.stack([cos, -sin, shift[0], sin, cos, shift[1]], dim=1).view(rows, 2, 3)
    x_NCHW = images.permute(0, 3, 1, 2).to(torch.float32)
    grid = functional.affine_grid(affine, list(x_NCHW.shape), align_corners=False)
    moved = functional.grid_sample(x_NCHW, grid, padding_mode="border", align_corners=False)
    dimmed = moved * (1.0 + 0.2 * draws[3]).view(rows, 1, 1, 1)
    return dimmed.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def optimiser(model: Preprocessed, hyperparameters: Hyperparameters) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov & Hutter 2019), fused: a quarter less time per step on a CPU."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=hyperparameters.learning_rate,
        weight_decay=hyperparameters.weight_decay,
        fused=True,
    )


def schedule(
    optimizer: torch.optim.Optimizer, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return one rise and one fall of the learning rate (Smith & Topin 2018, linear form)."""
    rise = max(1, round(WARM_UP * total_steps))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return max(0.02, (total_steps - step) / max(1, total_steps - rise))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def train_epoch(
    model: Preprocessed,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LambdaLR,
    steps: Iterator[tuple[Tensor, ...]],
    *,
    seed: tuple[int, int],
    augment: bool,
) -> float:
    """Fit one epoch and return its mean training loss; `seed` is (seed, epoch)."""
    model.train()
    losses = []
    for batch, rows in enumerate(steps):
        torch.manual_seed(step_seed(*seed, batch))
        loss = training_loss(model, *rows, augment=augment)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        scheduler.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


@torch.no_grad()
def score(model: Preprocessed, features: Tensor, labels: Tensor) -> Scores:
    """Return loss and accuracy of a model, in evaluation mode, over all rows.

    Args:
        model: left in evaluation mode.
        features: (N, *shape) of the schema, N ≥ 1.
        labels: int64 or, of a regression, float64 (N,).
    """
    model.eval()
    loss, right = 0.0, 0
    for start in range(0, len(labels), EVALUATION_ROWS):
        part = slice(start, start + EVALUATION_ROWS)
        logits = model.logits(features[part])
        loss += float(_losses(model, logits, labels[part]).sum())
        right += int(_hits(model, logits, labels[part]).sum())
    return Scores(loss / len(labels), right / len(labels))
