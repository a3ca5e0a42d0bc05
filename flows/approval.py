"""A run of `train` whose candidate waits for a person pauses, and takes the answer on resume."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import get_run_logger, suspend_flow_run
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput
from prefect.states import Completed
from prefect.utilities.urls import url_for

from mlops.adapters import answered
from mlops.run import run_step
from mlops.site import Site

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

    from flows.project import Project
    from mlops.adapters.approval import Asked
    from mlops.site import Facts

_KEY = "approval"
_DAY_S = 86_400.0


class Answer(RunInput):
    """What a person fills in when they resume the run."""

    approve: bool
    name: str
    version: str


def can_pause() -> bool:
    """Say whether this run has a deployment, which starts it anew on resume."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and run.deployment_id is not None


def page() -> str:
    """Return the address of this run's page; empty where it has none or cannot be paused."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return (url_for(run) or "") if run is not None and can_pause() else ""


def was_paused() -> bool:
    """Say whether this run paused before: then its steps are done and only the answer is left."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return run is not None and _KEY in (run.empirical_policy.pause_keys or set())


def wait(project: Project, facts: Facts) -> None:
    """Pause this run until a person resumes it; a run without a deployment is not paused.

    Its process ends here and the deployment's place is free: on resume the flow starts anew.
    After `promote.approval_days` the flow `monitor` ends it; a day later, were that not to run,
    Prefect does. The decision stays open either way.
    """
    version, logger = str(facts.get("version")), get_run_logger()
    logger.info("version %s waits for approval: mlops approve %s", version, version)
    if not can_pause():
        return
    text = (
        f"Version **{version}** passed the gate and waits for you. Its page in MLflow shows why. "
        "Set `approve` to put it in service, or leave it unset to decline; give your name."
    )
    form = Answer.with_initial_data(description=text, version=version, approve=False)
    timeout_s = int((project.params.promote.approval_days + 1.0) * _DAY_S)
    suspend_flow_run(wait_for_input=form, key=_KEY, timeout=timeout_s)


def take(project: Project) -> str:
    """Take the answer of whoever resumed this run, and follow it.

    Returns:
        What was done.
    """
    said = suspend_flow_run(wait_for_input=Answer, key=_KEY)
    options = {f"version={said.version}", "way=flow", f"actor={said.name.strip() or 'somebody'}"}
    step = "approve" if said.approve else "reject"
    return run_step(step, project.layout, project.settings, options=frozenset(options)).summary


def release(project: Project) -> int:
    """End paused runs whose version was answered elsewhere or that waited too long; how many.

    A run that nobody answered leaves its decision open, and a mail says so.
    """
    from mlops.adapters.approval import waiting
    from mlops.adapters.ledger import Ledger
    from mlops.adapters.sql.engine import open_database

    if FlowRunContext.get() is None:
        return 0
    ended, days = 0, project.params.promote.approval_days
    engine = open_database(project.settings.database(project.layout))
    try:
        held = waiting(Ledger(engine, project.name))
        with get_client(sync_client=True) as client:
            for run in _paused(client, project):
                since = run.state.timestamp if run.state else None
                late = since is not None and (datetime.now(UTC) - since).total_seconds() > (
                    days * _DAY_S
                )
                if held is not None and not late:
                    continue
                if held is not None:
                    # Before the run ends: killed between, the next monitoring does both again.
                    answered.remind(_site(project), engine, held.decision, days)
                client.set_flow_run_state(run.id, _over(held), force=True)
                ended += 1
    finally:
        engine.dispose()
    return ended


def _over(held: Asked | None) -> State[None]:
    if held is None:
        return Completed(name="Answered", message="answered elsewhere; see: mlops history")
    message = f"nobody answered; the decision stays open: mlops approve {held.version}"
    return Completed(name="Unanswered", message=message)


def _site(project: Project) -> Site:
    work = project.layout.work / "approval"
    return Site(project.layout, project.settings, datetime.now(UTC), work)


def _paused(client: SyncPrefectClient, project: Project) -> list[FlowRun]:
    try:
        deployment = client.read_deployment_by_name(f"train/{project.name}-train").id
    except ObjectNotFound:  # nothing was deployed, so nothing is paused
        return []
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
        )
    )
