"""Register the work pool, deployments, schedules and automations; safe to run again any time.

Run as `python -m flows.deploy` with `PREFECT_API_URL` set; `mlops up` does so at every start.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.utilities.callables import parameter_schema

from flows.automations import desired, install
from flows.monitor import monitor
from flows.project import open_project
from flows.score import score
from flows.train import SCHEDULED, train
from mlops.log import quieten

if TYPE_CHECKING:
    from uuid import UUID

    from prefect import Flow
    from prefect.client.orchestration import PrefectClient

    from flows.project import Project
    from mlops.params.trigger import TriggerSection

POOL = "mlops"
# One object: a new one counts from another moment, and the server takes it for another schedule.
_MONITOR_EVERY = IntervalSchedule(interval=timedelta(minutes=5))


@dataclass(frozen=True)
class Planned:
    """One deployment as this code wants it.

    Attributes:
        flow: what it runs.
        entrypoint: module path: the worker's own environment holds the code, nothing is cloned.
        slug: name of its schedule; empty for none.
        schedule: when; None: whenever somebody starts it.
        active: whether its schedule starts out active; a person's pause or start is kept.
        parameters: of the runs that the schedule starts.
    """

    flow: Flow[..., Any]
    entrypoint: str
    slug: str = ""
    schedule: CronSchedule | IntervalSchedule | None = None
    active: bool = False
    parameters: dict[str, str] = field(default_factory=dict)


def plan_of(trigger: TriggerSection) -> tuple[Planned, ...]:
    """Return the deployments of a project; `train` follows the schedule of its trigger.

    Without one, `train` has a weekly schedule that is paused until a person starts it.
    """
    mine = trigger.schedule
    cron = CronSchedule(cron=mine or "0 3 * * 1")
    slug = "by-trigger" if mine else "weekly"
    return (
        Planned(train, "flows.train.train", slug, cron, active=mine is not None,
                parameters={"reason": SCHEDULED}),
        Planned(
            monitor, "flows.monitor.monitor", "every-5-minutes",
            _MONITOR_EVERY, active=True,
        ),
        Planned(score, "flows.score.score"),
    )  # fmt: skip


async def deploy(project: Project) -> dict[str, UUID]:
    """Bring Prefect's server to what this code says.

    Returns:
        Flow name → deployment id.
    """
    async with get_client() as client:
        await _make_pool(client)
        plans = plan_of(project.params.trigger)
        made = {plan.flow.name: await _deploy(client, project, plan) for plan in plans}
        for automation in desired(project, made["train"], list(made.values())):
            await install(client, automation)
    return made


async def _make_pool(client: PrefectClient) -> None:
    try:
        await client.read_work_pool(POOL)
    except ObjectNotFound:
        try:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        except ObjectAlreadyExists:
            return  # another clone that shares the server was faster


async def _deploy(client: PrefectClient, project: Project, plan: Planned) -> UUID:
    name = f"{project.name}-{plan.flow.name}"
    root = str(project.layout.root)
    return await client.create_deployment(
        flow_id=await client.create_flow(plan.flow),
        name=name,
        version=version("mlops"),
        description=(plan.flow.description or "").split("\n\n")[0],
        entrypoint=plan.entrypoint,
        work_pool_name=POOL,
        # Clones may share a server: each has its own queue, which its own worker serves.
        work_queue_name=project.name,
        parameter_openapi_schema=parameter_schema(plan.flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
        schedules=await _schedules(client, f"{plan.flow.name}/{name}", plan),
        # One at a time, the others wait where everybody can see them.
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        tags=["mlops", project.name],
        # Without a pull step Prefect copies the whole root, data included, before every run.
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": root}}],
        job_variables={"working_dir": root, "env": {"MLOPS_ROOT": root}},
    )


async def _schedules(
    client: PrefectClient, name: str, plan: Planned
) -> list[DeploymentScheduleCreate]:
    """Return the planned schedule, if any, as active as a person has left it."""
    if plan.schedule is None:
        return []
    active = plan.active
    try:
        existing = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        pass
    else:
        known = {schedule.slug: schedule.active for schedule in existing.schedules}
        active = known.get(plan.slug, active)
    return [
        DeploymentScheduleCreate(
            schedule=plan.schedule, slug=plan.slug, active=active, parameters=plan.parameters
        )
    ]


def main() -> None:
    """Deploy this root and say what was registered."""
    quieten()
    project = open_project()
    for flow, deployment in asyncio.run(deploy(project)).items():
        print(f"{flow}/{project.name}-{flow} {deployment}")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
