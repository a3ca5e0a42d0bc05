"""Every section at once, for those who check or show the whole file; no step reaches this."""

from __future__ import annotations

from mlops.params.backtest import BacktestSection
from mlops.params.base import View
from mlops.params.card import CardSection
from mlops.params.checks import ChecksSection
from mlops.params.data import DataSection
from mlops.params.evaluate import EvaluateSection
from mlops.params.gate import GateSection
from mlops.params.holdout import HoldoutSection
from mlops.params.labels import LabelsSection
from mlops.params.mail import MailSection
from mlops.params.model import ModelSection
from mlops.params.monitoring import MonitoringSection
from mlops.params.project import ProjectSection
from mlops.params.promote import PromoteSection
from mlops.params.replay import ReplaySection
from mlops.params.reports import ReportsSection
from mlops.params.score import ScoreSection
from mlops.params.split import SplitSection
from mlops.params.train import TrainSection
from mlops.params.training_window import TrainingWindowSection
from mlops.params.trigger import TriggerSection
from mlops.params.tune import TuneSection


class Everything(View):
    """The whole of `params.yaml`."""

    project: ProjectSection
    data: DataSection
    checks: ChecksSection
    split: SplitSection
    holdout: HoldoutSection
    training_window: TrainingWindowSection
    model: ModelSection
    tune: TuneSection
    train: TrainSection
    evaluate: EvaluateSection
    labels: LabelsSection
    gate: GateSection
    promote: PromoteSection
    monitoring: MonitoringSection
    trigger: TriggerSection
    backtest: BacktestSection = BacktestSection()
    mail: MailSection
    reports: ReportsSection
    replay: ReplaySection
    score: ScoreSection
    card: CardSection


def advice(params: Everything) -> list[str]:
    """Return one line for every pair of values that are each valid and together make no sense."""
    found = []
    reaching = params.split.test * params.holdout.recent_share * params.labels.sample
    expected = params.trigger.min_new_labels * reaching
    if expected < params.gate.min_rows:
        found.append(
            f"trigger.min_new_labels = {params.trigger.min_new_labels}: of so many labels about "
            f"{expected:.0f} reach the gate, which wants gate.min_rows = {params.gate.min_rows}; "
            f"the first retrain would end inconclusive. Raise the former to "
            f"{params.gate.min_rows / reaching:.0f}"
        )
    if params.monitoring.min_rows > params.monitoring.window_rows:
        found.append(
            f"monitoring.min_rows = {params.monitoring.min_rows} exceeds window_rows = "
            f"{params.monitoring.window_rows}: no window would ever be judged. Lower the former"
        )
    if not params.card.intended_use:
        found.append(
            'card.intended_use = "": the model card says that no use was stated. Write what the '
            "model is for, and what it is not for"
        )
    return found
