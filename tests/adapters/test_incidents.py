from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import incidents, retrains, windows
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.serving_incidents import open_refusal
from mlops.adapters.sql.engine import open_database
from mlops.core.alert import ColumnChange
from mlops.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

CHANGE = ColumnChange("brightness", "wasserstein", 0.5, 0.2, "18 % darker than the reference")


def made(name: str = "drift-digits-1-3") -> Incident:
    body = Findings(windows=("digits-1-2", "digits-1-3"), columns=(CHANGE,), due=("detected",))
    return Incident(
        id=name, project="digits", kind="drift", cause="brightness", version="1", state="open",
        opened_s=10.0, updated_s=10.0, resolved_s=None, body=body,
    )  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    found = open_database(f"sqlite:///{tmp_path}/mlops.db")
    yield found
    found.dispose()


def test_an_incident_of_a_kind_is_open_once(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        windows.serialise(connection)
        assert incidents.open_once(connection, made()) == made()
        assert incidents.open_once(connection, made("drift-digits-1-9")) == made()
        quality = replace(made("quality-digits-1-9"), kind="quality")
        assert incidents.open_once(connection, quality) == quality
        assert incidents.find_all_open(connection, "digits") == (made(), quality)
        assert incidents.find_all_open(connection, "other") == ()


def test_an_incident_is_updated_resolved_and_then_a_new_one_may_open(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        incidents.open_once(connection, made())
        done = replace(made(), state="resolved", resolved_s=20.0, updated_s=20.0)
        incidents.save(connection, done)
        assert incidents.get(connection, "digits", made().id) == done
        assert incidents.find_open(connection, "digits", "drift") is None
        assert incidents.open_once(connection, made("drift-digits-1-9")).id == "drift-digits-1-9"
        listed = [i.id for i in incidents.recent(connection, "digits")]
    assert listed == ["drift-digits-1-3", "drift-digits-1-9"]


def test_where_the_last_drift_ended_is_known_however_many_others_came_since(
    engine: sa.Engine,
) -> None:
    def closed(kind: incidents.Kind, number: int, seq: int) -> None:
        one = replace(made(f"{kind}-digits-1-{number}"), kind=kind)
        incidents.open_once(connection, one)
        body, at_s = replace(one.body, resolved_seq=seq), float(number)
        incidents.save(connection, replace(
            one, state="resolved", updated_s=at_s, resolved_s=at_s, body=body
        ))  # fmt: skip

    with engine.begin() as connection:
        assert incidents.drift_ended(connection, "digits") == 0
        closed("drift", 1, 700)
        closed("drift", 2, 1000)
        closed("drift", 3, 900)  # by labels, which are of earlier windows
        for number in range(10, 90):
            closed("quality", number, 5000)
        incidents.open_once(connection, made("drift-digits-1-99"))
        assert incidents.drift_ended(connection, "digits") == 1000
        assert incidents.drift_ended(connection, "other") == 0


def test_the_servers_incidents_are_read_too(engine: sa.Engine) -> None:
    open_refusal(engine, "digits", "3", "bytes do not match", at_s=5.0)
    with engine.begin() as connection:
        [held] = incidents.find_all_open(connection, "digits")
    assert held.kind == "serving"
    assert held.body.advice == "bytes do not match"


def test_an_unknown_incident_is_named(engine: sa.Engine) -> None:
    with engine.begin() as connection, pytest.raises(Unknown, match="nothing-1: unknown"):
        incidents.get(connection, "digits", "nothing-1")


def test_a_silence_ends(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        incidents.silence(connection, "digits", "i", until_s=100.0, by="me")
        assert incidents.silenced(connection, "digits", "i", now_s=99.0)
        assert not incidents.silenced(connection, "digits", "i", now_s=100.0)
        assert not incidents.silenced(connection, "digits", "j", now_s=99.0)


def test_mails_are_due_until_they_are_handed_over() -> None:
    body = Findings(due=("detected", "promoted", "resolved"), notified=("detected",))
    assert body.to_notify() == ("promoted", "resolved")


def test_a_retrain_starts_once_and_ends_once(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        asked = retrains.request(connection, "digits", reason="drift", incident="i", now_s=0.0)
        assert retrains.in_flight(connection, "digits") == asked
        assert retrains.start(connection, asked.id, now_s=1.0)
        assert not retrains.start(connection, asked.id, now_s=1.0)
        assert retrains.end(connection, asked.id, outcome="promote", now_s=60.0)
        assert not retrains.end(connection, asked.id, outcome="failed", now_s=70.0)
        assert retrains.in_flight(connection, "digits") is None
        last = retrains.last(connection, "digits")
    assert last is not None
    assert (last.outcome, last.ended_s) == ("promote", 60.0)


def test_a_retrain_that_never_ends_does_not_block_for_ever(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for at_s in (0.0, 10.0):
            asked = retrains.request(connection, "digits", reason="x", incident=None, now_s=at_s)
            retrains.start(connection, asked.id, now_s=at_s + 3600.0)  # it waited in the queue
        for now_s, ended in ((5 * 3600.0, 0), (5 * 3600.0 + 5.0, 1)):
            assert retrains.expire(connection, "digits", now_s=now_s, max_hours=4.0) == ended
        flying = retrains.in_flight(connection, "digits")
        assert flying is not None
        assert flying.requested_s == 10.0
        month = 30 * 86400.0
        assert retrains.count_30_days(connection, "digits", now_s=month + 5.0) == 1
        assert retrains.count_30_days(connection, "other", now_s=0.0) == 0
