"""Section `monitoring`: when a window is an alarm. Touching it retrains nothing."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from mlops.params.base import Section
from mlops.params.budget import Budget, parse_budget


class MonitoringSection(Section):
    """When a window is an alarm, and when an alarm is an incident (verb `monitor`)."""

    window_rows: int = Field(ge=30)
    """Predictions of one window."""
    window_minutes: float = Field(gt=0.0)
    """A window is also closed after so many minutes, if it has `min_rows`."""
    min_rows: int = Field(ge=30)
    """Fewest predictions from which a verdict is drawn."""
    false_alarms: str
    """Budget of false incidents: `1 per year` (month, week, day), or `1 per 1000 windows`."""
    raise_k: int = Field(ge=1)
    """An incident opens when so many of the last `raise_n` windows alarm."""
    raise_n: int = Field(ge=1)
    """How many windows are looked back on."""
    clear_after: int = Field(ge=1)
    """An incident closes after so many windows in a row without an alarm."""
    continuous: bool
    """Whether evidence also adds up over windows, for shifts that no single window shows: it has
    half the budget, the rule over single windows the other half. An incident then closes only
    when the evidence has faded, too."""
    baseline: str = Field(pattern=r"^(first|[1-9][0-9]{0,8})$")
    """Version whose reference windows are compared with beside the champion's own, in reports
    only: `first`, the first champion's, or a version's number."""
    min_effect: float = Field(ge=0.0)
    """A column's normed Wasserstein distance (for categories: Jensen-Shannon distance) below
    this is never an alarm, however significant."""
    replicates: int = Field(ge=200)
    """Pseudo-windows drawn from the reference to calibrate the thresholds."""
    seed: int = Field(ge=0)
    """Seed of the calibration."""
    accuracy_margin: float = Field(gt=0.0, lt=1.0)
    """Loss of measured accuracy, against the evaluation's, that is worth a retrain."""
    min_labels: int = Field(ge=1)
    """Fewest labelled predictions from which accuracy counts as measured."""

    @property
    def budget(self) -> Budget:
        """The budget of false incidents."""
        return parse_budget(self.false_alarms)

    @field_validator("false_alarms")
    @classmethod
    def _is_a_budget(cls, text: str) -> str:
        parse_budget(text)
        return text

    @model_validator(mode="after")
    def _k_of_n(self) -> MonitoringSection:
        if self.raise_k > self.raise_n:
            msg = f"monitoring.raise_k = {self.raise_k} exceeds raise_n = {self.raise_n}; lower it"
            raise ValueError(msg)
        return self
