"""Data quality of a window: what is broken is not drift, and blocks retraining."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SUM_TOLERANCE = 1e-3  # float32 softmax over some hundred classes stays far inside
_BLANK_EXTRA = 0.05
_BLANK_FACTOR = 3.0
_STUCK_SHARE = 0.5
_SLOW_FACTOR = 20.0
_SLOW_S = 3600.0
_HISTORY = 5


@dataclass(frozen=True)
class Arrivals:
    """How a window came in.

    Attributes:
        wrong_size: rows whose image has not the schema's size.
        example_ids: identity of each row.
        duration_s: from the first row to the last.
        earlier_s: durations of the windows before, any number of them.
    """

    wrong_size: int
    example_ids: Sequence[str]
    duration_s: float
    earlier_s: Sequence[float]


def sound(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say of each row of (N, K) whether it is a distribution: finite, in [0, 1], summing to 1."""
    finite = np.isfinite(probabilities).all(axis=1)
    p = np.nan_to_num(probabilities.astype(np.float64), posinf=0.0, neginf=0.0)
    whole = np.abs(p.sum(axis=1) - 1.0) <= _SUM_TOLERANCE
    mask: NDArray[np.bool_] = finite & whole & (p >= 0.0).all(axis=1)
    return mask


def breaks(
    *, unsound: int, blank_share: float, reference_blank_share: float, arrivals: Arrivals
) -> tuple[str, ...]:
    """Return the quality checks that fail, each as `name: words`.

    Args:
        unsound: rows whose probabilities are no distribution.
        blank_share: share of images whose pixels are all equal.
        reference_blank_share: likewise, of the reference.
        arrivals: how the window came in.
    """
    found: list[str] = []
    rows = len(arrivals.example_ids)
    if unsound:
        found.append(f"probabilities: {unsound} of {rows} rows are no distribution (NaN or sum)")
    if arrivals.wrong_size:
        found.append(f"size: {arrivals.wrong_size} of {rows} images have not the model's size")
    allowed = max(reference_blank_share + _BLANK_EXTRA, _BLANK_FACTOR * reference_blank_share)
    if blank_share > allowed:
        found.append(
            f"blank: {blank_share:.0%} of the images are one colour, "
            f"in the reference {reference_blank_share:.0%}"
        )
    _, counts = np.unique(np.asarray(arrivals.example_ids), return_counts=True)
    if rows and counts.max() > _STUCK_SHARE * rows:
        found.append(f"stuck: one image makes up {counts.max() / rows:.0%} of the window")
    if len(arrivals.earlier_s) >= _HISTORY:
        usual = float(np.median(np.asarray(arrivals.earlier_s)))
        if arrivals.duration_s > max(_SLOW_FACTOR * usual, _SLOW_S):
            found.append(
                f"volume: {rows} rows took {arrivals.duration_s / 60:.0f} minutes, "
                f"usually {usual / 60:.1f}"
            )
    return tuple(found)
