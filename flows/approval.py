"""A run of `train` whose candidate waits for a person pauses, and takes the answer on resume."""

from __future__ import annotations

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

from mlops.run import run_step

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.project import Project
    from mlops.site import Facts

_KEY = "approval"


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


def wait(facts: Facts) -> None:
    """Pause this run until a person resumes it; a run without a deployment is not paused.

    Its process ends here and the deployment's place is free: on resume the flow starts anew.
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
    suspend_flow_run(wait_for_input=form, key=_KEY)


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
    """Complete paused runs whose version was answered in another way; return how many."""
    from mlops.adapters.approval import waiting
    from mlops.adapters.ledger import Ledger
    from mlops.adapters.sql.engine import open_database

    context = FlowRunContext.get()
    engine = open_database(project.settings.database(project.layout))
    try:
        if context is None or waiting(Ledger(engine, project.name)) is not None:
            return 0
    finally:
        engine.dispose()
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"train/{project.name}-train").id
        except ObjectNotFound:  # nothing was deployed, so nothing is paused
            return 0
        paused = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
            )
        )
        for run in paused:
            done: State[None] = Completed(
                name="Answered", message="answered elsewhere; see: mlops history"
            )
            client.set_flow_run_state(run.id, done, force=True)
    return len(paused)
