"""What an alarm is worth: a person, a retrain, a line in the log, or labels first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["quality", "costly", "harmless", "unclear"]


@dataclass(frozen=True)
class Accuracy:
    """Accuracy measured on labelled predictions of the incident's windows.

    Attributes:
        correct: labelled predictions that were right.
        labelled: labelled predictions, those picked by active learning left out: they are
            chosen for being hard and measure nothing.
        reference: accuracy on the reference; None where it has no labels.
        measure: `accuracy`, or of a regression `coverage`: the share of targets between the
            outer quantiles.
    """

    correct: int
    labelled: int
    reference: float | None
    measure: str = "accuracy"

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
    """

    kind: Kind
    words: str
    labels_wanted: int = 0


def triage(
    *, breaks: tuple[str, ...], accuracy: Accuracy, margin: float, min_labels: int
) -> Triage:
    """Decide what an incident is worth.

    Args:
        breaks: failed quality checks.
        accuracy: as measured so far; an estimate without labels never closes anything.
        margin: loss of accuracy that is worth a retrain.
        min_labels: fewest labels from which accuracy counts as measured.
    """
    if breaks:
        return Triage("quality", f"the data is broken, so retraining is blocked: {breaks[0]}")
    if accuracy.reference is None:
        return Triage(
            "unclear", "the reference has no labels, so a loss cannot be measured", min_labels
        )
    if accuracy.value is None or accuracy.labelled < min_labels:
        missing = min_labels - accuracy.labelled
        return Triage(
            "unclear",
            f"{accuracy.measure} is not known yet: {accuracy.labelled} of {min_labels} labels; "
            f"{missing} more will tell",
            missing,
        )
    loss = accuracy.reference - accuracy.value
    figures = (
        f"{accuracy.measure} {accuracy.value:.1%} on {accuracy.labelled} labelled predictions, "
        f"{accuracy.reference:.1%} on the reference"
    )
    if loss > margin:
        return Triage("costly", f"{figures}: a loss beyond the margin of {margin:.1%}")
    return Triage("harmless", f"{figures}: within the margin of {margin:.1%}")
