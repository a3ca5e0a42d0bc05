"""One Prefect task per step, through the same door as the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed

from mlops.errors import Busy, Unavailable
from mlops.run import run_cached

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun

    from flows.project import Project
    from mlops.site import Report

_RETRIES = 2
_RETRY_S = 15.0


def step_task(name: str) -> Task[[Project, bool, frozenset[str]], Any]:
    """Return the task of one step: same name, retried only when something else was in the way.

    Its result is the step's `Report`; a stage that DVC calls unchanged ends at once, in a state
    named `Cached`.
    """

    def run(
        project: Project,
        force: bool,  # noqa: FBT001 - a task's parameters are positional
        options: frozenset[str],
    ) -> Report | State[Report]:
        report = run_cached(name, project.layout, project.settings, force=force, options=options)
        if report is None:
            return Completed(name="Cached", message=f"{name}: unchanged since its last run")
        return report

    run.__doc__ = f"Run the step `{name}`."
    return task(
        name=name,
        task_run_name=name,
        retries=_RETRIES,
        retry_delay_seconds=_RETRY_S,
        retry_condition_fn=_in_the_way,
        # DVC is the one cache: Prefect keeps no results of its own.
        persist_result=False,
        cache_policy=NO_CACHE,
    )(run)


def _in_the_way(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry what passes by itself, a lock or a restarting server; a wrong input never does."""
    return isinstance(state.result(raise_on_failure=False), Busy | Unavailable)
