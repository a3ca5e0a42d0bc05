"""Runs whose process is gone, on a real Prefect server and with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import sqlalchemy as sa

from mlops.adapters import files
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from prefect.client.schemas.objects import State

# A run of `train` that has begun and will not end: what is left when it is killed is a zombie.
_RUN = """
import time
from prefect import flow
from flows import zombies
from flows.project import open_project
from flows.retraining import begin

@flow(name="train")
def train():
    project = open_project()
    zombies.leave_note(project, begin(project, reason="by hand", incident=None))
    time.sleep(600)

train()
"""


def _outcomes(root: Path) -> list[tuple[str, str | None]]:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(tables.retrains)).all()
    engine.dispose()
    return [(row.state, row.outcome) for row in rows]


def _state(run: str) -> State[object]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(run)).state
    assert state is not None
    return state


def _sweep() -> str:
    """Sweep from within a run, as `monitor` does."""
    from prefect import flow

    from flows import zombies
    from flows.project import open_project

    @flow(name="sweeping")
    def sweeping() -> str:
        return zombies.sweep(open_project())

    return sweeping()


def _begin(
    root: Path, prefect_api: str, prefect_home: Path
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a run in a process of its own, and wait until it has left its note."""
    note = Layout(root).work / "train-flow.json"
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    env |= {
        "PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(prefect_home),
        "PREFECT_LOGGING_TO_API_ENABLED": "false", "MLOPS_ROOT": str(root),
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-c", _RUN], env=env)
    end_s = time.monotonic() + 120.0
    while not note.is_file():
        assert process.poll() is None, "the run ended"
        assert time.monotonic() < end_s, "the run did not begin"
        time.sleep(0.2)
    return process, note


def test_a_killed_run_is_ended_in_prefect_and_in_the_record(
    cheap: Path, prefect_api: str, prefect_home: Path
) -> None:
    process, note = _begin(cheap, prefect_api, prefect_home)
    try:
        run = json.loads(note.read_text())["run"]
        assert _sweep() == ""  # it lives
        assert _state(run).is_running()
        assert _outcomes(cheap) == [("running", None)]
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert _state(run).is_running()  # that is what a zombie is
        # Of another machine nobody knows whether its process lives.
        left = json.loads(note.read_text())
        files.write_json(note, {**left, "host": "elsewhere"})
        assert _sweep() == ""
        files.write_json(note, left)
        assert _sweep() == "digits-retrain-1"
        assert _state(run).is_crashed()
        assert _outcomes(cheap) == [("ended", "failed")]
        assert not note.exists()
        assert _sweep() == ""
        # Ended by Prefect's automation, elsewhere: its record is ended here.
        files.write_json(note, {**left, "host": "elsewhere", "retrain": "digits-retrain-1"})
        assert _sweep() == ""
        assert not note.exists()
    finally:
        process.kill()
        process.wait(30)


def test_a_run_that_ends_by_itself_leaves_no_note(cheap: Path, prefect_api: str) -> None:
    from flows.train import train

    assert train(reason="by hand") == "promote"
    assert not (Layout(cheap).work / "train-flow.json").exists()
    (cheap / "fail-promote").touch()
    with pytest.raises(Exception, match="told to fail"):
        train(reason="by hand")
    assert not (Layout(cheap).work / "train-flow.json").exists()
    assert _outcomes(cheap) == [("ended", "promote"), ("ended", "failed")]


def test_a_number_that_another_process_has_now_is_not_the_run(cheap: Path) -> None:
    from flows import zombies
    from flows.project import open_project

    zombies.leave_note(open_project(), "digits-retrain-1")
    left = files.read_json(Layout(cheap).work / "train-flow.json")
    assert not zombies._is_gone(left)
    assert zombies._is_gone({**left, "began": "1"})
    assert zombies._is_gone({**left, "process": 2**22 + 1})
