"""What may happen to examples of any kind on their way to a model, at five severities.

Images meet the suite of `mlops.core.corruption`. Tables: `noise` on numbers, in shares of each
column's standard deviation; `missing` values; `swap`, values of other rows. Texts: `typos`,
`drops` and `swaps` of letters (cf. Y. Belinkov, Y. Bisk, Synthetic and natural noise both break
neural machine translation, 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mlops.core import corruption
from mlops.core.corruption import SEVERITIES
from mlops.core.schema import ImageSchema, TableSchema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.corruption import CorruptionName
    from mlops.core.schema import Schema

TABLE = ("noise", "missing", "swap")
TEXT = ("typos", "drops", "swaps")
_NOISE = (0.05, 0.1, 0.2, 0.4, 0.8)  # standard deviations
_VALUES = (0.02, 0.05, 0.1, 0.2, 0.4)  # share of a table's values
_LETTERS = (0.02, 0.04, 0.08, 0.15, 0.25)  # share of a text's letters


def names(schema: Schema) -> tuple[str, ...]:
    """Return what may happen to examples of a kind."""
    if isinstance(schema, ImageSchema):
        return corruption.NAMES
    return TABLE if isinstance(schema, TableSchema) else TEXT


def disturb(
    features: NDArray[Any], schema: Schema, name: str, severity: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Return disturbed copies of examples; equal generators give equal copies.

    Args:
        features: (N, *shape) of the schema.
        schema: of the examples.
        name: one of `names(schema)`.
        severity: 1 to 5.
        rng: the only source of chance.

    Raises:
        ValueError: naming what is unknown.
    """
    if isinstance(schema, ImageSchema):
        return corruption.corrupt(features, cast("CorruptionName", name), severity, rng)
    if name not in names(schema) or severity not in SEVERITIES:
        known = ", ".join(names(schema))
        raise ValueError(f"{name!r} at severity {severity!r}: one of {known}, at 1 to 5")
    if len(features) == 0:
        return features.copy()
    if isinstance(schema, TableSchema):
        return _table(features, schema, name, severity - 1, rng)
    return _text(features, name, _LETTERS[severity - 1], rng)


def disturb_mix(
    features: NDArray[Any], schema: Schema, severity: int, rng: np.random.Generator
) -> NDArray[Any]:
    """Return copies of which each has one disturbance, drawn with equal chances."""
    if isinstance(schema, ImageSchema):
        return corruption.corrupt_mix(features, corruption.NAMES, severity, rng)
    known = names(schema)
    drawn = rng.integers(len(known), size=len(features))
    changed = features.copy()
    for index, name in enumerate(known):
        # All rows, of which some are taken: what is swapped comes from any of them.
        changed[drawn == index] = disturb(features, schema, name, severity, rng)[drawn == index]
    return changed


def _table(
    row_ND: NDArray[Any], schema: TableSchema, name: str, level: int, rng: np.random.Generator
) -> NDArray[Any]:
    hit = rng.random(row_ND.shape) < _VALUES[level]
    if name == "missing":
        return np.where(hit, np.nan, row_ND)
    if name == "swap":
        others = rng.permuted(row_ND, axis=0)
        return np.where(hit, others, row_ND)
    number = np.array([column.kind == "number" for column in schema.columns])
    known = np.where(np.isnan(row_ND), 0.0, row_ND)
    spread = np.where(number, known.std(axis=0), 0.0)
    return np.asarray(row_ND + rng.normal(0.0, _NOISE[level], row_ND.shape) * spread)


def _text(
    byte_NL: NDArray[Any], name: str, share: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    lower = byte_NL | 0x20
    letter = (lower >= ord("a")) & (lower <= ord("z"))
    hit = letter & (rng.random(byte_NL.shape) < share)
    out: NDArray[np.uint8] = byte_NL.copy()
    if name == "typos":
        out[hit] = rng.integers(ord("a"), ord("z") + 1, int(hit.sum()), dtype=np.uint8)
    elif name == "drops":
        for row, gone in zip(out, hit, strict=True):
            kept = row[~gone]
            row[:] = 0
            row[: len(kept)] = kept
    else:
        first = hit[:, :-1] & letter[:, 1:]
        first[:, 1:] &= ~first[:, :-1]  # a letter is swapped once
        row, at = np.nonzero(first)
        out[row, at], out[row, at + 1] = byte_NL[row, at + 1], byte_NL[row, at]
    return out
