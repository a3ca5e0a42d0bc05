from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from mlops.adapters import measured, report_states, windows
from mlops.adapters.asking import new_labels
from mlops.adapters.backfill import backfill
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.core.alarm import ColumnVerdict, Verdict
from mlops.core.estimate import ErrorEstimate
from mlops.core.prediction import Label, Prediction
from mlops.params.base import View
from mlops.params.load import load
from mlops.params.monitoring import MonitoringSection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.core.prediction import LabelSource

QUIET = Verdict(
    rows=30,
    columns=(ColumnVerdict("brightness", "wasserstein", 0.1, 0.2, drifted=False, shift=0.01),),
    breaks=(),
    calibrated=True,
)


class _Monitoring(View):
    monitoring: MonitoringSection


@pytest.fixture
def monitoring(root: Path) -> MonitoringSection:
    told = load(root / "params.yaml", _Monitoring).monitoring
    return told.model_copy(update={"window_rows": 40, "min_rows": 30, "window_minutes": 10.0})


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    if request.param == "sqlite":
        made = open_database(f"sqlite:///{tmp_path}/mlops.db")
    else:
        made = open_database(str(request.getfixturevalue("postgres_url")))
        with made.begin() as connection:
            for table in ("windows", "predictions", "labels"):
                connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608 - three constants
    yield made
    made.dispose()


def predict(engine: sa.Engine, version: str, rows: int, start_s: float = 0.0) -> list[str]:
    """Log predictions one second apart, each for class 1."""
    probabilities = np.array([0.2, 0.8], dtype="<f4").tobytes()
    made = [
        Prediction(f"{version}-{start_s}-{n}", start_s + n, version, f"e{n}", None, b"\0" * 4,
                   probabilities, 0.001)
        for n in range(rows)
    ]  # fmt: skip
    insert_batch(engine, "digits", made)
    return [row.id for row in made]


def cut_all(
    engine: sa.Engine, monitoring: MonitoringSection, version: str, *, now_s: float, receiving: bool
) -> list[windows.Cut]:
    found: list[windows.Cut] = []
    while True:
        with engine.begin() as connection:
            cut = windows.next_cut(
                connection, "digits", version, monitoring, now_s=now_s, receiving=receiving
            )
            if cut is None:
                return found
            assert windows.insert(connection, cut, QUIET)
            found.append(cut)


def test_every_prediction_is_in_one_window(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    predict(engine, "1", 60)
    predict(engine, "2", 25, 60.0)
    predict(engine, "1", 60, 100.0)
    cuts = cut_all(engine, monitoring, "1", now_s=160.0, receiving=True)
    assert [(c.number, c.rows) for c in cuts] == [(1, 40), (2, 40), (3, 40)]
    seen: list[str] = []
    with engine.connect() as connection:
        for cut in cuts:
            seen += [row.example_id for row in windows.read(connection, cut)]
        assert windows.versions(connection, "digits") == ("2", "1")
        assert [w.id for w in windows.latest(connection, "digits", 2)] == [
            "digits-1-2",
            "digits-1-3",
        ]
    assert seen == [f"e{n}" for n in range(60)] * 2


@pytest.mark.parametrize(
    ("rows", "at", "expected"),
    [
        (39, (60.0, True), []),  # still filling
        (39, (700.0, True), [39]),  # its time is over
        (39, (60.0, False), [39]),  # a replaced version's last rows
        (29, (700.0, False), []),  # too few for a verdict
        (75, (700.0, True), [40, 35]),
    ],
)
def test_a_window_is_complete_by_rows_by_time_or_by_replacement(
    engine: sa.Engine,
    monitoring: MonitoringSection,
    rows: int,
    at: tuple[float, bool],
    expected: list[int],
) -> None:
    predict(engine, "1", rows)
    cuts = cut_all(engine, monitoring, "1", now_s=at[0], receiving=at[1])
    assert [c.rows for c in cuts] == expected


def test_a_window_is_inserted_once(engine: sa.Engine, monitoring: MonitoringSection) -> None:
    predict(engine, "1", 40)
    [cut] = cut_all(engine, monitoring, "1", now_s=60.0, receiving=True)
    with engine.begin() as connection:
        assert not windows.insert(connection, cut, QUIET)
        assert not windows.insert(connection, replace(cut, number=9), QUIET)
    with engine.connect() as connection:
        [held] = windows.latest(connection, "digits", 9)
        assert held == windows.get(connection, "digits", cut.id)
    assert held.verdict == QUIET
    assert held.report == "pending"


EARLY, DUE = measured.Expected(30.0, 1.0, 0.9), measured.Expected(1e9, 1.0, 0.9)


@pytest.mark.parametrize(
    ("source", "count", "measures", "apart"),
    [
        ("random", 4, 4, 0),
        ("active", 40, 0, 40),  # chosen for being hard
        ("user", 20, 0, 20),  # half of those asked for: volunteers choose what they complain of
        ("user", 36, 36, 0),  # nine in ten: nobody's choice is left
    ],
)
def test_only_a_random_sample_measures(
    engine: sa.Engine, source: LabelSource, count: int, measures: int, apart: int
) -> None:
    ids = predict(engine, "1", 40)
    insert_batch(engine, "digits", (), [Label(n, 1, source, 100.0) for n in ids[:count]])
    with engine.connect() as connection:
        seen = measured.accuracy(connection, "digits", "1", (0, 10**9), 0.9, expected=DUE)
        young = measured.accuracy(
            connection, "digits", "1", (0, 10**9), 0.9, expected=measured.Expected(-1.0, 1.0, 0.9)
        )
    assert (seen.labelled, seen.apart, sum(seen.mix)) == (measures, apart, measures)
    assert (young.labelled, young.apart) == (0, 0)


def test_labels_that_come_late_fill_windows_in_backwards(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", 40)
    cut_all(engine, monitoring, "1", now_s=60.0, receiving=True)
    given = [Label(name, int(n < 15), "random", 100.0 + n) for n, name in enumerate(ids[:20])]
    hard = [Label(name, 0, "active", 200.0) for name in ids[20:]]
    corrected = [Label(ids[19], 1, "random", 300.0)]
    insert_batch(engine, "digits", (), given + hard)
    insert_batch(engine, "digits", (), corrected)
    with engine.connect() as connection:
        assert new_labels(connection, "digits", since_seq=0, since_s=0.0) == 40
        assert new_labels(connection, "digits", since_seq=0, since_s=119.0) == 21
    assert backfill(engine, "digits", EARLY, 400.0) == 0  # their time has not come
    assert backfill(engine, "digits", DUE, 400.0) == 1
    with engine.connect() as connection:
        [held] = windows.latest(connection, "digits", 9)
    assert (held.labelled, held.correct, held.error) == (20, 16, None)
    assert backfill(engine, "digits", DUE, 400.0) == 0
    with engine.begin() as connection:
        for table in (tables.labels.c.prediction_id, tables.predictions.c.id):
            connection.execute(sa.delete(table.table).where(table.in_(ids[:5])))
        seen, _ = measured.renewed(connection, held, DUE)
    assert seen == held  # retention takes rows, not what they said


@pytest.mark.parametrize("high", [3.5, None])
def test_a_regressions_error_is_kept_with_its_window_and_measured_backwards(
    engine: sa.Engine, high: float | None
) -> None:
    told = ErrorEstimate(2.5, 1.5, high)
    answers = np.array([1.0, 2.0, 4.0], dtype="<f4").tobytes()
    insert_batch(engine, "digits", [
        Prediction(f"p{n}", float(n), "1", f"e{n}", None, b"", answers, 0.001) for n in range(9)
    ])  # fmt: skip
    with engine.begin() as connection:
        first = connection.scalar(sa.select(sa.func.min(tables.predictions.c.seq)))
        assert first is not None
        cut = windows.Cut("digits", "1", 1, first, first + 8, 9, 0.0, 8.0)
        made = windows.insert(connection, cut, QUIET, regression=True, off=told)
        assert made is not None
        assert windows.get(connection, "digits", made.id) == made
        assert (made.error, made.error_estimate) == (None, told)
    drawn = [Label("p0", 5.0, "random", 20.0), Label("p1", 2.0, "random", 20.0)]
    insert_batch(engine, "digits", (), [*drawn, Label("p2", 99.0, "active", 20.0)])
    assert backfill(engine, "digits", DUE, 400.0) == 1
    with engine.connect() as connection:
        [held] = windows.latest(connection, "digits", 9)
    assert held == replace(made, labelled=2, correct=1, error=1.5)


def test_windows_of_before_errors_were_estimated_are_read(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    predict(engine, "1", 40)
    [cut] = cut_all(engine, monitoring, "1", now_s=60.0, receiving=True)
    with engine.begin() as connection:
        row = connection.scalar(sa.select(tables.windows.c.verdict))
        content = json.loads(row or "")
        del content["error"], content["error_estimate"]
        connection.execute(tables.windows.update().values(verdict=json.dumps(content)))
        held = windows.get(connection, "digits", cut.id)
    assert held is not None
    assert (held.error, held.error_estimate) == (None, None)
    assert held.figures == "accuracy unknown"


def test_reports_are_made_of_alarms_first(engine: sa.Engine, monitoring: MonitoringSection) -> None:
    predict(engine, "1", 120)
    loud = replace(QUIET, breaks=("blank: all",))
    for verdict in (QUIET, loud, QUIET):
        with engine.begin() as connection:
            cut = windows.next_cut(connection, "digits", "1", monitoring, now_s=1.0, receiving=True)
            assert cut is not None
            windows.insert(connection, cut, verdict)
    with engine.begin() as connection:
        assert report_states.note(connection, "digits-1-3", "made", after=("pending",))
        assert not report_states.note(connection, "digits-1-3", "stored", after=("local",))
        waiting = list(report_states.waiting(connection, "digits", "pending"))
    assert waiting == ["digits-1-2", "digits-1-1"]
