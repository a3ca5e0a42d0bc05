"""Runs of `train` whose process is gone though Prefect still calls them running, and their records.

A run that is killed alone is noticed by its worker, which runs the flow's hooks. Killed together
with its worker, it stays Running until Prefect's automation misses its heartbeats, and nobody runs
a hook; without heartbeats it stays so for ever. So each run leaves a note of itself, and
`monitor` and the next run look whether the one that left it still lives.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows.retraining import finish
from mlops.adapters import files

if TYPE_CHECKING:
    from flows.project import Project


def leave_note(project: Project, retrain: str) -> None:
    """Write down which run and process carries a retrain out."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    files.write_json(_note(project), {
        "retrain": retrain, "run": str(run.id) if run else "", "process": os.getpid(),
        "began": _began(os.getpid()), "host": socket.gethostname(),
    })  # fmt: skip


def take_note_away(project: Project) -> None:
    """Remove the note of a run that has ended by itself."""
    files.remove(_note(project))


def sweep(project: Project) -> str:
    """End the run that left a note and is dead: in Prefect, which frees its slot, and on record.

    A run on another machine is dead once Prefect has ended it; one on this machine also when its
    process is gone.

    Returns:
        The retrain that was ended as failed; empty if none was.
    """
    note = _note(project)
    if not note.is_file():
        return ""
    left = files.read_json(note)
    run, retrain = str(left["run"]), str(left["retrain"])
    gone = left["host"] == socket.gethostname() and _is_gone(left)
    if not gone and not _has_ended(run):
        return ""
    if gone and run:
        _crash(run)
    ended = finish(project, retrain, "failed")
    files.remove(note)
    if ended:
        get_run_logger().warning("%s: its process is gone; ended as failed", retrain)
    return retrain if ended else ""


def _note(project: Project) -> Path:
    return project.layout.work / "train-flow.json"


def _is_gone(left: dict[str, object]) -> bool:
    """Say whether the process is gone, or its number is another's now."""
    process = int(str(left["process"]))
    if not Path("/proc").is_dir():
        return False  # unknown is not dead: Prefect's heartbeats decide
    return not left["began"] or _began(process) != left["began"]


def _began(process: int) -> str:
    """Return when a process began, in ticks since the machine did; empty if there is none."""
    path = Path(f"/proc/{process}/stat")
    try:
        # The command's name may hold spaces; it ends with the last bracket. Field 22 is the time.
        state, *fields = path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state == "Z" else fields[18]


def _has_ended(run: str) -> bool:
    if not run:
        return False
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return True
    return state is not None and state.is_final()


def _crash(run: str) -> None:
    """Tell Prefect that a run has crashed, unless it knows that the run has ended."""
    if _has_ended(run):
        return
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(
            UUID(run), Crashed(message="its process is gone; see: mlops status"), force=True
        )
