"""What an alarm is worth: a person, a retrain, a line in the log, or labels first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlops.core.estimate import basis
from mlops.core.power import ALPHA, POWER, bounds, labels_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.estimate import Estimate

Kind = Literal["quality", "costly", "harmless", "unclear"]
SOURCE = f"a loss of the margin shows with {POWER:.0%} power at {ALPHA:.0%}; Fleiss 2003"
"""Where the number of labels comes from."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy measured on labelled predictions of the incident's windows.

    Attributes:
        correct: labelled predictions that were right.
        labelled: labelled predictions chosen at random, whose labels' time has come.
        reference: accuracy on the reference; None where it has no labels.
        measure: `accuracy`, or of a regression `coverage`: the share of targets between the
            outer quantiles.
        mix: those labels by class.
        apart: labels that measure nothing: volunteered, or chosen for being hard.
    """

    correct: int
    labelled: int
    reference: float | None
    measure: str = "accuracy"
    mix: tuple[int, ...] = ()
    apart: int = 0

    @property
    def value(self) -> float | None:
        """Measured accuracy; None without labels."""
        return self.correct / self.labelled if self.labelled else None


@dataclass(frozen=True)
class Triage:
    """What to do about an incident.

    Attributes:
        kind: `quality` pages a person and blocks retraining; `costly` is worth a retrain;
            `harmless` is logged; `unclear` asks for labels.
        words: why.
        labels_wanted: how many more labels would settle an unclear one; 0 otherwise.
        escalated: the estimate says that it is costly; it makes an unclear one louder, no more.
    """

    kind: Kind
    words: str
    labels_wanted: int = 0
    escalated: bool = False


def triage(
    *,
    breaks: tuple[str, ...],
    accuracy: Accuracy,
    margin: float,
    min_labels: int,
    estimate: Estimate | None = None,
) -> Triage:
    """Decide what an incident is worth.

    With as many random labels as the power wants, the measured accuracy decides; before that, only
    if its time-uniform bounds leave no doubt. An estimate closes and downgrades nothing.

    Args:
        breaks: failed quality checks.
        accuracy: as measured so far.
        margin: loss of accuracy that is worth a retrain.
        min_labels: fewest labels from which accuracy counts as measured.
        estimate: of the accuracy, without labels.
    """
    if breaks:
        return Triage("quality", f"the data is broken, so retraining is blocked: {breaks[0]}")
    if accuracy.reference is None:
        return Triage(
            "unclear", "the reference has no labels, so a loss cannot be measured", min_labels
        )
    needed = max(min_labels, labels_needed(accuracy.reference, margin))
    settled = _settled(accuracy, accuracy.reference, margin)
    if accuracy.value is None or accuracy.labelled < (min_labels if settled else needed):
        return _unclear(accuracy, accuracy.reference, margin, needed, estimate)
    loss = accuracy.reference - accuracy.value
    figures = (
        f"{accuracy.measure} {accuracy.value:.1%} on {accuracy.labelled} labelled predictions, "
        f"{accuracy.reference:.1%} on the reference"
    )
    if loss > margin:
        return Triage("costly", f"{figures}: a loss beyond the margin of {margin:.1%}")
    return Triage("harmless", f"{figures}: within the margin of {margin:.1%}")


def unmeasured(labelled: Sequence[int], min_labels: int) -> int:
    """Return how many of the newest windows hold fewer than `min_labels` labels together.

    Args:
        labelled: labels that measure, of each window, oldest first.
        min_labels: fewest from which accuracy counts as measured.
    """
    labels = np.cumsum(labelled[::-1], dtype=np.int64)
    return int((labels < min_labels).sum())


def outgrown(
    newer: Estimate | None, measured: Estimate | None, *, reference: float, margin: float
) -> bool:
    """Say whether windows without labels look worse than what labels showed to be harmless.

    Their estimate must lie beyond the margin with its whole interval, below the reference and below
    the estimate of the windows that were measured: where labels contradicted that one, the same
    again is no news.

    Args:
        newer: of the newest windows, that nothing measures.
        measured: of windows that labels measure; None where there is none.
        reference: accuracy on the reference.
        margin: loss of accuracy that is worth a retrain.
    """
    if newer is None:
        return False
    least = min(reference, measured.value) if measured else reference
    return least - newer.high > margin


def _settled(accuracy: Accuracy, reference: float, margin: float) -> bool:
    """Say whether the bounds lie on one side of the margin, whenever one looks."""
    low, high = bounds(accuracy.correct, accuracy.labelled)
    return reference - high > margin or reference - low <= margin


def _unclear(
    accuracy: Accuracy, reference: float, margin: float, needed: int, estimate: Estimate | None
) -> Triage:
    missing = needed - accuracy.labelled
    words = (
        f"{accuracy.measure} is not known yet: {accuracy.labelled} of {needed} random labels; "
        f"{missing} more will tell ({SOURCE})"
    )
    if accuracy.apart:
        words += f"; {accuracy.apart} volunteered or hard ones measure nothing"
    escalated = estimate is not None and reference - estimate.high > margin
    if estimate is not None:
        words += (
            f"; estimated {basis(accuracy.measure)} {estimate.value:.1%} "
            f"({estimate.low:.1%} to {estimate.high:.1%}), {reference:.1%} on the reference"
        )
    return Triage("unclear", words, missing, escalated)
