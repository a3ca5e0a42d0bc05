"""Step `train`: fit the candidate with the best hyper-parameters and export it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.model import ModelSection
from mlops.params.train import TrainSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.adapters.lightning import Examples, Fitted

PARITY_ROWS = 512
"""Real rows on which the exported model is compared with the trained one."""


class TrainParams(View):
    """What `train` may see."""

    model: ModelSection
    train: TrainSection


def train(params: TrainParams, site: Site) -> Report:
    """Read `data/prepared/` and `models/tuned/`, fit, export, write `models/candidate/`.

    A killed training goes on from the newest whole checkpoint in the step's work folder.

    Raises:
        ParamsError: if the network is unknown.
        DataError: if an input is missing or damaged.
        StepError: if training was stopped by SIGTERM, diverged, or the export is not faithful.
    """
    import torch

    from mlops.adapters import lightning, model_files, onnx
    from mlops.adapters.snapshot import read_rows
    from mlops.core import networks

    layout, section = site.layout, params.train
    schema, split = model_files.read_split(layout.prepared)
    best = model_files.read_best(layout.tuned)
    torch.manual_seed(section.seed)
    network = networks.build(
        params.model.network, schema, width_factor=best.width_factor, dropout=best.dropout
    )
    model = networks.with_preprocessing(network, split["mean"], split["std"])
    plan = lightning.Plan(
        best, section.epochs, section.patience, section.batch_size, section.seed,
        section.augment, site.settings.threads,
    )  # fmt: skip
    validation = read_rows(layout.prepared / "validation.npz")
    fitted = lightning.fit(
        model,
        _examples(layout.prepared / "train.npz"),
        _examples(layout.prepared / "validation.npz"),
        plan,
        site.work / "checkpoints",
    )
    folder = site.out(layout.candidate)
    folder.mkdir(parents=True, exist_ok=True)
    parity = onnx.export(
        model, validation.image[:PARITY_ROWS], folder / model_files.MODEL, section.parity
    )
    model_files.write_weights(folder / model_files.WEIGHTS, model)
    model_files.write_card(folder / model_files.CARD, {
        "schema": split["schema"], "network": params.model.network,
        "hyperparameters": asdict(best), "mean": split["mean"], "std": split["std"],
        "trained_until_s": split["trained_until_s"], "epochs": fitted.best_epoch,
        "validation_loss": fitted.validation_loss, "runtime": "onnx",
    })  # fmt: skip
    shutil.copyfile(layout.prepared / model_files.SEEN, folder / model_files.SEEN)
    _write_history(folder / model_files.HISTORY, fitted)
    best_row = fitted.history[fitted.best_epoch - 1]
    return Report(
        f"epoch {fitted.best_epoch} of {len(fitted.history)} is best: validation loss "
        f"{fitted.validation_loss:.4f}, accuracy {best_row.validation_accuracy:.4f}",
        facts={
            "epochs": len(fitted.history), "best_epoch": fitted.best_epoch, "parity": parity,
            "validation_loss": fitted.validation_loss,
            "validation_accuracy": best_row.validation_accuracy,
        },
    )  # fmt: skip


def _examples(path: Path) -> Examples:
    import torch

    from mlops.adapters.lightning import Examples
    from mlops.adapters.snapshot import read_rows

    rows = read_rows(path)
    return Examples(torch.from_numpy(rows.image), torch.from_numpy(rows.label))


def _write_history(path: Path, fitted: Fitted) -> None:
    from mlops.adapters import lightning, model_files

    header = list(lightning.EpochLog.__dataclass_fields__)
    model_files.write_table(path, header, map(astuple, fitted.history))
