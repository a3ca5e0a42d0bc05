"""A run whose candidate waits for a person, on a real Prefect server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from mlops.run import LOOP
from tests.flows.conftest import calls

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from prefect.client.schemas.objects import FlowRun

ORDER = ["reconcile", *LOOP, "announce"]


def start() -> UUID:
    """Ask for a run of the deployment, as a schedule or a person does; nothing runs it yet."""
    from prefect.client.orchestration import get_client

    from flows.deploy import deploy
    from flows.project import open_project

    deployment = asyncio.run(deploy(open_project()))["train"]
    with get_client(sync_client=True) as client:
        made = client.create_flow_run_from_deployment(deployment, parameters={"reason": "drift"})
    return made.id


def look(run: UUID) -> FlowRun:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_flow_run(run)


def work(run: UUID) -> FlowRun:
    """Run it as a worker's process does, and return what the server says then."""
    from prefect.exceptions import Pause
    from prefect.flow_engine import run_flow

    from flows.train import train

    with suppress(Pause):  # how the process of a paused run ends
        run_flow(train, flow_run=look(run), parameters={"reason": "drift"}, return_type="state")
    return look(run)


@pytest.mark.parametrize(("yes", "step"), [(True, "approve"), (False, "reject")])
def test_a_paused_run_takes_the_answer_and_repeats_nothing(
    cheap: Path,
    prefect_api: str,
    yes: bool,  # noqa: FBT001 - a table
    step: str,
) -> None:
    from prefect.flow_runs import resume_flow_run

    (cheap / "required").touch()
    run = start()
    paused = work(run)
    assert paused.state is not None
    assert paused.state.name == "Suspended"
    assert calls(cheap) == ORDER
    resume_flow_run(run, run_input={"approve": yes, "name": " Ada ", "version": "1"})
    done = work(run)
    assert done.state is not None
    assert done.state.is_completed()
    assert calls(cheap) == [*ORDER, step]
    assert (cheap / "answer.txt").read_text() == "actor=Ada version=1 way=flow"


def test_a_paused_run_that_was_answered_elsewhere_ends(cheap: Path, prefect_api: str) -> None:
    from flows.monitor import monitor

    (cheap / "required").touch()
    run = start()
    assert work(run).state_name == "Suspended"
    monitor()  # by the ledger nothing waits any more
    assert look(run).state_name == "Answered"
    assert calls(cheap) == [*ORDER, "reconcile", "monitor"]


def test_a_run_without_a_deployment_says_that_it_waits(cheap: Path, prefect_api: str) -> None:
    from flows.train import train

    (cheap / "required").touch()
    assert train(reason="by hand") == "waiting for approval"


def test_monitoring_goes_on_without_the_registry_and_is_not_called_healthy(
    cheap: Path, prefect_api: str
) -> None:
    from flows.monitor import monitor
    from mlops.errors import StepError

    (cheap / "fail-reconcile").touch()
    with pytest.raises(StepError, match="reconcile: told to fail"):
        monitor()
    assert calls(cheap) == ["reconcile", "monitor"]
