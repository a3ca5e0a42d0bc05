"""Section `trigger`: when an incident becomes a retrain."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mlops.params.base import Section


class TriggerSection(Section):
    """When an incident becomes a retrain (verb `monitor`)."""

    enabled: bool
    """Whether `monitor` may ask for a retrain at all."""
    min_new_labels: int = Field(ge=1)
    """Fewest labelled predictions since the incident opened, or the loss set in."""
    cooldown_minutes: float = Field(ge=0.0)
    """Fewest minutes between two retrains that anything but a person asked for."""
    max_per_month: int = Field(ge=0)
    """Most retrains in thirty days."""
    max_minutes_per_month: float | None = Field(gt=0.0)
    """Most minutes of machine time, GPU or CPU, that retrains may take in thirty days; null for
    no limit."""
    on_loss: bool = True
    """Whether a loss beyond `monitoring.accuracy_margin` that labels show, without drift of the
    inputs, asks for a retrain; it is an incident either way."""
    on_new_labels: int | None = Field(default=None, ge=1)
    """So many labels since the last retrain ask for one; null: new labels alone ask for none."""
    schedule: str | None = Field(default=None, pattern=r"^[\dA-Za-z*/,\-]+( [\dA-Za-z*/,\-]+){4}$")
    """Cron expression, UTC, at which a retrain is asked for (`0 3 * * 1`: Mondays at three); null:
    the deployment's own schedule, which is paused until a person starts it."""
    max_hours: float = Field(default=12.0, gt=0.0)
    """A retrain that has run so long without an end, or waited so long for its start, is taken
    for dead: recorded as failed, and no longer in the way of the next."""
    probe: Literal["off", "advise", "decide"] = "advise"
    """Whether a quick probe on labelled rows that train estimates what a retrain would gain before
    it is asked for: `advise` tells it; with `decide` one that surely gains less than `min_gain` is
    refused; a person's retrain is never probed."""
    min_gain: float = Field(default=0.01, ge=0.0, lt=1.0)
    """Least gain that is worth a retrain: in accuracy (0.01: a percentage point), of a regression
    as a share of the mean absolute error."""

    @field_validator("schedule")
    @classmethod
    def _is_a_cron_expression(cls, text: str | None) -> str | None:
        if text is None:
            return None
        from datetime import UTC, datetime

        from cronsim import CronSim, CronSimError

        try:
            CronSim(text, datetime.now(UTC))
        except CronSimError as error:
            why = f"trigger.schedule = {text!r} is no cron expression ({error})"
            raise ValueError(f"{why}; write one, as in '0 3 * * 1'") from None
        return text
