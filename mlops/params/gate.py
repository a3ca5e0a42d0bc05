"""Section `gate`: what a candidate must show to replace the champion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlops.params.base import Section


class Floors(Section):
    """Lowest value of each metric of the candidate; those of another task ask nothing."""

    accuracy: float = Field(ge=0.0, le=1.0)
    """Share of base test rows predicted right."""
    balanced_accuracy: float = Field(ge=0.0, le=1.0)
    """Mean recall of the classes on base test rows."""
    roc_auc: float = Field(ge=0.0, le=1.0)
    """Area under the ROC curve on base test rows, mean of one class against the rest."""
    recent_roc_auc: float = Field(ge=0.0, le=1.0)
    """The same on recent rows: after a collapse a constant (0.5) can beat the champion."""
    r2: float | None = Field(default=None, lt=1.0)
    """Regression: share of the targets' variance explained on base test rows; null: not asked."""
    coverage: float | None = Field(default=0.8, ge=0.0, le=1.0)
    """Regression: share of the targets of base test rows between the outer quantiles."""


class Ceilings(Section):
    """Highest value of each measure of the candidate; all are required."""

    latency_ms: float = Field(gt=0.0)
    """Milliseconds for one request of one row in the real server, 95th percentile."""
    memory_mb: float = Field(gt=0.0)
    """Resident memory of a serving worker that has answered the golden requests."""
    size_mb: float = Field(gt=0.0)
    """Size of the version's files."""
    ece: float = Field(gt=0.0, le=1.0)
    """Expected calibration error on base test rows."""
    group_gap: float = Field(gt=0.0, le=1.0)
    """Difference in accuracy between the groups of a protected column: its upper bound."""


class NonInferiority(Section):
    """How much of each metric the candidate may lose, each at its own alpha; null: not judged.

    Those of another task ask nothing.
    """

    base_accuracy: float | None = Field(gt=0.0, lt=1.0)
    """Accuracy on base test rows."""
    robustness: float | None = Field(gt=0.0, lt=1.0)
    """Accuracy on base test rows after a fixed mix of corruptions at severity 3."""
    log_loss: float | None = Field(gt=0.0)
    """Log loss on recent rows, in nats."""
    brier: float | None = Field(gt=0.0, le=2.0)
    """Brier score on recent rows, from 0 to 2."""
    balanced_accuracy: float | None = Field(gt=0.0, lt=1.0)
    """Balanced accuracy on recent rows."""
    f1_macro: float | None = Field(gt=0.0, lt=1.0)
    """Macro F1 on recent rows."""
    roc_auc: float | None = Field(gt=0.0, lt=1.0)
    """ROC-AUC on recent rows."""
    base_mae: float | None = Field(default=0.05, gt=0.0)
    """Regression: absolute error on base test rows, as the next two in shares of the champion's."""
    robustness_mae: float | None = Field(default=0.15, gt=0.0)
    """Regression: the same after a fixed mix of disturbances at severity 3."""
    pinball: float | None = Field(default=None, gt=0.0)
    """Regression: loss of all quantiles on recent rows."""
    coverage: float | None = Field(default=0.05, gt=0.0, lt=1.0)
    """Regression: share of the targets of recent rows between the outer quantiles."""


class GateSection(Section):
    """What a candidate must show to replace the champion (step `promote`)."""

    margin: float = Field(ge=0.0, lt=1.0)
    """Declared margin δ on accuracy: 0 asks for superiority, above 0 for non-inferiority. Of a
    regression, as `effect` and `anchor_margin`, in shares of the champion's absolute error."""
    alpha: float = Field(gt=0.0, lt=0.5)
    """Probability of promoting a candidate that is not better than the margin allows, over all
    verdicts on the same recent rows."""
    power: float = Field(gt=0.5, lt=1.0)
    """Power at which `inconclusive` says how many more labels would settle it."""
    effect: float = Field(gt=0.0, lt=1.0)
    """The gain in accuracy that is worth finding, used for that number."""
    min_rows: int = Field(ge=1)
    """Fewest recent labelled production rows of the test side."""
    recent_days: float = Field(gt=0.0)
    """How old a production row may be to count as recent."""
    block_minutes: float = Field(ge=0.0)
    """Rows within so many minutes depend on each other; 0 if only rows of one entity do."""
    anchor_margin: float = Field(gt=0.0, lt=1.0)
    """Accuracy that all promotions together may lose against the last version that was shown to
    be better than the one before it; asked only where a margin above 0 lets losses add up."""
    non_inferiority: NonInferiority
    """Guardrails: what the candidate may lose."""
    floors: Floors
    """Guardrails, and the rule for a first model: what the candidate must reach."""
    ceilings: Ceilings
    """Guardrails: what the candidate must not exceed."""
    slices: tuple[str, ...] = Field(strict=False)
    """Columns of the examples whose thirds are slices, beside the classes; those that the kind of
    examples has not are named and refused."""
    class_slices: bool | Literal["auto"]
    """Whether the rows of each class are a slice, too. Where the mix of classes moves, a model that
    follows it answers the classes that became rare worse than the old one: `auto` allows for it
    where the champion answers a class more often than it comes, and the candidate does not answer
    it less often than it comes; false always does."""
    protected: tuple[str, ...] = Field(strict=False)
    """`class`, or columns, whose groups' accuracy must not differ by more than the ceiling."""
    required_slices: tuple[str, ...] = Field(strict=False)
    """Slices without which there is no promotion, such as `class 3` or `brightness low`."""
    min_slice_rows: int = Field(ge=1)
    """Slices and groups with fewer recent rows are not assessed for harm and fairness."""
    resamples: int = Field(ge=500)
    """Bootstrap resamples."""
    seed: int = Field(ge=0)
    """Seed of the resampling."""

    @model_validator(mode="after")
    def _one_promotion_keeps_the_cap(self) -> GateSection:
        if self.margin > self.anchor_margin:
            msg = (
                f"gate.margin = {self.margin:g} exceeds anchor_margin = {self.anchor_margin:g}, "
                "which caps what all promotions together may lose; raise the latter"
            )
            raise ValueError(msg)
        return self
