"""Which kind of shift it is, and what supports saying so.

Without labels P(y | x) cannot be seen: only labels name a concept shift, and only they tell a
change of the classes' mix from a change of the model's answers. Terms as in Moreno-Torres et al.,
A unifying view on dataset shift in classification, 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.stats import chi2

from mlops.core.embedding import is_embedding
from mlops.core.estimate import basis
from mlops.core.relations import GIVEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.estimate import Estimate

Name = Literal["prior", "covariate", "concept"]
_ALPHA = 0.01
_ANSWERS = frozenset({"predicted", "confidence", "entropy", "prediction", "spread"})
"""Columns of what the model says, not of its input."""


@dataclass(frozen=True)
class Shift:
    """A kind of shift with what supports it, in words."""

    name: Name
    words: str


def name_shifts(
    drifted: Sequence[str],
    *,
    mix: Sequence[int],
    reference_mix: Sequence[int],
    loss: float | None,
    margin: float,
    estimate: Estimate | None,
    reference: float | None,
    measure: str = "accuracy",
) -> tuple[Shift, ...]:
    """Name the shifts that the evidence supports, the best supported first.

    Args:
        drifted: columns over their thresholds.
        mix: labelled predictions by class, chosen at random; empty without labels.
        reference_mix: likewise, of the reference.
        loss: measured loss of accuracy; None while it is not measured.
        margin: loss that matters.
        estimate: of the accuracy, without labels.
        reference: accuracy on the reference.
        measure: what accuracy is: `accuracy`, or of a regression `coverage`.
    """
    found: list[Shift] = []
    inputs = [name for name in drifted if name.removesuffix(GIVEN) not in _ANSWERS]
    looks = [name for name in inputs if not is_embedding(name)]
    # The embedding follows the classes' mix: beside it, it is no sign that anything else moved.
    if looks or (inputs and "predicted" not in drifted):
        found.append(Shift("covariate", f"the inputs moved: {', '.join(inputs[:3])}"))
    p = same_mix(mix, reference_mix)
    if p is not None and p < _ALPHA:
        words = f"the labels' mix of classes changed (p = {p:.1g})"
        words += ", which moves the inputs, too" if inputs else ""
        found.append(Shift("prior", words))
    elif p is None and not looks and "predicted" in drifted:
        words = "only the predicted classes' mix moved; labels must confirm it"
        found.append(Shift("prior", words))
    if loss is not None and loss > margin and reference is not None:
        told = _concept(inputs, reference - loss, estimate, measure)
        if told:
            found.append(Shift("concept", told))
    return tuple(found)


def same_mix(mix: Sequence[int], reference_mix: Sequence[int]) -> float | None:
    """Return the p-value of two mixes of classes being one; None where either is empty.

    Likelihood-ratio test of homogeneity (G-test; Sokal and Rohlf, Biometry, 1995).
    """
    width = max(len(mix), len(reference_mix))
    table = np.zeros((2, width))
    table[0, : len(mix)], table[1, : len(reference_mix)] = mix, reference_mix
    table = table[:, table.sum(axis=0) > 0]
    if not table.sum(axis=1).all():
        return None
    if table.shape[1] < 2:
        return 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    terms = np.where(table > 0, table * np.log(np.maximum(table, 1e-300) / expected), 0.0)
    return float(chi2.sf(2 * terms.sum(), table.shape[1] - 1))


def _concept(
    inputs: Sequence[str], measured: float, estimate: Estimate | None, measure: str
) -> str:
    if not inputs:
        return "labels contradict answers to inputs that look as before"
    if estimate is not None and measured < estimate.low:
        return (
            f"labels show a {measure} of {measured:.1%}, below the {estimate.low:.1%} that an "
            f"estimate {basis(measure)} allows for; the inputs moved too, so both may be at work"
        )
    return ""
