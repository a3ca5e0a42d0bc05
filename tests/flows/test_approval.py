"""A run whose candidate waits for a person, on a real Prefect server."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import approval
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.mail import outbox
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.layout import Layout
from mlops.run import LOOP
from mlops.settings import Settings
from mlops.site import Site
from tests.flows.conftest import calls
from tests.promotions import PROJECT, decision

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
    yes: bool,
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


def pending(root: Path) -> tuple[Site, str]:
    """Put a decision that waits for a person into the root's ledger."""
    layout = Layout(root)
    site = Site(layout, Settings(), datetime.now(UTC), layout.work / "test")
    made, key = decision(site, "1", None)
    body = to_json(replace(made, approval="pending"))
    with database(site) as engine:
        Ledger(engine, PROJECT).append(Row("decided", key, made.at_s, "test", None, None, body))
    return site, made.id


def test_a_paused_run_that_nobody_answers_ends_and_its_decision_stays_open(
    cheap: Path, prefect_api: str
) -> None:
    from flows.monitor import monitor

    (cheap / "required").touch()
    site, asked = pending(cheap)
    run = start()
    paused = work(run)
    assert paused.state_name == "Suspended"
    assert paused.state is not None
    timeout = paused.state.state_details.pause_timeout
    assert timeout is not None
    assert 7.0 < (timeout.timestamp() - time.time()) / 86_400.0 < 8.0
    monitor()
    assert look(run).state_name == "Suspended"
    path = cheap / "params.yaml"
    path.write_text(path.read_text().replace("approval_days: 7.0", "approval_days: 0.000001"))
    monitor()
    monitor()
    ended = look(run)
    assert (ended.state_name, ended.state.message if ended.state else "") == (
        "Unanswered", "nobody answered; the decision stays open: mlops approve 1",
    )  # fmt: skip
    with database(site) as engine:
        held = approval.waiting(Ledger(engine, PROJECT))
        assert held is not None
        assert (held.version, held.decision.id) == ("1", asked)
        mails = [key for key, *_ in outbox.waiting(engine, PROJECT)]
    assert mails == [f"approval-{asked}:needs you reminder"]


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
