"""The flow `train`: every step of a retrain, in order, ending in one decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, runtime

from flows import approval, zombies
from flows.artifacts import publish, publish_links, publish_unchanged
from flows.monitor import emit
from flows.project import open_project
from flows.retraining import ask_by_schedule, begin, finish, release
from flows.steps import step_task
from mlops.log import quieten
from mlops.rounds import go_round
from mlops.run import run_step
from mlops.site import Report

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun, State

    from flows.project import Project
    from mlops.site import Facts


SCHEDULED = "by schedule"
"""The reason with which a deployment's schedule starts a run: the trigger is asked first."""


def _release(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect passes them by these names
    """End the record of a run that was killed, so that it does not block the next retrain."""
    release(open_project())


def _named() -> str:
    """Name a run by what it is for: Prefect's lists show nothing else of it."""
    given = runtime.flow_run.parameters
    incident = given.get("incident")
    reason = str(given.get("reason")).partition(";")[0]  # without what a probe said
    return f"train: {reason}" + (f", for {incident}" if incident else "")


@flow(
    name="train",
    flow_run_name=_named,
    persist_result=False,
    validate_parameters=True,
    on_crashed=[_release],
    on_cancellation=[_release],
)
def train(reason: str = "by hand", incident: str | None = None, force: bool = False) -> str:  # noqa: FBT001, FBT002 - a flow's parameters are a form in the UI
    """Collect, check, tune, train, judge, and promote what is better.

    Args:
        reason: Why this retrain was started; names the run and stands in the decision. "by
            schedule" asks the trigger first.
        incident: Id of the incident that asked for it; its mail thread hears the outcome.
        force: Run every stage, even those that DVC calls unchanged.
    """
    quieten()
    project = open_project()
    logger = get_run_logger()
    if approval.was_paused():
        summary = approval.take(project)
        logger.info(summary)
        return summary
    retrain, reason = _begin(project, reason, incident)
    logger.info("%s: %s", retrain or "no retrain", reason)
    if not retrain:
        return reason
    options = _options(reason, incident)

    def run(step: str) -> Report | None:
        if step == "reconcile":
            report = run_step(step, project.layout, project.settings)
            logger.info(report.summary)
            return report
        return _run(project, step, force=force, options=options)

    def announce(failure: str) -> None:
        told = options | ({f"failure={failure}"} if failure else set())
        _run(project, "announce", force=force, options=told)

    def end(outcome: str, facts: Facts) -> None:
        finish(project, retrain, outcome)
        zombies.take_note_away(project)
        publish_links(project, facts)

    outcome, facts = go_round(run, announce, end)
    if facts.get("approval") == "pending":
        approval.wait(project, facts)
        return "waiting for approval"
    return outcome


def _begin(project: Project, reason: str, incident: str | None) -> tuple[str, str]:
    """Record this run's retrain; its id and reason, or no id and why there is none."""
    zombies.sweep(project)
    if reason == SCHEDULED:
        asked = ask_by_schedule(project)
        if not asked.answer.requested:
            for event in asked.events:
                emit(project, event)
            return "", f"not now: {asked.answer.reason}"
        reason = str(asked.events[0].payload["reason"])
    retrain = begin(project, reason=reason, incident=incident)
    if not retrain:
        return "", "already answered"
    zombies.leave_note(project, retrain)
    return retrain, reason


def _options(reason: str, incident: str | None) -> frozenset[str]:
    """Return what the decision should say of this run: why, and who started it."""
    named = {f"reason={reason}", "actor=flow train"}
    named |= {f"incident={incident}"} if incident else set()
    page = approval.page()
    return frozenset(named | ({f"resume={page}"} if page else set()))


def _run(project: Project, name: str, *, force: bool, options: frozenset[str]) -> Report | None:
    """Run one step as a task; return its report, or nothing if it was cached."""
    state = step_task(name)(project, force, options, return_state=True)
    if state.name == "Cached":
        publish_unchanged(project, name)
        return None
    report = state.result()
    if not isinstance(report, Report):
        msg = f"step {name} returned {type(report).__name__}, not a Report"
        raise TypeError(msg)
    publish(project, name, report)
    return report
