"""The decision: what every run ends in, and the one object that every surface renders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mlops.core.canonical import ADDED

Outcome = Literal["promote", "reject", "inconclusive"]
ACCURACY, MAE = "accuracy", "absolute error"
"""The primary metric of a classification and of a regression."""
Approval = Literal["auto", "pending", "approved", "declined", "withdrawn"]


@dataclass(frozen=True)
class Check:
    """One thing that the gate looked at.

    Attributes:
        name: `recent accuracy`, `base accuracy`, `latency` …
        passed: yes, no, or not settled by the rows at hand.
        value: what was measured; nothing where it could not be.
        limit: what it was held against.
        words: both in one sentence.
        labels: where it is not settled, how many more labels would settle it; nothing if no number
            would. 0 too in records of before this was counted.
    """

    name: str
    passed: bool | None
    value: float | None
    limit: float | None
    words: str
    labels: int | None = field(default=0, metadata=ADDED)


@dataclass(frozen=True)
class Metric:
    """One figure of candidate and champion on the same rows.

    Attributes:
        name: `recent accuracy`, `base log loss` …
        candidate: the candidate's.
        champion: the champion's, if there is one.
        lower: one-sided lower bound of candidate minus champion, where one was made.
        upper: one-sided upper bound, likewise.
    """

    name: str
    candidate: float
    champion: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Evidence:
    """The numbers that a verdict stands on; nothing where a number could not be had.

    Attributes:
        recent_rows: recent production rows that counted.
        recent_excluded: recent rows left out: seen by a model, not later than its training and the
            gap, spent by an earlier promotion, or of a time whose labels may still come.
        base_rows: base test rows that counted.
        base_excluded: base rows left out because a model has seen their key.
        gained: recent rows on which only the candidate is right.
        lost: recent rows on which only the champion is right.
        difference: accuracy on recent rows, candidate minus champion; of a regression the share by
            which the candidate's absolute error is smaller.
        lower: its one-sided lower bound.
        upper: its one-sided upper bound.
        p_value: of McNemar's one-sided mid-p test, where the margin is 0.
        discordance: share of recent rows on which exactly one model is right.
        design_effect: dependent rows that are worth one independent row.
        method: how the bounds were made.
        look: the how-manieth verdict on overlapping recent rows this is, from 1.
        level: one-sided level of the bounds on recent rows: what this look may spend of alpha.
        recent_since_s: time of the oldest recent row that was looked at; nothing if none was.
        recent_until_s: time of the newest; a promotion retires all rows up to it.
        coverage: share of the cohort's predictions that have labels.
        anchor: the fixed version that losses add up against, where it is not the champion.
        metric: what `difference` is of: `accuracy` or `absolute error`.
    """

    recent_rows: int
    recent_excluded: int
    base_rows: int
    base_excluded: int
    gained: int | None = None
    lost: int | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    discordance: float | None = None
    design_effect: float | None = None
    method: str = ""
    look: int = field(default=1, metadata=ADDED)
    level: float = field(default=0.0, metadata=ADDED)
    recent_since_s: float | None = field(default=None, metadata=ADDED)
    recent_until_s: float | None = field(default=None, metadata=ADDED)
    coverage: float | None = field(default=None, metadata=ADDED)
    anchor: str | None = field(default=None, metadata=ADDED)
    metric: str = field(default=ACCURACY, metadata=ADDED)


@dataclass(frozen=True)
class Verdict:
    """The gate's frozen answer.

    Attributes:
        outcome: `promote`, `reject` or `inconclusive`.
        reasons: why, one sentence each, the weightiest first.
        checks: everything that was looked at.
        metrics: candidate against champion.
        evidence: the numbers behind.
        missing_labels: of `inconclusive`: how many more labels would settle it.
    """

    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    metrics: tuple[Metric, ...]
    evidence: Evidence
    missing_labels: int


@dataclass(frozen=True)
class Version:
    """One model version as it was compared.

    Attributes:
        version: its number in the registry.
        digest: sha256 over its manifest, as the ledger holds it.
        run_id: MLflow run that it came from.
    """

    version: str
    digest: str
    run_id: str


@dataclass(frozen=True)
class Decision:
    """What changed, was it real, what the system did, what you must do, how to undo it.

    Attributes:
        id: the first characters of the ledger's key; names the folder and the command.
        project: registered-model name.
        at_s: when, seconds since 1970.
        actor: who or what ran `promote`.
        reason: why the candidate was trained: `drift`, `schedule`, `manual` …
        incident: the incident behind it; empty for none.
        candidate: the version that was judged.
        champion: the version that it was judged against; nothing if none was in service.
        data_digest: over the ids and labels of the rows of the comparison.
        params_digest: over the gate's parameters.
        commit: git commit of the code; empty where unknown.
        verdict: the gate's answer.
        approval: `auto`: nobody is asked; `pending`: the verdict waits for a person. The ledger
            holds one of these two; whoever reads a decision with its answer sees the others, of
            which `withdrawn` means that the version's files could not be verified any more.
        evidence: sha256 of the lockfile from which the verdict can be derived again.
    """

    id: str
    project: str
    at_s: float
    actor: str
    reason: str
    incident: str
    candidate: Version
    champion: Version | None
    data_digest: str
    params_digest: str
    commit: str
    verdict: Verdict
    approval: Approval = field(default="auto", metadata=ADDED)
    evidence: str = field(default="", metadata=ADDED)

    @property
    def in_service(self) -> str | None:
        """The version in service once this decision is applied."""
        if self.verdict.outcome == "promote" and self.approval in ("auto", "approved"):
            return self.candidate.version
        return self.champion.version if self.champion else None
