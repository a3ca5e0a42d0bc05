"""A backtest of the project: its history, its parameters, its table and its picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import sqlalchemy as sa
from cronsim import CronSim

from mlops.adapters import past as history
from mlops.adapters.advice import policy_of
from mlops.adapters.judgement import Sections, rules_of
from mlops.adapters.learners import UNTUNED, Project, quick
from mlops.adapters.model_files import BEST, read_best, write_table
from mlops.adapters.snapshot import read_schema
from mlops.adapters.sources import base
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import labels as label_table
from mlops.adapters.thresholds import rules
from mlops.core.backtest import backtest
from mlops.core.continuous import gathering
from mlops.core.past import Cutting, cut
from mlops.core.past_gate import Judging
from mlops.core.past_plan import Plan
from mlops.core.past_service import Dealing
from mlops.core.training_window import Window
from mlops.errors import DataError, UsageError
from mlops.params.backtest import BacktestSection
from mlops.params.data import DataSection
from mlops.params.model import ModelSection
from mlops.params.monitoring import MonitoringSection
from mlops.params.split import SplitSection
from mlops.params.train import TrainSection
from mlops.params.training_window import TrainingWindowSection
from mlops.params.trigger import TriggerSection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.backtest_report import Backtest
    from mlops.core.past import Past
    from mlops.core.past_service import Learner
    from mlops.core.schema import Schema
    from mlops.site import Site

_PERIOD_MINUTES = {"day": 1440.0, "week": 10_080.0, "month": 43_800.0}


class BacktestParams(Sections):
    """The sections that a backtest depends on."""

    data: DataSection
    split: SplitSection
    model: ModelSection
    train: TrainSection
    monitoring: MonitoringSection
    trigger: TriggerSection
    training_window: TrainingWindowSection
    backtest: BacktestSection = BacktestSection()


@dataclass(frozen=True)
class Stretch:
    """What of history is walked.

    Attributes:
        over: `source`, `log`, or `auto`: the log once it has labels enough, else the source.
        from_s: the walk begins here, and the first model learns from all before; None: see
            `backtest.first_share`.
        to_s: the walk ends here; None: at the end.
    """

    over: str = "auto"
    from_s: float | None = None
    to_s: float | None = None


def read_past(site: Site, params: BacktestParams, stretch: Stretch) -> tuple[Past, str]:
    """Return history up to the stretch's end, and where it came from in a word.

    Raises:
        DataError: if there is none, with what to do.
    """
    over = stretch.over
    if over == "auto":
        over = "log" if _labelled(site, params.project.name) >= history.ENOUGH else "source"
    if over == "log":
        schema = _schema(site, params)
        rows = history.from_log(site, params.project.name, schema, params.split, params.labels)
    else:
        rows = history.from_source(site, params.data, params.split, params.labels)
    if stretch.to_s is not None:
        rows = rows.take(rows.observed_s <= stretch.to_s)
    return rows, over


def walk(site: Site, params: BacktestParams, past: Past, stretch: Stretch) -> Backtest:
    """Walk through history by the parameters.

    Raises:
        DataError: if history is too short for a first model and a window.
        UsageError: if the model cannot learn such examples.
    """
    plan = plan_of(params, past, stretch.from_s)
    try:
        return backtest(past, plan, _learner(site, params, past.schema))
    except ValueError as error:
        raise DataError(
            f"no first model can be fitted: {error}; let more history come before the walk: a "
            "later --from, or a larger -S backtest.first_share"
        ) from None


def plan_of(params: BacktestParams, past: Past, from_s: float | None) -> Plan:
    """Return the plan of a walk.

    Raises:
        DataError: if no window comes before the walk, or none after it has begun.
    """
    m, how = params.monitoring, params.backtest
    if len(past) < 2:
        raise DataError("history holds no rows in this stretch; widen --from and --to")
    begin = int(len(past) * how.first_share)
    if from_s is not None:
        begin = int(np.searchsorted(past.observed_s, from_s, "left"))
    cutting = Cutting(how.windows, m.window_rows, m.window_minutes, m.min_rows)
    before = cut(past.observed_s[:begin], cutting)
    after = cut(past.observed_s[begin:], cutting)
    if not before or not after:
        start, end = (_day(float(past.observed_s[at])) for at in (0, -1))
        part = "before the walk" if not before else "in the walk"
        raise DataError(
            f"history has {len(past)} rows from {start} to {end}, and no whole window {part}; "
            "windows are cut by monitoring.window_rows and min_rows, or by -S "
            "backtest.windows=month (week, day); --from says where the walk begins"
        )
    sized = m.window_rows
    pace = (past.observed_s[begin - 1] - past.observed_s[0]) / 60 / len(before)
    asked = rules(m, max(float(pace), 1e-6))
    if how.windows != "rows":
        sized = int(np.median([w.stop - w.start for w in before]))
        periods = m.budget.per_windows(_PERIOD_MINUTES[how.windows])
        asked = replace(asked, per_windows=periods)
    t, h = params.trigger, params.holdout
    windows = (*before, *(slice(w.start + begin, w.stop + begin) for w in after))
    ends = [float(past.observed_s[w.stop - 1]) for w in windows[len(before) - 1 :]]
    return Plan(
        windows=windows,
        first=len(before), rules=replace(asked, window_rows=sized),
        gathering=gathering(asked.rate) if m.continuous else None, margin=m.accuracy_margin,
        min_labels=m.min_labels, delay_s=60.0 * params.labels.delay_minutes,
        policy=policy_of(t),
        judging=Judging(rules_of(params), params.gate.recent_days),
        dealing=Dealing(
            h.recent_share, h.gap_s, h.reference_rows,
            Window() if how.refit == "loss" else Window(**params.training_window.model_dump()),
        ),
        since_loss=how.refit == "loss", scheduled=_scheduled(t.schedule, ends, len(before)),
    )  # fmt: skip


def _scheduled(schedule: str | None, ends_s: Sequence[float], first: int) -> frozenset[int]:
    """Return the places of windows in which a cron expression, UTC, asks for a retrain.

    Args:
        schedule: the expression; None asks never.
        ends_s: when the window before the walk ended, and each window of it.
        first: place of the first window of the walk.
    """
    if schedule is None:
        return frozenset()
    found = set()
    for place, (start_s, end_s) in enumerate(pairwise(ends_s), first):
        asks = next(CronSim(schedule, datetime.fromtimestamp(start_s, UTC)), None)
        if asks is not None and asks.timestamp() <= end_s:
            found.add(place)
    return frozenset(found)


def write_windows(path: Path, found: Backtest) -> None:
    """Write the table of windows as CSV."""
    header = ("start", "end", "rows", "version", "labelled", found.measure,
              f"{found.measure}_static", "drifted", "incident", "worth", "events")  # fmt: skip
    write_table(path, header, [
        (_moment(s.start_s), _moment(s.end_s), s.rows, s.version, s.labelled, s.accuracy,
         s.accuracy_static, s.drifted, s.incident or None, s.worth, "; ".join(s.events))
        for s in found.steps
    ])  # fmt: skip


def _learner(site: Site, params: BacktestParams, schema: Schema) -> Learner:
    if params.backtest.model == "quick":
        return quick(schema)
    tuned = site.layout.tuned
    chosen = read_best(tuned) if (tuned / BEST).is_file() else UNTUNED
    return Project(schema, params.model, params.train, chosen, site.settings.threads)


def _labelled(site: Site, project: str) -> int:
    """Count labels in the log; where no log was ever made none is made for the question."""
    if not site.settings.database_url.get_secret_value() and not site.layout.database.is_file():
        return 0
    query = sa.select(sa.func.count(sa.distinct(label_table.c.prediction_id)))
    with database(site) as engine, engine.connect() as connection:
        return int(connection.scalar(query.where(label_table.c.project == project)) or 0)


def _schema(site: Site, params: BacktestParams) -> Schema:
    """Return what the predictions are: of the snapshot, else of the source."""
    if (site.layout.snapshot / "schema.json").is_file():
        return read_schema(site.layout.snapshot)
    return base.load(params.data, site.layout.root).schema


def parse_time(text: str | None, option: str) -> float | None:
    """Read a time, UTC unless it says otherwise; seconds since 1970.

    Raises:
        UsageError: if it is none.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}: write a date or time, as 2020-03-01") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d")
