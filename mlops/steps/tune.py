"""Step `tune`: search hyper-parameters on the training rows, judged on the validation rows."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.model import ModelSection
from mlops.params.tune import TuneSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from mlops.adapters.optuna import Report as Tell
    from mlops.adapters.snapshot import Rows
    from mlops.core.learning import Hyperparameters


class TuneParams(View):
    """What `tune` may see."""

    model: ModelSection
    tune: TuneSection


def tune(params: TuneParams, site: Site) -> Report:
    """Read `data/prepared/`, search, and write `models/tuned/` (best.json, trials.csv).

    A killed search goes on from the journal in the step's work folder.

    Raises:
        ParamsError: if the network is unknown.
        DataError: if the prepared rows are missing or damaged.
        StepError: if no trial finished, or the GPU's memory does not suffice.
    """
    from mlops.adapters import model_files, optuna
    from mlops.adapters.device import enough_memory

    section = params.tune
    space = optuna.Search(
        trials=section.trials, minutes=section.minutes, seed=section.seed,
        learning_rate=section.learning_rate, weight_decay=section.weight_decay,
        dropout=section.dropout, width_factor=section.width_factor,
    )  # fmt: skip
    with enough_memory():
        trainer = _Trainer(params, site)
    found = optuna.search(trainer.loss, space, site.work / "study.jsonl")
    folder = site.out(site.layout.tuned)
    model_files.write_best(folder, found.best, validation_loss=found.loss, trials=len(found.trials))
    header = list(optuna.TrialLog.__dataclass_fields__)
    model_files.write_table(folder / model_files.TRIALS, header, map(astuple, found.trials))
    ended = [t.state for t in found.trials]
    counts = f"{ended.count('complete')} finished, {ended.count('pruned')} pruned"
    return Report(
        f"{len(found.trials)} trials ({counts}); best validation loss {found.loss:.4f}",
        facts={**vars(found.best), "validation_loss": found.loss, "trials": len(found.trials)},
    )


class _Trainer:
    """Trains one short trial after another on the same rows, with what `train` uses too.

    A plain loop instead of Lightning's trainer: a trial may last a second, and needs no resume.
    """

    def __init__(self, params: TuneParams, site: Site) -> None:
        import torch

        from mlops.adapters import model_files
        from mlops.adapters.device import device
        from mlops.adapters.snapshot import read_rows
        from mlops.adapters.weighing import read_weights
        from mlops.core import networks
        from mlops.core.statistics import parse_statistics

        self._params = params
        self._schema, self._split = model_files.read_split(site.layout.prepared)
        networks.network_class(networks.class_path(params.model.network, self._schema))
        self._statistics = parse_statistics(self._split, str(site.layout.prepared / "split.json"))
        if site.settings.threads:
            torch.set_num_threads(site.settings.threads)
        self._device = device()
        prepared = site.layout.prepared
        rows = read_rows(prepared / "train.npz")
        weight = read_weights(prepared, len(rows))
        self._train = self._some(rows, *([] if weight is None else [weight]))
        features, labels = self._some(read_rows(prepared / "validation.npz"))
        self._validation = features, labels

    def _some(self, rows: Rows, *more: NDArray[np.float32]) -> tuple[torch.Tensor, ...]:
        """Return at most `tune.rows` rows, drawn with the seed, as tensors on the device."""
        import torch

        from mlops.core import learning
        from mlops.errors import DataError

        if len(rows) < 2:
            raise DataError(f"data/prepared: {len(rows)} rows on a side; need at least 2")
        section = self._params.tune
        chosen = learning.epoch_order(len(rows), section.seed, 0)[: section.rows].sort().values
        parts = (rows.features, rows.label, *more)
        return tuple(torch.from_numpy(part)[chosen].to(self._device) for part in parts)

    def loss(self, chosen: Hyperparameters, number: int, tell: Tell) -> float:
        """Train with `chosen` and return the last epoch's validation loss; NaN if none fits."""
        import torch
        from structlog import get_logger

        try:
            return self._trained(chosen, tell)
        except torch.OutOfMemoryError:  # a narrower network may fit
            get_logger().warning("the GPU's memory does not suffice", trial=number, **vars(chosen))
            torch.cuda.empty_cache()
            return float("nan")

    def _trained(self, chosen: Hyperparameters, tell: Tell) -> float:
        import torch

        from mlops.adapters.optuna import Pruned
        from mlops.core import networks
        from mlops.core.preprocessing import with_preprocessing
        from mlops.core.sprint import Course, sprint

        tuned, shared = self._params.tune, self._params.model
        torch.manual_seed(tuned.seed)  # the same for all: they differ by hyper-parameters only
        network = networks.build(
            shared.network, self._schema,
            width_factor=chosen.width_factor, dropout=chosen.dropout,
        )  # fmt: skip
        model = with_preprocessing(network, self._statistics, self._schema)
        model.to(self._device)
        course = Course(chosen, tuned.epochs, shared.batch_size, tuned.seed, shared.augment)
        loss = float("nan")
        for epoch, loss in enumerate(sprint(model, self._train, self._validation, course), 1):
            if tell(epoch, loss) and epoch < tuned.epochs:
                raise Pruned
        return loss
