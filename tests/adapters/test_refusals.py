from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import incidents, retrains
from mlops.adapters.asking import ask, ask_unprompted
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql.engine import open_database
from mlops.core.prediction import Label, Prediction
from mlops.params.trigger import TriggerSection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.core.trigger import Cause

NOW_S = 1e6
OPEN = TriggerSection(
    enabled=True, min_new_labels=1, cooldown_minutes=60.0, max_per_month=4,
    max_minutes_per_month=None, on_new_labels=20, probe="off",
)  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    found = open_database(f"sqlite:///{tmp_path}/mlops.db")
    yield found
    found.dispose()


def labelled(engine: sa.Engine, count: int) -> None:
    """Log so many predictions, with a label each."""
    rows = [
        Prediction(f"p{n}", NOW_S, "1", f"e{n}", None, b"x", b"\0\0\0\0", 0.001)
        for n in range(count)
    ]  # fmt: skip
    insert_batch(engine, "digits", rows, [Label(row.id, 0, "random", NOW_S) for row in rows])


def broken(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        incidents.open_once(connection, Incident(
            "quality-digits-1-1", "digits", "quality", "blank: all", "1", "open", NOW_S, NOW_S,
            None, Findings(),
        ))  # fmt: skip


def flying(engine: sa.Engine, *, ended: bool = False) -> None:
    with engine.begin() as connection:
        at_s = NOW_S - 300.0
        made = retrains.request(connection, "digits", reason="x: y", incident="i", now_s=at_s)
        if ended:
            retrains.end(connection, made.id, outcome="reject", now_s=at_s)


def heard(
    engine: sa.Engine, cause: Cause, trigger: TriggerSection = OPEN, *, now_s: float = NOW_S
) -> list[str]:
    """Ask three times; return what was told, and why."""
    events = []
    for _ in range(3):
        if cause == "labels":
            said = ask_unprompted(engine, "digits", trigger, "1", now_s=now_s)
            events += [event for one in said for event in one.events]
            continue
        with engine.begin() as connection:
            events += ask(connection, "digits", cause, trigger, now_s=now_s).events
    return [f"{e.name.partition('.')[2]} {e.payload.get('why', '')}".strip() for e in events]


@pytest.mark.parametrize("cause", ["schedule", "labels"])
@pytest.mark.parametrize("why", ["quality", "disabled", "in flight", "cooldown", "budget"])
def test_a_refusal_is_told_once_whatever_its_reason(
    engine: sa.Engine, cause: Cause, why: str
) -> None:
    if why in ("in flight", "cooldown"):
        flying(engine, ended=why == "cooldown")
    if why == "quality":
        broken(engine)
    labelled(engine, 20)
    trigger = OPEN.model_copy(
        update={"enabled": why != "disabled", "max_per_month": 0 if why == "budget" else 4}
    )
    assert heard(engine, cause, trigger) == [f"refused {why}"]


def test_another_answer_is_told_and_then_the_first_again(engine: sa.Engine) -> None:
    off = OPEN.model_copy(update={"enabled": False})
    assert heard(engine, "schedule", off) == ["refused disabled"]
    assert heard(engine, "schedule") == ["requested", "refused in flight"]
    with engine.begin() as connection:
        retrains.end(connection, "digits-retrain-1", outcome="reject", now_s=NOW_S)
    assert heard(engine, "schedule") == ["refused cooldown"]
    assert heard(engine, "schedule", off) == ["refused disabled"]
    assert heard(engine, "schedule", now_s=NOW_S + 7200.0) == ["requested", "refused in flight"]


def test_labels_that_are_too_few_yet_are_refused_nothing(engine: sa.Engine) -> None:
    off = OPEN.model_copy(update={"enabled": False})
    labelled(engine, 19)
    for trigger in (OPEN, off):
        assert heard(engine, "labels", trigger) == []
    flying(engine)
    assert heard(engine, "labels") == []
