"""Deal the rows of a snapshot: sides of the split, the gate's recent rows, the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

ENOUGH_PRODUCTION = 300
"""With so many held-out production rows the reference is made of those alone: it should look
like what the new model will see, not like what the first one saw."""


@dataclass(frozen=True)
class SplitRows:
    """What the deal depends on, one entry per row, all of shape (N,).

    Attributes:
        side: text: train, validation, test.
        labelled: bool.
        production: bool.
        observed_s: float64, seconds since 1970; NaN where there is no time.
        key: uint64, `key_hash` of the split key.
        active: bool: labelled because a model was unsure, hence no fair sample.
    """

    side: NDArray[np.str_]
    labelled: Mask
    production: Mask
    observed_s: NDArray[np.float64]
    key: NDArray[np.uint64]
    active: Mask


@dataclass(frozen=True)
class Partition:
    """Which rows go where; a row of `recent` or `reference` is never one of `train`.

    Attributes:
        cutoff_s: production rows observed later are kept from training; None without any.
        trained_until_s: the latest time among rows of train and validation; None without times.
        train: indices, ascending, as the next three.
        validation: for early stopping and tuning.
        test: held-out rows as old as those trained on.
        recent: held-out production rows later than everything trained on.
        reference: rows that were not fitted on, production before base, newest first.
        seen: uint64, sorted, unique: keys of train and validation.
    """

    cutoff_s: float | None
    trained_until_s: float | None
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    recent: NDArray[np.int64]
    reference: NDArray[np.int64]
    seen: NDArray[np.uint64]


def partition(
    rows: SplitRows, *, recent_share: float, gap_s: float, reference_rows: int
) -> Partition:
    """Deal every row.

    Args:
        rows: the snapshot.
        recent_share: share of the labelled production rows, the newest, kept from training.
        gap_s: seconds after the cutoff in which no row may be used as evidence.
        reference_rows: most rows of the reference.
    """
    cutoff_s = _cutoff(rows, recent_share)
    old = ~rows.production
    late = np.zeros(len(rows.side), dtype=np.bool_)
    if cutoff_s is not None:
        old |= rows.observed_s <= cutoff_s
        late = rows.production & (rows.observed_s > cutoff_s)
        late &= rows.observed_s >= cutoff_s + gap_s
    fit = {s: rows.labelled & old & (rows.side == s) for s in ("train", "validation", "test")}
    fitted = fit["train"] | fit["validation"]
    seen = np.unique(rows.key[fitted])
    times = rows.observed_s[fitted & ~np.isnan(rows.observed_s)]
    held_out = rows.side == "test"
    return Partition(
        cutoff_s=cutoff_s,
        trained_until_s=float(times.max()) if len(times) else None,
        train=np.flatnonzero(fit["train"]),
        validation=np.flatnonzero(fit["validation"]),
        test=np.flatnonzero(fit["test"]),
        recent=np.flatnonzero(rows.labelled & late & held_out & ~rows.active),
        reference=_reference(rows, late, held_out, reference_rows),
        seen=seen,
    )


def _cutoff(rows: SplitRows, recent_share: float) -> float | None:
    times = np.sort(rows.observed_s[rows.labelled & rows.production])
    times = times[~np.isnan(times)]
    if len(times) == 0:
        return None
    recent = min(int(len(times) * recent_share), len(times) - 1)
    return float(times[len(times) - recent - 1])


def _reference(rows: SplitRows, late: Mask, held_out: Mask, most: int) -> NDArray[np.int64]:
    """Return the late production rows; if those are few, older ones of the test side; then base.

    The late rows of any side qualify, also those whose entity was seen: nothing later than the
    cutoff was fitted on, and entities come back in production just as often. A reference of
    unseen entities alone would be of fewer ones, and of others than the windows are. Older rows
    are taken only as far as needed: they may show a world that is gone.
    """
    newest = _newest_first(rows, late)
    early = _newest_first(rows, held_out & rows.production & ~late)
    production = np.concatenate([newest, early[: max(ENOUGH_PRODUCTION - len(newest), 0)]])
    if len(production) >= ENOUGH_PRODUCTION:
        return production[:most]
    base = _newest_first(rows, held_out & ~rows.production)
    return np.concatenate([production, base])[:most]


def _newest_first(rows: SplitRows, mask: Mask) -> NDArray[np.int64]:
    """Return the indices of a mask, newest first, rows without a time last.

    Equal times are ordered by the key's hash: in a source without times that is sorted by
    class, the first rows would all be of one class.
    """
    index = np.flatnonzero(mask)
    return index[np.lexsort((rows.key[index], -rows.observed_s[index]))]
