"""The flow `monitor`: judge every complete window; what happened becomes Prefect events."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from prefect import flow, get_run_logger
from prefect.events import emit_event

from flows import approval, retraining, zombies
from flows.artifacts import publish
from flows.project import open_project
from flows.steps import step_task
from mlops.errors import MlopsError
from mlops.log import quieten
from mlops.run import run_step
from mlops.site import SENDS, Report

if TYPE_CHECKING:
    from flows.project import Project
    from mlops.site import Event

REQUESTED = "retrain.requested"


@flow(name="monitor", flow_run_name="monitor", persist_result=False)
def monitor() -> str:
    """Compare new predictions with the reference; open, update or close incidents."""
    quieten()
    project = open_project()
    unsettled = _settle(project)
    state = step_task("monitor")(project, False, _where(), return_state=True)  # noqa: FBT003 - a task's parameters are positional
    report = state.result()
    if not isinstance(report, Report):
        msg = f"step monitor returned {type(report).__name__}, not a Report"
        raise TypeError(msg)
    for event in report.events:
        emit(project, event)
        get_run_logger().info("event %s: %s", event.name, event.resource)
    retraining.sent(project, report.events)
    publish(project, "monitor", report)
    if unsettled is not None:
        raise unsettled  # windows were judged all the same; the run must not look healthy
    return report.summary


def _where() -> frozenset[str]:
    """Return the options: that this flow sends events, and its run's page, for mails to link."""
    from prefect.context import FlowRunContext
    from prefect.utilities.urls import url_for

    context = FlowRunContext.get()
    page = url_for(context.flow_run) if context and context.flow_run else None
    return frozenset({SENDS, f"run={page}"} if page else {SENDS})


def _settle(project: Project) -> MlopsError | None:
    """Make aliases and ledger agree; return what was in the way, so that monitoring goes on."""
    try:
        get_run_logger().info(run_step("reconcile", project.layout, project.settings).summary)
        approval.release(project)
        zombies.sweep(project)
    except MlopsError as error:
        get_run_logger().error("reconcile: %s", error)
        return error
    return None


def emit(project: Project, event: Event) -> None:
    """Send one event of ours to Prefect, whose automations may act on it."""
    emit_event(
        event=event.name,
        resource={
            "prefect.resource.id": project.resource(event.resource),
            "prefect.resource.name": event.resource,
            "mlops.project": project.name,
        },
        payload=dict(event.payload),
        id=uuid5(NAMESPACE_URL, f"{project.name} {event.id}") if event.id else None,
    )
