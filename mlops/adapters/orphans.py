"""Find and end every process of a group, however far down and whatever session it moved to.

A group is known by a variable in the environment, which children inherit: process ids are
reused, and process groups are left by whoever starts a session of its own (Prefect's flow runs).
Run as a module, this is the sentinel: it waits for its standard input to close, which happens
when the supervisor dies by whatever cause, SIGKILL included, and then ends the group.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from mlops.errors import Busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops.layout import Layout

GROUP = "MLOPS_GROUP"
"""Variable: root folder and a random part, `ROOT#ID`."""
PART = "MLOPS_PART"
"""Variable: name of the part within the group."""

_ROUNDS = 3
_GRACE_S = 10.0
_POLL_S = 0.05


def find(
    group: str, part: str | None = None, *, other_than: str | None = None
) -> list[psutil.Process]:
    """Return the running processes of a group, except this one and its ancestors.

    Args:
        group: beginning of the group's name; a root folder with `#` finds all of its groups.
        part: only those of this part.
        other_than: leave out this group.
    """
    me = psutil.Process()
    spared = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or somebody else's: in neither case ours to end
        name = environment.get(GROUP, "")
        if not name.startswith(group) or name == other_than:
            continue
        if part is None or environment.get(PART) == part:
            found.append(process)
    return found


def end(group: str, part: str | None = None, *, grace_s: float = _GRACE_S) -> int:
    """Ask a group's processes to end, then kill those that remain after `grace_s`.

    Returns:
        How many were found running.
    """
    return _end(lambda: find(group, part), grace_s)


def end_stale(root: str, current: str) -> int:
    """End what an earlier, killed supervisor of this root has left behind."""
    return _end(lambda: find(f"{root}#", other_than=current), _GRACE_S)


@contextmanager
def claim(layout: Layout, say: Callable[[str], None] = print) -> Iterator[str]:
    """Be the only supervisor of a root, and end what a killed one has left there.

    Yields:
        The name of a new group.

    Raises:
        Busy: if another supervisor of this root runs.
    """
    layout.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(layout.locks / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        msg = f"another mlops up runs in {layout.root}; stop it with Ctrl-C there"
        raise Busy(msg) from None
    with lock:
        name = f"{layout.root}#{uuid.uuid4().hex}"
        if stale := end_stale(str(layout.root), name):
            say(f"ended {stale} processes that a killed mlops up had left")
        yield name


def _end(search: Callable[[], list[psutil.Process]], grace_s: float) -> int:
    count = 0
    # A process may have started another while it was being found: look again.
    for _ in range(_ROUNDS):
        processes = search()
        if not processes:
            return count
        count += len(processes)
        for process in processes:
            _signal(process, kill=False)
        for process in _alive(processes, grace_s):
            _signal(process, kill=True)
        _alive(processes, grace_s)
    return count


def _alive(processes: list[psutil.Process], longest_s: float) -> list[psutil.Process]:
    """Return who still runs after at most so many seconds; a zombie runs no more."""
    end_s = time.monotonic() + longest_s
    while alive := [process for process in processes if _runs(process)]:
        if time.monotonic() > end_s:
            return alive
        time.sleep(_POLL_S)
    return []


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.NoSuchProcess:
        return


def main(group: str) -> None:
    """Wait until standard input closes, then end the group."""
    while os.read(0, 1):
        pass
    end(group)


if __name__ == "__main__":
    main(sys.argv[1])
