"""`reference.npz` of a version's folder: held-out rows with the answers to them, as they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import read_json
from mlops.adapters.snapshot import has_label
from mlops.core.quality import sound
from mlops.core.schema import parse_schema
from mlops.errors import DataError, MonitorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.schema import Schema


@dataclass(frozen=True)
class Reference:
    """The N rows.

    Attributes:
        schema: of the version.
        features: (N, *shape) of the schema.
        answers: (N, K): probabilities, or quantiles.
        label: (N,): indices of classes, or numbers; some may have none.
        observed_s: (N,): seconds since 1970; NaN where it is not known.
        key: (N,): hash of each row's split key.
        fit: (N,): whether the answer is sound.
    """

    schema: Schema
    features: NDArray[Any]
    answers: NDArray[np.float32]
    label: NDArray[Any]
    observed_s: NDArray[np.float64]
    key: NDArray[np.uint64]
    fit: NDArray[np.bool_]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a sound answer and a label; bool (N,)."""
        return has_label(self.label) & self.fit


def read_reference(folder: Path) -> Reference:
    """Read the reference of a model folder.

    Raises:
        MonitorError: if it is missing, damaged or empty: unknown is not healthy.
    """
    path, model = folder / "reference.npz", folder / "model.json"
    try:
        schema = parse_schema(read_json(model).get("schema"), str(model))
        with np.load(path, allow_pickle=False) as stored:
            features, answers = stored["features"], stored["probabilities"]
            label = stored["label"]
            times = stored["observed_s"] if "observed_s" in stored else np.full(len(label), np.nan)
            key = stored["key"] if "key" in stored else np.arange(len(label), dtype=np.uint64)
    except (OSError, ValueError, KeyError, EOFError, DataError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    fit = np.zeros(0, dtype=bool)
    if answers.ndim == 2:
        fit = sound(answers, regression=not schema.classes)
    if features.shape[1:] != schema.shape or len(fit) != len(features) or fit.sum() < 2:
        msg = f"{path}: {int(fit.sum())} usable rows of {len(features)}; run: mlops evaluate"
        raise MonitorError(msg)
    return Reference(schema, features, answers, label, times, key, fit)
