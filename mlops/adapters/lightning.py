"""Training with Lightning: from memory, checkpointed each epoch, resumable, stoppable.

Whatever happens to the process, the weights come out the same: the order of rows is a function of
seed and epoch, dropout and augmentation of seed, epoch and batch, and a checkpoint holds the rest.
On a GPU as far as PyTorch has deterministic kernels for the network; where not, the log says so.
Import this module inside the function that trains: Lightning takes seconds to load.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mlops.adapters import checkpoints
from mlops.adapters.device import device, enough_memory
from mlops.adapters.keeper import EpochLog, Examples, Fitted, Keeper, Plan
from mlops.core import learning
from mlops.errors import StepError

__all__ = ["EpochLog", "Examples", "Fitted", "Plan", "fit"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

    from mlops.core.preprocessing import Preprocessed


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
            rows, if the GPU's memory does not suffice, or if the loss is no longer finite.
    """
    if len(train.labels) < 2 or len(validation.labels) < 1:
        msg = f"{len(train.labels)} training and {len(validation.labels)} validation rows"
        raise StepError(f"{msg}: need at least 2 and 1; ingest more data")
    if plan.threads:
        torch.set_num_threads(plan.threads)
    folder.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(validation, plan, folder)
    newest = checkpoints.newest_whole(folder)
    if newest is not None and _finished(newest, keeper):
        return keeper.finish(model)
    steps = _Steps(train, plan)
    task = _Task(model, steps, plan)
    try:
        with _quiet(), enough_memory():
            _trainer(plan, keeper, folder).fit(
                task, train_dataloaders=steps, ckpt_path=None if newest is None else str(newest)
            )
    except SIGTERMException:
        msg = f"training stopped by SIGTERM in {keeper.stopped_at}; its state is saved"
        raise StepError(f"{msg}; to go on, run it again: mlops train") from None
    return keeper.finish(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop Lightning's tips on workers, loggers and GPUs: ours is the only progress log.

    But for what would not be the same if the training were interrupted.
    """
    from structlog import get_logger

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("once", message=".*deterministic")
        try:
            yield
        finally:  # also of a training that was stopped: it is what will go on
            for text in sorted({str(one.message).partition(". ")[0] for one in caught}):
                get_logger().warning("this network does not train alike twice", why=text)


def _trainer(plan: Plan, keeper: Keeper, folder: Path) -> pl.Trainer:
    return pl.Trainer(
        accelerator=device().type, devices=1, max_epochs=plan.epochs, callbacks=[keeper],
        plugins=[checkpoints.AtomicCheckpoints()], default_root_dir=folder, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False, barebones=False,
    )  # fmt: skip


def _finished(checkpoint: Path, keeper: Keeper) -> bool:
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

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # A generator starts at the first `next`, when Lightning has set epoch and state.
        rows = self.examples
        order = learning.epoch_order(len(rows.labels), self._plan.seed, self.epoch)
        first, size = self._done % len(self), self._plan.batch_size
        dealt = learning.batches(rows.features, rows.labels, order, size, first, rows.weights)
        for number, batch in enumerate(dealt):
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
        self._steps.examples = self._steps.examples.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Tell the batches which epoch it is."""
        self._steps.epoch = self.current_epoch

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
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
