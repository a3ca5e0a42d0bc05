"""Training with Lightning: from memory, checkpointed each epoch, resumable, stoppable.

Whatever happens to the process, the weights come out the same: the order of rows is a function of
seed and epoch, dropout and augmentation of seed, epoch and batch, and a checkpoint holds the rest.
Import this module inside the function that trains: Lightning takes seconds to load.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mlops.adapters import checkpoints
from mlops.core import learning
from mlops.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from mlops.core.networks import Preprocessed

KEPT = 3
"""Checkpoints kept: the newest, and two to fall back to."""


@dataclass(frozen=True)
class Examples:
    """Rows as tensors: images uint8 (N, H, W, C), labels int64 (N,), on any one device."""

    images: Tensor
    labels: Tensor


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
    """One row of `history.csv`: losses in nats, accuracy as a share, time in seconds."""

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


def fit(
    model: Preprocessed, train: Examples, validation: Examples, plan: Plan, folder: Path
) -> Fitted:
    """Train `model` in place and leave the best epoch's weights in it, on the CPU.

    Args:
        model: freshly built; when `folder` holds a whole checkpoint, training goes on from it.
        train: rows to fit, at least 2.
        validation: rows for early stopping, at least 1.
        plan: how to train.
        folder: for checkpoints, on a disk that survives the process.

    Raises:
        StepError: if SIGTERM came (the state is saved; run again to go on), if there are too few
            rows, or if the loss is no longer finite.
    """
    if len(train.labels) < 2 or len(validation.labels) < 1:
        msg = f"{len(train.labels)} training and {len(validation.labels)} validation rows"
        raise StepError(f"{msg}: need at least 2 and 1; ingest more data")
    if plan.threads:
        torch.set_num_threads(plan.threads)
    folder.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(validation, plan, folder)
    newest = checkpoints.newest_whole(folder)
    if newest is not None and _finished(newest, keeper):
        return keeper.finish(model)
    steps = _Steps(train, plan)
    task = _Task(model, steps, plan)
    try:
        with _quiet():
            _trainer(plan, keeper, folder).fit(
                task, train_dataloaders=steps, ckpt_path=None if newest is None else str(newest)
            )
    except SIGTERMException:
        msg = f"training stopped by SIGTERM in {keeper.stopped_at}; its state is saved"
        raise StepError(f"{msg}; to go on, run it again: mlops train") from None
    return keeper.finish(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop Lightning's tips on workers, loggers and GPUs: ours is the only progress log."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _trainer(plan: Plan, keeper: _Keeper, folder: Path) -> pl.Trainer:
    return pl.Trainer(
        accelerator="auto", devices=1, max_epochs=plan.epochs, callbacks=[keeper],
        plugins=[checkpoints.AtomicCheckpoints()], default_root_dir=folder, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False, barebones=False,
    )  # fmt: skip


def _finished(checkpoint: Path, keeper: _Keeper) -> bool:
    """Take over the state of a run that was killed after its last epoch, if this is one."""
    states = checkpoints.AtomicCheckpoints().load_checkpoint(checkpoint)["callbacks"]
    keeper.load_state_dict(states[keeper.state_key])
    return keeper.done


class _Steps:
    """The batches of one epoch after another, from memory; knows where it is, to be resumed."""

    def __init__(self, examples: Examples, plan: Plan) -> None:
        self.examples = examples
        self.epoch = 0
        self._plan = plan
        self._done = 0

    def __len__(self) -> int:
        return learning.batch_count(len(self.examples.labels), self._plan.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # A generator starts at the first `next`, when Lightning has set epoch and state.
        images, labels = self.examples.images, self.examples.labels
        order = learning.epoch_order(len(labels), self._plan.seed, self.epoch)
        first, size = self._done % len(self), self._plan.batch_size
        for number, batch in enumerate(learning.batches(images, labels, order, size, first)):
            self._done = (first + number + 1) % len(self)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the epoch and how many of its batches are done, for a checkpoint."""
        return {"epoch": self.epoch, "done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after so many batches; Lightning announces no epoch when it resumes within one."""
        self.epoch, self._done = state["epoch"], state["done"]


class _Task(pl.LightningModule):
    """What Lightning drives; all that matters is in `core.learning`."""

    def __init__(self, model: Preprocessed, steps: _Steps, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self._steps = steps
        self._plan = plan

    def on_fit_start(self) -> None:
        """Move the rows to the device once, not batch by batch."""
        rows = self._steps.examples
        self._steps.examples = Examples(rows.images.to(self.device), rows.labels.to(self.device))

    def on_train_epoch_start(self) -> None:
        """Tell the batches which epoch it is."""
        self._steps.epoch = self.current_epoch

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        torch.manual_seed(learning.step_seed(self._plan.seed, self.current_epoch, batch_idx))
        return learning.training_loss(self.model, *batch, augment=self._plan.augment)

    def configure_optimizers(self) -> Any:
        """Return optimiser and schedule, stepped once per batch."""
        optimizer = learning.optimiser(self.model, self._plan.hyperparameters)
        scheduler = learning.schedule(optimizer, self._plan.epochs * len(self._steps))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class _Keeper(pl.Callback):
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
        device = pl_module.device
        rows = Examples(self._validation.images.to(device), self._validation.labels.to(device))
        self._validation = rows
        scores = learning.score(model, rows.images, rows.labels)
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
        pace = sum(e.seconds for e in self._history) / len(self._history)
        get_logger().info(
            f"epoch {entry.epoch}/{self._plan.epochs}",
            loss=round(entry.train_loss, 4), validation_loss=round(entry.validation_loss, 4),
            accuracy=round(entry.validation_accuracy, 4), eta_s=round(left * pace),
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
