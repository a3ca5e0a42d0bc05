"""Step `train`: fit the candidate with the best hyper-parameters and export it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from mlops.params.base import View
from mlops.params.model import ModelSection
from mlops.params.train import TrainSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.export import Made
    from mlops.adapters.lightning import Examples, Fitted
    from mlops.core.learning import Hyperparameters
    from mlops.core.preprocessing import Preprocessed
    from mlops.core.schema import Schema

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
        StepError: if training was stopped by SIGTERM, diverged, or no model file is faithful.
    """
    from mlops.adapters import lightning, model_files
    from mlops.core import networks
    from mlops.core.statistics import parse_statistics

    layout = site.layout
    schema, split = model_files.read_split(layout.prepared)
    best = model_files.read_best(layout.tuned)
    model = _model(params, site, best)
    section = params.train
    plan = lightning.Plan(
        best, section.epochs, section.patience, params.model.batch_size, section.seed,
        params.model.augment, site.settings.threads,
    )  # fmt: skip
    validation = _examples(layout.prepared / "validation.npz")
    fitted = lightning.fit(
        model, _examples(layout.prepared / "train.npz"), validation, plan, site.work / "checkpoints"
    )
    card = {
        "schema": split["schema"], "split": split["split"],
        "network": networks.class_path(params.model.network, schema),
        "hyperparameters": asdict(best), **parse_statistics(split, "split.json").plain(),
        "trained_until_s": split["trained_until_s"], "epochs": fitted.best_epoch,
        "validation_loss": fitted.validation_loss,
    }  # fmt: skip
    held = validation.features.cpu().numpy()
    made, watched = _write(site, section, model, card, fitted, (held, schema))
    right = "accuracy" if schema.classes else "coverage"
    best_row = fitted.history[fitted.best_epoch - 1]
    return Report(
        f"epoch {fitted.best_epoch} of {len(fitted.history)} is best: validation loss "
        f"{fitted.validation_loss:.4f}, {right} {best_row.validation_accuracy:.4f}{_slower(made)}",
        facts={
            "epochs": len(fitted.history), "best_epoch": fitted.best_epoch, "parity": made.gap,
            "embedding_columns": watched,
            "validation_loss": fitted.validation_loss,
            "validation_accuracy": best_row.validation_accuracy, "runtime": made.runtime,
        },
    )  # fmt: skip


def _slower(made: Made) -> str:
    """Say that the model is no ONNX file, if it is none."""
    return f"; served by {made.runtime}, slower, for {made.why}" if made.why else ""


def _model(params: TrainParams, site: Site, best: Hyperparameters) -> Preprocessed:
    """Build the network with the seed's weights, and the split's normalisation before it."""
    import torch

    from mlops.adapters import model_files
    from mlops.core import networks
    from mlops.core.preprocessing import with_preprocessing
    from mlops.core.statistics import parse_statistics

    schema, split = model_files.read_split(site.layout.prepared)
    torch.manual_seed(params.train.seed)
    network = networks.build(
        params.model.network, schema, width_factor=best.width_factor, dropout=best.dropout
    )
    statistics = parse_statistics(split, str(site.layout.prepared / "split.json"))
    return with_preprocessing(network, statistics, schema)


def _write(  # noqa: PLR0917 - one folder made of many things
    site: Site,
    section: TrainSection,
    model: Preprocessed,
    card: dict[str, Any],
    fitted: Fitted,
    held: tuple[NDArray[Any], Schema],
) -> tuple[Made, int]:
    """Write `models/candidate/` with the help of rows that the model was not fitted on.

    Returns:
        What its model file is, and how many columns its embedding has.
    """
    from mlops.adapters import lightning, model_files
    from mlops.adapters.embedding import write_embedding
    from mlops.adapters.export import export

    folder = site.out(site.layout.candidate)
    folder.mkdir(parents=True, exist_ok=True)
    features, schema = held
    made = export(model, features[:PARITY_ROWS], schema, folder, section.parity)
    watched = write_embedding(folder, features) if made.runtime == "onnx" else 0
    model_files.write_weights(folder / model_files.WEIGHTS, model)
    model_files.write_card(folder / model_files.CARD, {**card, "runtime": made.runtime})
    shutil.copyfile(site.layout.prepared / model_files.SEEN, folder / model_files.SEEN)
    header = list(lightning.EpochLog.__dataclass_fields__)
    history = map(astuple, fitted.history)
    model_files.write_table(folder / model_files.HISTORY, header, history)
    return made, watched


def _examples(path: Path) -> Examples:
    import torch

    from mlops.adapters.lightning import Examples
    from mlops.adapters.snapshot import read_rows

    rows = read_rows(path)
    return Examples(torch.from_numpy(rows.features), torch.from_numpy(rows.label))
