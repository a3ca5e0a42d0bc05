"""What fits a model in a backtest: boosted trees that stand in for the network, or the network."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.threads import one_thread
from mlops.core.learning import Hyperparameters
from mlops.core.past_service import Learnt
from mlops.core.schema import QUANTILES, TableSchema, TextSchema, outputs
from mlops.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.adapters.lightning import Examples
    from mlops.core.past import Past
    from mlops.core.past_service import Weights
    from mlops.core.schema import Schema
    from mlops.params.model import ModelSection
    from mlops.params.train import TrainSection

QUICK = "boosted trees (scikit-learn's HistGradientBoosting) in place of the project's network"
UNTUNED = Hyperparameters(learning_rate=0.002, weight_decay=1e-4, dropout=0.1, width_factor=1.0)
"""The middle of the search space, where `mlops tune` has not searched it."""
_TREES = 60
_MOST_CODES = 255  # of a category, HistGradientBoosting's own limit
_BATCH_ROWS = 4096


def quick(schema: Schema) -> Quick:
    """Return the stand-in for a schema.

    Raises:
        UsageError: if the examples are texts, of which it learns nothing.
    """
    if isinstance(schema, TextSchema):
        msg = "backtest.model = quick: it learns no texts; run with -S backtest.model=project"
        raise UsageError(msg)
    return Quick(schema)


@dataclass(frozen=True)
class Quick:
    """Fits boosted trees on tables, and on the pixels of images, in about a second."""

    schema: Schema

    def __call__(self, train: Past, validation: Past, weights: tuple[Weights, Weights]) -> Learnt:
        """Fit on both sides: there is nothing that a validation side would choose."""
        start_s = time.perf_counter()
        features = self._flat(np.concatenate([train.features, validation.features]))
        label, weight = np.concatenate([train.label, validation.label]), np.concatenate(weights)
        if self.schema.classes:
            with one_thread():
                model = self._trees().fit(features, label, weight)
            places = model.classes_.astype(np.int64)

            def answers(given: NDArray[Any]) -> NDArray[np.float32]:
                """Return probabilities; of a class that no row had, nothing."""
                said = np.zeros((len(given), len(self.schema.classes)), dtype=np.float32)
                if len(given):
                    with one_thread():
                        said[:, places] = model.predict_proba(self._flat(given))
                return said
        else:
            with one_thread():
                models = [self._trees(q).fit(features, label, weight) for q in QUANTILES]

            def answers(given: NDArray[Any]) -> NDArray[np.float32]:
                """Return quantiles, in order where the trees cross them."""
                if not len(given):
                    return np.zeros((0, len(QUANTILES)), dtype=np.float32)
                with one_thread():
                    told = [model.predict(self._flat(given)) for model in models]
                return np.sort(np.column_stack(told).astype(np.float32), axis=1)

        return Learnt(answers, (time.perf_counter() - start_s) / 60)

    def _trees(self, quantile: float | None = None) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        how = {
            "max_iter": _TREES, "early_stopping": False, "random_state": 0,
            "categorical_features": self._codes(),
        }  # fmt: skip
        if quantile is None:
            return HistGradientBoostingClassifier(**how)
        return HistGradientBoostingRegressor(loss="quantile", quantile=quantile, **how)

    def _codes(self) -> list[int] | None:
        """Return the columns of names that trees may take for names, by their number of codes."""
        if not isinstance(self.schema, TableSchema):
            return None
        return [
            place for place, column in enumerate(self.schema.columns)
            if column.kind == "category" and len(column.categories) < _MOST_CODES
        ]  # fmt: skip

    def _flat(self, features: NDArray[Any]) -> NDArray[np.float64]:
        flat = features.reshape(len(features), -1).astype(np.float64)
        if isinstance(self.schema, TableSchema):  # an unknown name is as good as none
            named = [c.kind == "category" for c in self.schema.columns]
            flat[:, named] = np.where(flat[:, named] < 0, np.nan, flat[:, named])
        return flat


@dataclass(frozen=True)
class Project:
    """Fits the project's own network, as `mlops train` does, without exporting it."""

    schema: Schema
    model: ModelSection
    train: TrainSection
    chosen: Hyperparameters
    threads: int

    def __call__(self, train: Past, validation: Past, weights: tuple[Weights, Weights]) -> Learnt:
        """Fit on the training side; the validation side says when to stop."""
        import torch

        from mlops.adapters import lightning
        from mlops.core import networks
        from mlops.core.preprocessing import with_preprocessing
        from mlops.core.statistics import measure

        start_s = time.perf_counter()
        torch.manual_seed(self.train.seed)
        network = networks.build(
            self.model.network, self.schema, width_factor=self.chosen.width_factor,
            dropout=self.chosen.dropout,
        )  # fmt: skip
        statistics = measure(train.features, train.label, self.schema)
        model = with_preprocessing(network, statistics, self.schema)
        plan = lightning.Plan(
            self.chosen, self.train.epochs, self.train.patience, self.model.batch_size,
            self.train.seed, self.model.augment, self.threads,
        )  # fmt: skip
        sides = _sides(train, validation, weights[0])
        with tempfile.TemporaryDirectory() as folder:
            lightning.fit(model, sides[0], sides[1], plan, Path(folder))
        model.eval()

        def answers(given: NDArray[Any]) -> NDArray[np.float32]:
            """Return what the exported file would answer."""
            said = np.zeros((len(given), outputs(self.schema)), dtype=np.float32)
            with torch.no_grad():
                for start in range(0, len(given), _BATCH_ROWS):
                    part = slice(start, start + _BATCH_ROWS)
                    said[part] = model(torch.from_numpy(given[part])).numpy()
            return said

        return Learnt(answers, (time.perf_counter() - start_s) / 60)


def _sides(train: Past, validation: Past, weight: NDArray[np.float64]) -> list[Examples]:
    """Return both sides as tensors; equal weights are none, as `mlops train` has it."""
    import torch

    from mlops.adapters.lightning import Examples

    weights = None if (weight == 1.0).all() else torch.from_numpy(weight.astype(np.float32))
    made = [(torch.from_numpy(s.features), torch.from_numpy(s.label)) for s in (train, validation)]
    return [Examples(*made[0], weights), Examples(*made[1])]
