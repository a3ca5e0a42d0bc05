"""A window has the labels that came for it, whenever they came and in whatever order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters import measured, windows
from mlops.adapters.backfill import backfill
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql import tables
from mlops.core.prediction import Label
from tests.adapters.test_windows import DUE, EARLY, cut_all, engine, monitoring, predict

if TYPE_CHECKING:
    from mlops.params.monitoring import MonitoringSection

__all__ = ["engine", "monitoring"]  # fixtures

SIZE = 40
NOW_S = 1e6


def cut(engine: sa.Engine, monitoring: MonitoringSection, count: int, version: str = "1") -> None:
    """Judge all that is logged: so many windows."""
    made = cut_all(engine, monitoring, version, now_s=60.0, receiving=True)
    assert len(made) == count


def label(engine: sa.Engine, ids: list[str]) -> None:
    insert_batch(engine, "digits", (), [Label(name, 1, "random", 100.0) for name in ids])


def counts(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return [w.labelled for w in windows.latest(connection, "digits", 999)]


def test_no_window_is_too_old_for_its_labels(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", 60 * SIZE)
    cut(engine, monitoring, 60)
    assert backfill(engine, "digits", DUE, NOW_S) == 0
    label(engine, ids[:3] + ids[45 * SIZE : 45 * SIZE + 7])
    assert backfill(engine, "digits", DUE, NOW_S) == 2
    wanted = [0] * 60
    wanted[0], wanted[45] = 3, 7
    assert counts(engine) == wanted
    assert backfill(engine, "digits", DUE, NOW_S) == 0


def test_a_runs_work_is_bounded_and_the_next_goes_on(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", 30 * SIZE)
    cut(engine, monitoring, 30)
    label(engine, ids)
    runs = [backfill(engine, "digits", DUE, NOW_S, most_labels=500, most_windows=8)
            for _ in range(6)]  # fmt: skip
    assert sum(runs) >= 30
    assert max(runs) <= 8
    assert counts(engine) == [SIZE] * 30


def test_windows_that_are_labelled_again_and_again_do_not_hold_up_others(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", 6 * SIZE)
    cut(engine, monitoring, 6)
    backfill(engine, "digits", DUE, NOW_S)
    label(engine, [ids[0], ids[5 * SIZE]])
    for at in range(1, 8):  # these four have new labels at each look
        label(engine, [ids[n * SIZE + at] for n in (1, 2, 3, 4)])
        backfill(engine, "digits", DUE, NOW_S + at, most_windows=3)
    assert (counts(engine)[0], counts(engine)[5]) == (1, 1)


def test_labels_wait_for_their_window_and_for_their_time(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", SIZE)
    label(engine, [*ids[:5], "of no prediction"])
    assert backfill(engine, "digits", DUE, NOW_S) == 0  # there is no window yet
    cut(engine, monitoring, 1)
    assert backfill(engine, "digits", EARLY, NOW_S) == 0  # its time has not come
    assert counts(engine) == [0]
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    assert counts(engine) == [5]
    with engine.connect() as connection:
        unnoticed = sa.select(sa.func.count()).where(tables.labels.c.noticed.is_(None))
        assert connection.scalar(unnoticed) == 0  # so that no look goes over them again


def test_labels_fill_in_windows_of_their_own_version_only(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    first, second = predict(engine, "1", SIZE), predict(engine, "2", SIZE)
    later = predict(engine, "1", SIZE // 2, start_s=500.0)  # of no window yet
    cut(engine, monitoring, 1)
    cut(engine, monitoring, 1, "2")
    backfill(engine, "digits", DUE, NOW_S)
    label(engine, later)
    with engine.connect() as connection:
        held = windows.latest(connection, "digits", 9)
    assert backfill(engine, "digits", DUE, NOW_S) == 0
    label(engine, second[:2])
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    assert (counts(engine), [w.cut.version for w in held]) == ([0, 2], ["1", "2"])
    label(engine, first[:1])
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    assert counts(engine) == [1, 2]


def test_a_label_that_comes_while_its_window_is_filled_in_is_noticed(
    engine: sa.Engine, monitoring: MonitoringSection
) -> None:
    ids = predict(engine, "1", SIZE)
    cut(engine, monitoring, 1)
    label(engine, ids[:1])
    with engine.connect() as connection:
        [old] = windows.latest(connection, "digits", 1)
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    label(engine, ids[:4])
    with engine.begin() as connection:  # as the page's process does, with what it read before
        window, told = measured.renewed(connection, old, DUE)
    assert (window.labelled, len(told)) == (4, 4)
    label(engine, ids[:6])
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    assert counts(engine) == [6]


@pytest.mark.parametrize("revision", ["0007"])
def test_windows_of_the_release_before_are_filled_in(
    engine: sa.Engine, monitoring: MonitoringSection, revision: str
) -> None:
    from alembic import command
    from alembic.config import Config

    from mlops.adapters.sql import engine as engine_module

    ids = predict(engine, "1", SIZE)
    cut(engine, monitoring, 1)
    label(engine, ids[:9])
    config = Config()
    config.set_main_option("script_location", str(engine_module._MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine_module._migrate(engine)
    assert backfill(engine, "digits", DUE, NOW_S) == 1
    assert counts(engine) == [9]
