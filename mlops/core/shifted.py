"""Examples and labels after a shift of `mlops.core.drill`.

Corruptions and disturbances are those of `mlops.core.corruption` and `mlops.core.disturbance`;
here are besides them single columns that move, categories and words that nobody knows, and labels
that no longer follow from the examples (concept shift).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core import disturbance
from mlops.core.drill import severity, targets
from mlops.core.schema import UNKNOWN_CATEGORY, TableSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.drill import Shift
    from mlops.core.schema import Schema

    Random = np.random.Generator

_LETTERS = b"qxzjkvw"  # of made-up words


def shifted(
    features: NDArray[Any], schema: Schema, shift: Shift, spread_D: NDArray[np.float64], rng: Random
) -> NDArray[Any]:
    """Return shifted copies of examples; equal generators give equal copies.

    Args:
        features: (N, *shape) of the schema.
        schema: of the examples.
        shift: of `known_shifts`; `mix` and `concept` change no example.
        spread_D: standard deviation of each column of a table, (D,); of other kinds unused.
        rng: the only source of chance.
    """
    name, by = shift.known.name, shift.strength
    if name in ("mix", "concept") or len(features) == 0:
        return features.copy()
    if name in disturbance.names(schema) and name != "missing":
        return disturbance.disturb(features, schema, name, severity(by), rng)
    if isinstance(schema, TableSchema):
        return _table(features, schema, shift, spread_D, rng)
    return _truncated(features, by) if name == "truncate" else _unknown(features, by, rng)


def relabelled(
    labels: NDArray[Any], classes: int, shift: Shift, spread: float, rng: Random
) -> NDArray[Any]:
    """Return the truth under a shift of the concept; under any other the labels as they are.

    Args:
        labels: (N,), indices of classes or numbers.
        classes: how many; 0 for numbers.
        shift: what is sent.
        spread: standard deviation of numbers.
        rng: the only source of chance.
    """
    if shift.known.name != "concept":
        return labels
    if not classes:
        return np.asarray(labels + shift.strength * spread)
    hit = rng.random(len(labels)) < shift.strength
    return np.where(hit, (labels + 1) % classes, labels)


def _table(
    row_ND: NDArray[Any], schema: TableSchema, shift: Shift, spread_D: NDArray[Any], rng: Random
) -> NDArray[Any]:
    chosen = (shift.on,) if shift.on else targets(shift.known, schema)
    at = np.array([column.name in chosen for column in schema.columns])
    name, by = shift.known.name, shift.strength
    if name == "shift":
        return np.where(at, row_ND + by * spread_D, row_ND)
    if name == "scale":
        return np.where(at, row_ND * by, row_ND)
    hit = at & (rng.random(row_ND.shape) < by)
    return np.where(hit, np.nan if name == "missing" else UNKNOWN_CATEGORY, row_ND)


def _truncated(byte_NL: NDArray[Any], share: float) -> NDArray[np.uint8]:
    length_N = (byte_NL > 0).sum(axis=1)
    kept_N = np.maximum(np.rint(length_N * (1.0 - share)), 1)
    inside = np.arange(byte_NL.shape[1]) < kept_N[:, np.newaxis]
    return np.where(inside, byte_NL, 0).astype(np.uint8)


def _unknown(byte_NL: NDArray[Any], share: float, rng: Random) -> NDArray[np.uint8]:
    """Replace the letters of a share of the words by rare ones: length and case stay."""
    blank = (byte_NL == 0) | (byte_NL == ord(" "))
    word_NL = np.cumsum(blank, axis=1)  # number of the word that a byte belongs to
    hit_NW = rng.random((len(byte_NL), byte_NL.shape[1] + 1)) < share
    lower = byte_NL | 0x20
    letter = (lower >= ord("a")) & (lower <= ord("z"))
    hit = letter & np.take_along_axis(hit_NW, word_NL, axis=1)
    out: NDArray[np.uint8] = byte_NL.copy()
    made = rng.choice(np.frombuffer(_LETTERS, dtype=np.uint8), int(hit.sum()))
    out[hit] = made & (byte_NL[hit] | 0xDF)  # the bit of the case as it was
    return out
