"""The search for hyper-parameters with Optuna: resumable, and no trial is stale for ever."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.learning import Hyperparameters
from mlops.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import optuna

    Report = Callable[[int, float], bool]
    """Takes epoch (from 1) and validation loss; True: give the trial up."""
    Objective = Callable[[Hyperparameters, int, Report], float]
    """Takes hyper-parameters, trial number, report; returns the validation loss in nats."""

RETRIES = 3
"""How often hyper-parameters are tried again whose trial was killed."""

STARTUP_TRIALS, WARMUP_EPOCHS = 3, 2
"""Trials, and epochs of each, before the median may prune."""


@dataclass(frozen=True)
class Search:
    """What is searched, and for how long.

    Attributes:
        trials: finished or pruned trials after which the search ends.
        minutes: time after which it ends too, once a trial has finished.
        seed: of the sampler.
        learning_rate: lowest and highest, searched in the logarithm.
        weight_decay: likewise.
        dropout: lowest and highest.
        width_factor: the choices.
    """

    trials: int
    minutes: float
    seed: int
    learning_rate: tuple[float, float]
    weight_decay: tuple[float, float]
    dropout: tuple[float, float]
    width_factor: tuple[float, ...]


@dataclass(frozen=True)
class TrialLog:
    """One row of `trials.csv`; `loss` is the last one on validation rows, in nats, or None."""

    number: int
    state: str
    loss: float | None
    learning_rate: float | None
    weight_decay: float | None
    dropout: float | None
    width_factor: float | None
    seconds: float | None


@dataclass(frozen=True)
class Found:
    """The best hyper-parameters, their validation loss in nats, and every trial."""

    best: Hyperparameters
    loss: float
    trials: tuple[TrialLog, ...]


def search(objective: Objective, space: Search, journal: Path) -> Found:
    """Minimise `objective`: TPE (Bergstra et al. 2011) with the median rule for pruning.

    Args:
        objective: trains one model and reports each epoch.
        space: what is searched, and for how long.
        journal: file that keeps the study, so that a killed search goes on. One process at a
            time may use it (`run_step` holds the step's lock).

    Raises:
        StepError: if no trial finished.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = _open(journal, space)
    heal(study)
    deadline = time.monotonic() + 60.0 * space.minutes - _spent_s(study)
    while len(_counted(study)) < space.trials:
        if time.monotonic() > deadline and _complete(study):
            break
        _run_trial(study, objective, space, deadline)
    done = _complete(study)
    if not done:
        raise StepError(f"none of {len(study.trials)} trials finished; widen tune.* or see the log")
    best = min(done, key=lambda t: (t.value, t.number))
    table = tuple(_row(trial) for trial in study.trials)
    return Found(Hyperparameters(**best.params), float(best.value or 0.0), table)


def _open(journal: Path, space: Search) -> optuna.Study:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal.parent.mkdir(parents=True, exist_ok=True)
    mend(journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(study_name="tune", storage=storage, load_if_exists=True)
    # The same seed on reopening would draw the start-up points again.
    seed = space.seed + len(study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
    study.pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, WARMUP_EPOCHS)
    return study


def mend(journal: Path) -> None:
    """Cut a line that a kill left half-written, and drop the lock of a process that is gone.

    Optuna appends behind a torn line, and can then read neither.
    """
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink(missing_ok=True)
    if not journal.is_file():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with journal.open("r+b") as stream:
            stream.truncate(whole)


def heal(study: optuna.Study) -> None:
    """Fail trials whose process is gone, and queue their hyper-parameters again, up to 3 times."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        retries = int(trial.user_attrs.get("retries", 0))
        if trial.params and retries < RETRIES:
            study.enqueue_trial(trial.params, user_attrs={"retries": retries + 1})


def _run_trial(study: optuna.Study, objective: Objective, space: Search, deadline: float) -> None:
    from optuna.trial import TrialState

    trial = study.ask()
    losses: list[float] = []

    def report(epoch: int, loss: float) -> bool:
        losses.append(loss)
        trial.report(loss, epoch)
        late = time.monotonic() > deadline and bool(_complete(study))
        return late or trial.should_prune()

    chosen = Hyperparameters(
        learning_rate=trial.suggest_float("learning_rate", *space.learning_rate, log=True),
        weight_decay=trial.suggest_float("weight_decay", *space.weight_decay, log=True),
        dropout=trial.suggest_float("dropout", *space.dropout),
        width_factor=trial.suggest_categorical("width_factor", list(space.width_factor)),
    )
    try:
        loss = objective(chosen, trial.number, report)
    except Pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        finite = math.isfinite(loss)
        study.tell(trial, loss if finite else None, None if finite else TrialState.PRUNED)
    _report(study, trial.number, space)


class Pruned(Exception):
    """Raised by an objective whose report was answered with True."""


def _report(study: optuna.Study, number: int, space: Search) -> None:
    from structlog import get_logger

    row, done = _row(study.trials[number]), _complete(study)
    best = min((t.value for t in done if t.value is not None), default=None)
    get_logger().info(
        f"trial {len(_counted(study))}/{space.trials} {row.state}",
        loss=None if row.loss is None else round(row.loss, 4),
        best=None if best is None else round(best, 4),
        learning_rate=float(f"{row.learning_rate:.2g}"), width_factor=row.width_factor,
        seconds=None if row.seconds is None else round(row.seconds, 1),
    )  # fmt: skip


def _complete(study: optuna.Study) -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _counted(study: optuna.Study) -> list[Any]:
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def _spent_s(study: optuna.Study) -> float:
    """Return the seconds that earlier runs of this search took, so that a resume is no refill."""
    return sum(row.seconds or 0.0 for row in map(_row, study.get_trials(deepcopy=False)))


def _row(trial: Any) -> TrialLog:
    steps = trial.intermediate_values
    loss = trial.value if trial.value is not None else (steps[max(steps)] if steps else None)
    known = {n: trial.params.get(n) for n in Hyperparameters.__dataclass_fields__}
    whole = trial.datetime_complete is not None and trial.datetime_start is not None
    seconds = (trial.datetime_complete - trial.datetime_start).total_seconds() if whole else None
    return TrialLog(trial.number, trial.state.name.lower(), loss, **known, seconds=seconds)
