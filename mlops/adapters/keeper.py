"""What a training keeps: the best weights, the history, and checkpoints to go on from."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl

from mlops.adapters import checkpoints
from mlops.core import learning
from mlops.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from mlops.core.preprocessing import Preprocessed

KEPT = 3
"""Checkpoints kept: the newest, and two to fall back to."""


@dataclass(frozen=True)
class Examples:
    """Rows as tensors: (N, *shape) of the schema, labels int64 or float64 (N,), on one device.

    `weights`, float32 (N,) of mean 1, says how much each row's loss counts; None: all alike.
    """

    features: Tensor
    labels: Tensor
    weights: Tensor | None = None

    def to(self, device: torch.device) -> Examples:
        """Return the same rows on a device."""
        weights = None if self.weights is None else self.weights.to(device)
        return Examples(self.features.to(device), self.labels.to(device), weights)


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        hyperparameters: of optimiser and network.
        epochs: most epochs; the learning rate's schedule spans them.
        patience: epochs without a better validation loss after which training stops.
        batch_size: rows per step.
        seed: of order, dropout and augmentation; weights come with the model.
        augment: whether training images are varied.
        threads: torch threads; 0 for the library's choice.
    """

    hyperparameters: learning.Hyperparameters
    epochs: int
    patience: int
    batch_size: int
    seed: int
    augment: bool
    threads: int = 0


@dataclass(frozen=True)
class EpochLog:
    """One row of `history.csv`: losses and accuracy as in `learning.Scores`, time in seconds."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """What came out; the model itself holds the best epoch's weights.

    Attributes:
        validation_loss: of the best epoch, in nats.
        best_epoch: its number, from 1.
        history: every epoch.
    """

    validation_loss: float
    best_epoch: int
    history: tuple[EpochLog, ...]


class Keeper(pl.Callback):
    """Validates after each epoch, keeps the best weights, saves, stops early, says where it is."""

    def __init__(self, validation: Examples, plan: Plan, folder: Path) -> None:
        self._validation = validation
        self._plan = plan
        self._folder = folder
        self._began = time.perf_counter()
        self._loss_sum: float | Tensor = 0.0
        self._best: dict[str, Tensor] = {}
        self._best_loss = float("inf")
        self._best_epoch = 0
        self._history: list[EpochLog] = []
        self.stopped_at = ""

    @property
    def state_key(self) -> str:
        """Lightning's name of this callback's state."""
        return "keeper"

    @property
    def done(self) -> bool:
        """Whether no epoch is left to train."""
        epoch = len(self._history)
        return epoch >= self._plan.epochs or epoch - self._best_epoch >= self._plan.patience

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run must know."""
        return {
            "best": self._best, "best_loss": self._best_loss, "best_epoch": self._best_epoch,
            "loss_sum": float(self._loss_sum), "history": [vars(e).copy() for e in self._history],
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        self._best = state_dict["best"]
        self._best_loss, self._best_epoch = state_dict["best_loss"], state_dict["best_epoch"]
        self._loss_sum = state_dict["loss_sum"]
        self._history = [EpochLog(**entry) for entry in state_dict["history"]]

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add up the loss, without waiting for a GPU."""
        del trainer, pl_module, batch, batch_idx
        self._loss_sum = self._loss_sum + outputs["loss"].detach()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate, remember, save, and stop if nothing got better for long."""
        model: Preprocessed = pl_module.model  # type: ignore[assignment]
        rows = self._validation = self._validation.to(pl_module.device)
        scores = learning.score(model, rows.features, rows.labels)
        model.train()
        steps = int(trainer.num_training_batches)
        entry = EpochLog(
            epoch=trainer.current_epoch + 1, train_loss=float(self._loss_sum) / steps,
            validation_loss=scores.loss, validation_accuracy=scores.accuracy,
            learning_rate=float(trainer.optimizers[0].param_groups[0]["lr"]),
            seconds=time.perf_counter() - self._began,
        )  # fmt: skip
        # A resume within the next epoch keeps the loss of its first part, so it starts here.
        self._loss_sum, self._began = 0.0, time.perf_counter()
        self._remember(entry, model)
        self._report(entry)
        _save(trainer, self._folder, entry.epoch, 0)
        if self.done:
            trainer.should_stop = True

    def _remember(self, entry: EpochLog, model: Preprocessed) -> None:
        if not math.isfinite(entry.train_loss) or not math.isfinite(entry.validation_loss):
            msg = f"epoch {entry.epoch}: the loss is {entry.train_loss}; lower tune.learning_rate"
            raise StepError(msg)
        self._history.append(entry)
        if entry.validation_loss < self._best_loss:
            self._best_loss, self._best_epoch = entry.validation_loss, entry.epoch
            self._best = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}

    def _report(self, entry: EpochLog) -> None:
        from structlog import get_logger

        left = self._plan.epochs - entry.epoch
        right = "coverage" if self._validation.labels.is_floating_point() else "accuracy"
        pace = sum(e.seconds for e in self._history) / len(self._history)
        get_logger().info(
            f"epoch {entry.epoch}/{self._plan.epochs}",
            loss=round(entry.train_loss, 4), validation_loss=round(entry.validation_loss, 4),
            eta_s=round(left * pace), **{right: round(entry.validation_accuracy, 4)},
        )  # fmt: skip

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save what is done when SIGTERM came."""
        del pl_module, exception
        if not trainer.received_sigterm:
            return
        epoch = trainer.current_epoch
        batch = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        if batch < trainer.num_training_batches:
            _save(trainer, self._folder, epoch, batch)
        self.stopped_at = f"epoch {epoch + 1}, batch {batch}"

    def finish(self, model: Preprocessed) -> Fitted:
        """Put the best epoch's weights into the model."""
        model.to("cpu")
        model.load_state_dict(self._best)
        model.eval()
        return Fitted(self._best_loss, self._best_epoch, tuple(self._history))


def _save(trainer: pl.Trainer, folder: Path, epoch: int, batch: int) -> None:
    """Save under a name that sorts by progress: `epoch` epochs done, and `batch` batches more."""
    name = f"epoch-{epoch:05d}-{batch:08d}{checkpoints.SUFFIX}"
    trainer.save_checkpoint(folder / name)
    checkpoints.keep_newest(folder, KEPT)
