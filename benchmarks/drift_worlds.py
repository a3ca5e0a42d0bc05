"""Worlds in which every window is clean, and digits that are corrupted by a known amount."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from mlops.core.columns import Columns, columns
from mlops.core.corruption import CorruptionName, corrupt
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENTITIES = "entities"
DEPENDENCES = ("independent", "correlated", "autocorrelated", ENTITIES)
CLASSES = 10
_FACTORS = 3
_SHARED = 0.6  # share of a column's variance that comes from the factors
_PHI = 0.7  # of one row on the row before: 5.7 rows are worth one independent row
_EACH = 5  # rows of an entity in the reference, in no order; windows are of other entities
_ALIKE = 0.7  # share of a column's variance that rows of an entity have in common
_FITTED = 500  # digits that the classifier is fitted on; the rest are the population


@dataclass(frozen=True)
class World:
    """Where clean rows come from.

    Attributes:
        rows: of a window.
        width: columns, the categorical one included.
        dependence: one of `DEPENDENCES`.
    """

    rows: int
    width: int
    dependence: str

    @property
    def name(self) -> str:
        """The cell in words."""
        return f"{self.rows} rows × {self.width} columns, {self.dependence}"

    @property
    def reference_rows(self) -> int:
        """Rows of the reference: the default, and never fewer than two windows."""
        return max(2000, 2 * self.rows)

    def reference(self, rng: np.random.Generator) -> tuple[Columns, NDArray[np.uint64]]:
        """Draw a reference, and whose each of its rows is; uint64, (N,)."""
        key = np.arange(self.reference_rows, dtype=np.uint64)
        if self.dependence == ENTITIES:
            key = rng.permutation(key // np.uint64(_EACH))
        return self.draw(rng, self.reference_rows, key), key

    def draw(
        self, rng: np.random.Generator, rows: int, key: NDArray[np.uint64] | None = None
    ) -> Columns:
        """Draw rows that follow each other, a third each of the columns normal, skewed and counts.

        Half of the counts, and with five columns the one, are of rare events: mostly 0.

        Correlated columns share three factors, and are watched with their residuals. Rows of one
        key share most of what they are.
        """
        z = rng.standard_normal((rows, self.width), dtype=np.float32).astype(np.float64)
        if self.dependence == "correlated":
            common = rng.standard_normal((rows, _FACTORS))
            loading = np.random.default_rng(self.width).standard_normal((_FACTORS, self.width))
            loading /= np.linalg.norm(loading, axis=0)
            z = np.sqrt(1 - _SHARED) * z + np.sqrt(_SHARED) * (common @ loading)
        if self.dependence == ENTITIES and key is not None:
            whose = rng.standard_normal((int(key.max()) + 1, self.width))[key]
            z = np.sqrt(1 - _ALIKE) * z + np.sqrt(_ALIKE) * whose
        if self.dependence == "autocorrelated":
            start = z[:1] * _PHI  # stationary from the first row
            z = signal.lfilter([np.sqrt(1 - _PHI**2)], [1, -_PHI], z, axis=0, zi=start)[0]
        predicted = np.clip(np.floor(z[:, -1] * 2 + CLASSES / 2), 0, CLASSES - 1)
        values = z[:, :-1]
        values[:, 1::3] = np.exp(values[:, 1::3] / 2)
        values[:, 5::6] = np.rint(2 * values[:, 5::6])
        values[:, 2::6] = np.maximum(np.rint(2 * values[:, 2::6] - 2.8), 0.0)  # 1 in 20 is not 0
        names = tuple(f"c{i}" for i in range(self.width - 1))
        return Columns(names, values, predicted.astype(np.int64), CLASSES)


@dataclass(frozen=True)
class Shift:
    """A share of a window's digits, corrupted at a severity."""

    corruption: CorruptionName
    severity: int
    share: float

    @property
    def name(self) -> str:
        """The shift in words."""
        return f"{self.corruption} {self.severity} of {100 * self.share:.0f} %"


@cache
def _digits() -> tuple[NDArray[np.uint8], object]:
    """Return held-out digits, uint8 (N, 8, 8, 1), and a classifier fitted on the others."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data = load_digits()
    images = np.minimum(data.images * 16, 255).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(images))
    fitted, held = order[:_FITTED], order[_FITTED:]
    model = LogisticRegression(max_iter=300)
    model.fit(images[fitted].reshape(_FITTED, -1) / 255, data.target[fitted])
    return images[held], model


def _seen(images: NDArray[np.uint8]) -> Columns:
    model = _digits()[1]
    flat = images.reshape(len(images), -1) / 255
    answers = model.predict_proba(flat).astype(np.float32)  # type: ignore[attr-defined]
    return columns(images, answers, ImageSchema(tuple("0123456789"), *images.shape[1:]))


@cache
def digits() -> Columns:
    """Return the population: the monitored columns of the held-out digits."""
    return _seen(_digits()[0])


@cache
def corrupted(name: CorruptionName, severity: int) -> Columns:
    """Return the same digits, each corrupted."""
    return _seen(corrupt(_digits()[0], name, severity, np.random.default_rng(severity)))


def shifted(rng: np.random.Generator, rows: int, shift: Shift | None) -> Columns:
    """Draw a window of digits with replacement, a share of them corrupted."""
    clean = digits()
    index = rng.integers(len(clean), size=rows)
    window = clean.take(index)
    if shift is None:
        return window
    bad = corrupted(shift.corruption, shift.severity).take(index)
    hit = rng.random(rows) < shift.share
    return Columns(
        clean.names, np.where(hit[:, np.newaxis], bad.values, window.values),
        np.where(hit, bad.predicted, window.predicted), clean.classes,
    )  # fmt: skip
