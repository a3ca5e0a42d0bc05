"""Step `train`: fit the candidate with the best hyper-parameters and export it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from mlops.params.base import View
from mlops.params.model import ModelSection
from mlops.params.train import TrainSection
from mlops.site import Facts, Report, Site

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.export import Made
    from mlops.adapters.inherited import Inherited
    from mlops.adapters.int8 import Rounded
    from mlops.adapters.lightning import Examples, Fitted
    from mlops.core.learning import Hyperparameters
    from mlops.core.preprocessing import Preprocessed
    from mlops.core.schema import Schema
    from mlops.core.warm_start import Pedigree, Start

PARITY_ROWS = 512
"""Real rows on which the exported model is compared with the trained one."""


class TrainParams(View):
    """What `train` may see."""

    model: ModelSection
    train: TrainSection


def train(params: TrainParams, site: Site) -> Report:
    """Read `data/prepared/` and `models/tuned/`, fit, export, write `models/candidate/`.

    A killed training goes on from the newest whole checkpoint in the step's work folder. One that
    begins with the champion's weights (`models/inherited/`) answers for the champion's rows, too:
    they count as seen by the candidate.

    Raises:
        ParamsError: if the network is unknown.
        DataError: if an input is missing or damaged.
        StepError: if training was stopped by SIGTERM, diverged, or no model file is faithful.
    """
    from mlops.adapters import lightning, model_files
    from mlops.adapters.inherited import pedigree
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
    sides = _examples(layout.prepared, "train"), _examples(layout.prepared, "validation")
    described = {
        "schema": split["schema"], "split": split["split"],
        "network": networks.class_path(params.model.network, schema),
        "hyperparameters": asdict(best), **parse_statistics(split, "split.json").plain(),
    }  # fmt: skip
    start, champion = _begin(params, site, model, sides, pedigree(described), best)
    fitted = lightning.fit(model, *sides, plan, site.work / "checkpoints")
    card = {
        **described, "trained_until_s": _latest(split["trained_until_s"], champion),
        "epochs": fitted.best_epoch, "validation_loss": fitted.validation_loss,
        **({"start": asdict(start)} if start else {}),
    }  # fmt: skip
    made, watched, rounded = _write(site, section, model, card, fitted, schema)
    if champion:
        _remember(site.out(layout.candidate) / model_files.SEEN, champion.seen)
    found: Facts = {"parity": made.gap, "embedding_columns": watched, "runtime": made.runtime}
    told = _slower(made)
    if rounded is not None and section.int8 is not None:
        found |= {"int8": rounded.kept, "int8_loss": rounded.loss.value}
        told += f"; {rounded.words(section.int8)}"
    elif section.int8 is not None:
        told += "; int8 not taken: only ONNX files can be rounded"
    right = "accuracy" if schema.classes else "coverage"
    return _report(fitted, found, start, right, told)


def _report(fitted: Fitted, found: Facts, start: Start | None, right: str, slower: str) -> Report:
    best_row = fitted.history[fitted.best_epoch - 1]
    return Report(
        f"epoch {fitted.best_epoch} of {len(fitted.history)} is best: validation loss "
        f"{fitted.validation_loss:.4f}, {right} {best_row.validation_accuracy:.4f}{slower}"
        + (f"; {start.kind} start: {start.why}" if start else ""),
        facts={
            **found, "epochs": len(fitted.history), "best_epoch": fitted.best_epoch,
            "validation_loss": fitted.validation_loss,
            "validation_accuracy": best_row.validation_accuracy,
            **({"start": start.kind} if start else {}),
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


def _begin(  # noqa: PLR0917 - what a start depends on
    params: TrainParams,
    site: Site,
    model: Preprocessed,
    sides: tuple[Examples, Examples],
    own: Pedigree,
    best: Hyperparameters,
) -> tuple[Start | None, Inherited | None]:
    """Give the model its first weights; no start where the parameters leave no choice."""
    import torch

    from mlops.adapters.starting import Setting, begin
    from mlops.core.sprint import Course

    section, shared, layout = params.train, params.model, site.layout
    if section.start == "scratch":
        return None, None
    if site.settings.threads:
        torch.set_num_threads(site.settings.threads)
    course = Course(
        best, section.probe_epochs, shared.batch_size, section.seed, augment=shared.augment
    )
    setting = Setting(section.start, course, own, layout.inherited, layout.prepared)
    return begin(model, sides, setting)


def _latest(until_s: float | None, champion: Inherited | None) -> float | None:
    """Return the time of the newest row that the candidate, or what it began with, has seen."""
    known = [until_s, champion.trained_until_s if champion else None]
    return max((at for at in known if at is not None), default=None)


def _remember(path: Path, more: NDArray[Any]) -> None:
    """Add the champion's keys to those that the candidate has seen."""
    import numpy as np

    from mlops.adapters.files import replacing

    seen = np.union1d(np.load(path, allow_pickle=False), more)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, seen, allow_pickle=False)


def _write(  # noqa: PLR0917 - one folder made of many things
    site: Site,
    section: TrainSection,
    model: Preprocessed,
    card: dict[str, Any],
    fitted: Fitted,
    schema: Schema,
) -> tuple[Made, int, Rounded | None]:
    """Write `models/candidate/` with the help of rows that the model was not fitted on.

    Returns:
        What its model file is, how many columns its embedding has, and what came of rounding it.
    """
    from mlops.adapters import lightning, model_files
    from mlops.adapters.embedding import write_embedding
    from mlops.adapters.export import export
    from mlops.adapters.int8 import round_model
    from mlops.adapters.snapshot import read_rows

    folder, prepared = site.out(site.layout.candidate), site.layout.prepared
    folder.mkdir(parents=True, exist_ok=True)
    held = read_rows(prepared / "validation.npz")
    made = export(model, held.features[:PARITY_ROWS], schema, folder, section.parity)
    watched, rounded = 0, None
    if made.runtime == "onnx":
        watched = write_embedding(folder, held.features)
        if section.int8 is not None:
            seen = read_rows(prepared / "train.npz").features
            rounded = round_model(folder, seen, held, section.int8)
    model_files.write_weights(folder / model_files.WEIGHTS, model)
    model_files.write_card(folder / model_files.CARD, {
        **card, "runtime": made.runtime, **({"int8": asdict(rounded)} if rounded else {}),
    })  # fmt: skip
    shutil.copyfile(prepared / model_files.SEEN, folder / model_files.SEEN)
    header = list(lightning.EpochLog.__dataclass_fields__)
    history = map(astuple, fitted.history)
    model_files.write_table(folder / model_files.HISTORY, header, history)
    return made, watched, rounded


def _examples(prepared: Path, side: str) -> Examples:
    import torch

    from mlops.adapters.lightning import Examples
    from mlops.adapters.snapshot import read_rows
    from mlops.adapters.weighing import read_weights

    rows = read_rows(prepared / f"{side}.npz")
    weight = read_weights(prepared, len(rows)) if side == "train" else None
    return Examples(
        torch.from_numpy(rows.features), torch.from_numpy(rows.label),
        None if weight is None else torch.from_numpy(weight),
    )  # fmt: skip
