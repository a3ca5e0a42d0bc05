"""Section `gate`: what a candidate must show to replace the champion."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class Floors(Section):
    """Lowest value of each metric of the candidate on its test rows; all three are required."""

    accuracy: float = Field(ge=0.0, le=1.0)
    """Share of rows predicted right."""
    balanced_accuracy: float = Field(ge=0.0, le=1.0)
    """Mean recall of the classes."""
    roc_auc: float = Field(ge=0.0, le=1.0)
    """Area under the ROC curve, mean of one class against the rest."""


class GateSection(Section):
    """What a candidate must show to replace the champion (step `promote`)."""

    margin: float = Field(ge=0.0, lt=1.0)
    """Declared margin δ on accuracy: 0 asks for superiority, above 0 for non-inferiority."""
    alpha: float = Field(gt=0.0, lt=0.5)
    """Probability of promoting a candidate that is not better than the margin allows."""
    power: float = Field(gt=0.5, lt=1.0)
    """Power at which `inconclusive` says how many more labels would settle it."""
    effect: float = Field(gt=0.0, lt=1.0)
    """The gain in accuracy that is worth finding, used for that number."""
    min_rows: int = Field(ge=1)
    """Fewest recent labelled production rows of the test side."""
    recent_days: float = Field(gt=0.0)
    """How old a production row may be to count as recent."""
    base_margin: float = Field(gt=0.0, lt=1.0)
    """Guardrail: how much accuracy the candidate may lose on the base test rows."""
    log_loss_margin: float = Field(gt=0.0)
    """Guardrail: how much the log loss on recent rows may rise, in nats."""
    floors: Floors
    """Guardrail and the bootstrap rule: what the candidate must reach on its test rows."""
    max_latency_ms: float = Field(gt=0.0)
    """Guardrail: most milliseconds for one row in ONNX Runtime, one thread, 95th percentile."""
    min_slice_rows: int = Field(ge=1)
    """Classes with fewer paired rows are not assessed for harm."""
    resamples: int = Field(ge=500)
    """Bootstrap resamples."""
    seed: int = Field(ge=0)
    """Seed of the resampling."""
