"""Deployments, schedules and automations on a real Prefect server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import get_client

from mlops.errors import ParamsError

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun

_DEADLINE_S = 60.0


def _deploy() -> dict[str, UUID]:
    from flows.deploy import deploy
    from flows.project import open_project

    return asyncio.run(deploy(open_project()))


def _deployment(name: str) -> Any:
    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(name)


def _automations() -> dict[str, Any]:
    async def read() -> list[Any]:
        async with get_client() as client:
            return await client.read_automations()

    found = asyncio.run(read())
    assert len({a.name for a in found}) == len(found)
    return {automation.name: automation for automation in found}


def _runs(deployment: UUID) -> list[FlowRun]:
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId

    of = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(deployment_filter=of)


def test_twice_is_once(cheap: Path, prefect_api: str) -> None:
    first = _deploy()
    automations = _automations()
    assert set(first) == {"train", "monitor", "score"}
    assert _deployment("score/digits-score").schedules == []
    schedules = [_deployment(f"{n}/digits-{n}").schedules for n in first]
    assert _deploy() == first
    assert [_deployment(f"{n}/digits-{n}").schedules for n in first] == schedules
    again = _automations()
    assert set(again) == {"digits: retrain when asked", "digits: end dead runs"}
    assert {n: a.id for n, a in again.items()} == {n: a.id for n, a in automations.items()}


def test_what_a_person_sees(cheap: Path, prefect_api: str) -> None:
    _deploy()
    train = _deployment("train/digits-train")
    properties = train.parameter_openapi_schema["properties"]
    assert {n: p.get("type") for n, p in properties.items()} == {
        "reason": "string", "incident": None, "force": "boolean",
    }  # fmt: skip
    assert all(len(p["description"]) > 20 for p in properties.values())
    assert train.enforce_parameter_schema
    assert train.description == "Collect, check, tune, train, judge, and promote what is better."
    assert set(train.tags) == {"mlops", "digits"}
    assert train.concurrency_options.collision_strategy == "ENQUEUE"
    assert train.global_concurrency_limit.limit == 1
    assert train.work_pool_name == "mlops"
    # Flows never clone and never copy: they run where the root lies.
    here = {"prefect.deployments.steps.set_working_directory": {"directory": str(cheap)}}
    assert train.pull_steps == [here]
    assert train.job_variables["env"]["MLOPS_ROOT"] == str(cheap)
    assert [(s.slug, s.active) for s in train.schedules] == [("weekly", False)]


def test_scheduled_runs_appear(cheap: Path, prefect_api: str) -> None:
    # With SQLAlchemy 2.1 the server looks healthy while its scheduler fails on every turn.
    monitor = _deploy()["monitor"]
    end_s = time.monotonic() + _DEADLINE_S
    while not (runs := [r for r in _runs(monitor) if r.auto_scheduled]):
        assert time.monotonic() < end_s, "the scheduler made no run"
        time.sleep(0.5)
    assert {run.state_name for run in runs} <= {"Scheduled", "Late"}
    assert len({run.expected_start_time for run in runs}) == len(runs)


def test_a_paused_schedule_stays_paused(cheap: Path, prefect_api: str) -> None:
    async def switch(deployment: UUID, slug: str, *, active: bool) -> None:
        async with get_client() as client:
            found = await client.read_deployment_schedules(deployment)
            [schedule] = [s for s in found if s.slug == slug]
            await client.update_deployment_schedule(deployment, schedule.id, active=active)

    made = _deploy()
    asyncio.run(switch(made["monitor"], "every-5-minutes", active=False))
    asyncio.run(switch(made["train"], "weekly", active=True))
    _deploy()
    assert not _deployment("monitor/digits-monitor").schedules[0].active
    assert _deployment("train/digits-train").schedules[0].active


def test_ten_equal_events_are_one_retrain(cheap: Path, prefect_api: str) -> None:
    from prefect.events.worker import EventsWorker

    from flows.monitor import emit
    from flows.project import open_project
    from mlops.site import Event

    train = _deploy()["train"]
    before = {run.id for run in _runs(train)}
    time.sleep(2)  # the server's triggers learn of a new automation a moment later
    payload: dict[str, Any] = {"incident": "digits-8", "reason": "drift: x", "retrain": "r-2"}
    for _ in range(10):
        emit(open_project(), Event("retrain.requested", "digits-8", payload))
    # Another project's incident, and an event that only informs, start nothing here.
    emit(open_project(), Event("drift.detected", "digits-9", payload))
    EventsWorker.instance().drain()

    def asked() -> list[FlowRun]:
        new = [run for run in _runs(train) if run.id not in before]
        return [run for run in new if not run.auto_scheduled]

    end_s = time.monotonic() + _DEADLINE_S
    while not asked():
        assert time.monotonic() < end_s, "the automation started nothing"
        time.sleep(0.5)
    time.sleep(5)
    [run] = asked()
    assert run.parameters == {"reason": "drift: x", "incident": "digits-8"}


def test_a_schedule_of_the_trigger_is_active_and_asks_it_first(
    cheap: Path, prefect_api: str
) -> None:
    params = cheap / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("  schedule: null ", '  schedule: "30 4 1 * *" '))
    _deploy()
    [schedule] = _deployment("train/digits-train").schedules
    assert (schedule.slug, schedule.active) == ("by-trigger", True)
    assert schedule.schedule.cron == "30 4 1 * *"
    assert schedule.parameters == {"reason": "by schedule"}
    params.write_text(before.replace("  schedule: null ", '  schedule: "61 4 1 * *" '))
    with pytest.raises(ParamsError, match=r"trigger.schedule = '61 4 1 \* \*' is no cron expr"):
        _deploy()
    params.write_text(before)
    _deploy()
    assert [(s.slug, s.active) for s in _deployment("train/digits-train").schedules] == [
        ("weekly", False)
    ]
