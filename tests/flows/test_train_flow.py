"""The flow `train`, on a real Prefect server and a real DVC repository."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters import retrains
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.errors import MlopsError, StepError
from mlops.layout import Layout
from mlops.run import LOOP
from tests.flows.conftest import calls

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun, TaskRun

ORDER = [*LOOP, "announce"]
STAGES = ["ingest", "validate", "prepare", "tune", "train", "evaluate"]


def _run(**parameters: object) -> UUID:
    from flows.train import train

    state = train(**parameters, return_state=True)
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def _look(run: UUID) -> tuple[FlowRun, list[TaskRun]]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    with get_client(sync_client=True) as client:
        of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
        tasks = client.read_task_runs(flow_run_filter=of_run)
        return client.read_flow_run(run), sorted(
            tasks, key=lambda t: str(t.start_time or t.created)
        )


def _settled(run: UUID, count: int) -> tuple[FlowRun, list[TaskRun]]:
    """Wait until the server has recorded the task runs, which arrive as events."""
    import time

    for _ in range(150):
        flow_run, tasks = _look(run)
        if len(tasks) >= count and all(t.state and t.state.is_final() for t in tasks):
            return flow_run, tasks
        time.sleep(0.2)
    pytest.fail(f"{[t.name for t in tasks]}: {len(tasks)} of {count} task runs recorded")


def _retrains(root: Path) -> list[retrains.Retrain]:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(tables.retrains)).all()
    engine.dispose()
    return [retrains.Retrain(**row._mapping) for row in rows]


def _ask(root: Path, incident: str) -> None:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.begin() as connection:
        retrains.request(connection, "digits", reason="drift", incident=incident, now_s=9e9)
    engine.dispose()


def test_one_task_per_step_then_everything_is_cached(cheap: Path, prefect_api: str) -> None:
    flow_run, tasks = _settled(_run(reason="first"), len(ORDER))
    assert flow_run.name == "train: first"
    assert flow_run.state is not None
    assert flow_run.state.is_completed()
    assert [task.name for task in tasks] == ORDER
    assert {task.state_name for task in tasks} == {"Completed"}

    flow_run, tasks = _settled(_run(reason="again"), len(ORDER))
    cached = [task.name for task in tasks if task.state_name == "Cached"]
    assert cached == STAGES
    calls = (cheap / "calls.txt").read_text().split()
    assert calls == ["reconcile", *ORDER, "reconcile", *(n for n in ORDER if n not in STAGES)]
    assert [r.state for r in _retrains(cheap)] == ["ended", "ended"]
    assert [r.outcome for r in _retrains(cheap)] == ["promote", "promote"]
    assert (cheap / "failure.txt").read_text() == ""

    _settled(_run(reason="forced", force=True), len(ORDER))
    assert (cheap / "calls.txt").read_text().split()[len(calls) :] == ["reconcile", *ORDER]


def test_dvc_has_nothing_to_do_after_the_flow(cheap: Path, prefect_api: str) -> None:
    from dvc.repo import Repo

    _run(reason="first")
    with Repo(str(cheap)) as repo:
        assert repo.status() == {}


def test_a_commit_killed_while_writing_dvc_lock_heals(cheap: Path) -> None:
    from mlops.layout import Layout
    from mlops.run import run_cached
    from mlops.settings import Settings

    assert run_cached("ingest", Layout(cheap), Settings()) is not None
    whole = (cheap / "dvc.lock").read_bytes()
    (cheap / ".mlops" / "dvc.lock.before").write_bytes(whole)
    (cheap / "dvc.lock").write_bytes(whole[: len(whole) // 2])
    assert run_cached("ingest", Layout(cheap), Settings()) is None
    assert (cheap / "dvc.lock").read_bytes() == whole
    # Killed in the very first commit: there was no lock before, and what it kept is found again.
    (cheap / ".mlops" / "dvc.lock.before").write_bytes(b"")
    assert run_cached("ingest", Layout(cheap), Settings()) is None
    assert (cheap / "dvc.lock").read_bytes() == whole
    # Killed before it kept anything: the stage runs anew.
    (cheap / ".mlops" / "dvc.lock.before").write_bytes(b"")
    shutil.rmtree(cheap / ".dvc" / "cache" / "runs")
    assert run_cached("ingest", Layout(cheap), Settings()) is not None


def test_a_failed_step_stops_the_loop_and_is_announced(cheap: Path, prefect_api: str) -> None:
    (cheap / "fail-prepare").touch()
    flow_run, tasks = _settled(_run(reason="broken"), 5)
    assert flow_run.state is not None
    assert flow_run.state.is_failed()
    assert [task.name for task in tasks] == ["collect", "ingest", "validate", "prepare", "announce"]
    assert tasks[-1].state_name == "Completed"
    with pytest.raises(StepError, match="prepare: told to fail"):
        flow_run.state.result()
    assert (cheap / "failure.txt").read_text() == "step prepare: prepare: told to fail"
    assert [(r.state, r.outcome) for r in _retrains(cheap)] == [("ended", "failed")]


def test_a_requested_retrain_is_started_once(cheap: Path, prefect_api: str) -> None:
    _ask(cheap, "digits-7")
    flow_run, _ = _look(_run(reason="drift", incident="digits-7"))
    assert flow_run.name == "train: drift, for digits-7"
    [asked] = _retrains(cheap)
    assert (asked.incident, asked.state, asked.outcome) == ("digits-7", "ended", "promote")
    # The same event again, long after: a run, but no retrain that counts.
    _run(reason="drift", incident="digits-7")
    assert _retrains(cheap) == [asked]


def test_artifacts_stand_under_their_keys(cheap: Path, prefect_api: str) -> None:
    from prefect.client.orchestration import get_client

    from flows.monitor import monitor

    _run(reason="artifacts")
    monitor()
    with get_client(sync_client=True) as client:
        found = client.read_latest_artifacts()
    keys = {artifact.key: artifact for artifact in found}
    assert set(keys) >= {
        "digits-data-checks", "digits-decision", "digits-champion-vs-candidate", "digits-links",
        "digits-drift",
    }  # fmt: skip
    assert "# validate" in str(keys["digits-data-checks"].data)
    assert "/models/digits/versions/1" in str(keys["digits-links"].data)
    assert keys["digits-data-checks"].description == "validate done"


def test_a_stage_that_did_not_run_again_shows_what_it_found_before(
    cheap: Path, prefect_api: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterKey,
    )

    _run(reason="first")
    run = _run(reason="again")
    assert calls(cheap).count("validate") == 1
    with get_client(sync_client=True) as client:
        mine = ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
            key=ArtifactFilterKey(any_=["digits-data-checks"]),
        )
        [shown] = client.read_artifacts(artifact_filter=mine)
    assert shown.description == "validate: not run again, nothing has changed since its last run"
    assert "| met | no row is null | label | 0 of 9 |  |" in str(shown.data)
    assert f"{Layout(cheap).checks / 'index.html'}" in str(shown.data)


def test_what_only_waits_is_not_ended_with_a_killed_run(cheap: Path) -> None:
    from flows.project import open_project
    from flows.retraining import begin, finish
    from flows.train import train

    project = open_project()
    first = begin(project, reason="first", incident=None)
    _ask(cheap, "digits-7")
    for hook in [*(train.on_crashed_hooks or []), *(train.on_cancellation_hooks or [])]:
        hook(train, None, None)  # type: ignore[arg-type, call-arg, unused-ignore]
    assert {r.id: r.state for r in _retrains(cheap)} == {
        first: "ended", "digits-retrain-2": "requested",
    }  # fmt: skip
    assert not finish(project, first, "promote")
    assert [r.outcome for r in _retrains(cheap)] == ["failed", None]


def test_champion_and_candidate_are_compared_as_the_ledger_has_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.artifacts import _compared
    from flows.project import open_project
    from mlops.adapters.ledger import Ledger, Row
    from mlops.core.canonical import to_json
    from tests.core.test_decision import DECISION

    monkeypatch.setenv("MLOPS_ROOT", str(root))
    engine = open_database(f"sqlite:///{Layout(root).database}")
    row = Row("decided", DECISION.id, DECISION.at_s, "me", "1", "2", to_json(DECISION))
    Ledger(engine, "digits").append(row)
    engine.dispose()
    assert _compared(open_project(), DECISION.id) == [
        {"metric": "recent accuracy", "champion": "0.8800", "candidate": "0.9000",
         "difference": "0.0200", "interval": "0.0010 to 0.0400"},
    ]  # fmt: skip
    assert _compared(open_project(), "") == []


def test_a_killed_run_frees_the_next(cheap: Path, prefect_api: str) -> None:
    from flows.project import open_project
    from flows.retraining import begin
    from flows.train import train

    begin(open_project(), reason="to be killed", incident=None)
    for hook in [*(train.on_crashed_hooks or []), *(train.on_cancellation_hooks or [])]:
        hook(train, None, None)  # type: ignore[arg-type, call-arg, unused-ignore]
    assert [(r.state, r.outcome) for r in _retrains(cheap)] == [("ended", "failed")]


def test_bulk_scoring_makes_registry_and_ledger_agree_first(cheap: Path, prefect_api: str) -> None:
    from flows.score import score

    with pytest.raises(MlopsError):
        score(source="absent.csv", output="scored")
    assert (cheap / "calls.txt").read_text().split() == ["reconcile"]


def test_a_scheduled_run_asks_the_trigger_first(cheap: Path, prefect_api: str) -> None:
    from flows.train import train

    assert train(reason="by schedule") == "promote"
    [done] = _retrains(cheap)
    assert (done.state, done.outcome) == ("ended", "promote")
    assert done.reason == "schedule: trigger.schedule says so; 0 new labels"
    ran = (cheap / "calls.txt").read_text()
    assert train(reason="by schedule").startswith("not now: the last retrain was lately; 10 min")
    assert (cheap / "calls.txt").read_text() == ran
    assert _retrains(cheap) == [done]


def test_the_event_of_new_labels_that_comes_again_is_no_retrain(cheap: Path) -> None:
    from flows.project import open_project
    from flows.retraining import begin

    project = open_project()
    assert (
        begin(project, reason="labels: 500 new labels since the last retrain", incident=None) == ""
    )
    assert _retrains(cheap) == []
