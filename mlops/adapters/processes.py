"""A group of processes that belong together: started in order, watched, restarted, ended."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from typing import TYPE_CHECKING

import httpx

from mlops.adapters import orphans
from mlops.adapters.parts import PartState, write_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops.adapters.parts import Part
    from mlops.layout import Layout

_STARTING_S = 0.3  # between two looks at a part that is starting
_RUNNING_S = 5.0  # between two looks at a part that is up
_MISSES = 6  # silent looks in a row after which a part counts as hung
_STABLE_S = 60.0  # a part that ran this long starts its back-off anew
_BACKOFF_S = (0.5, 30.0)  # first and longest pause before a restart; doubled each time
_GRACE_S = 10.0  # between asking a part to end and killing it
_LOG_BYTES = 10 << 20


class Group:
    """Runs parts until told to stop; dies without orphans whatever kills it.

    Args:
        name: from `orphans.claim`, which also holds off a second group in the same root.
        parts: in any order; each says which it needs.
        layout: the project's paths.
        say: takes one line for a person.
    """

    def __init__(
        self, name: str, parts: Sequence[Part], layout: Layout, say: Callable[[str], None] = print
    ) -> None:
        self._name = name
        self._parts = parts
        self._layout = layout
        self._say = say
        self._states = {part.name: PartState(part.name, part.url, part.probe) for part in parts}
        self._ready = {part.name: asyncio.Event() for part in parts}
        self._processes: dict[str, Process] = {}
        self.all_up = asyncio.Event()

    def missing(self) -> tuple[str, ...]:
        """Return the parts that are neither up nor done, with why."""
        return tuple(
            f"{state.name} ({state.detail or state.state})"
            for state in self._states.values()
            if state.state not in ("up", "done")
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Start every part and keep it running until `stop` is set, then end them all."""
        self._layout.logs.mkdir(parents=True, exist_ok=True)
        tasks = [asyncio.create_task(self._guard())]
        tasks += [asyncio.create_task(self._mind(part)) for part in self._parts]
        for task in tasks:
            # A defect of ours must end the group, not leave a part unminded.
            task.add_done_callback(lambda t: stop.set() if _broke(t) else None)
        try:
            await stop.wait()
        finally:
            for task in tasks[1:]:
                task.cancel()
            await asyncio.gather(*tasks[1:], return_exceptions=True)
            await self._end_all()
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            self._layout.parts.unlink(missing_ok=True)
        for task in tasks:
            if _broke(task):
                await task

    async def _guard(self) -> None:
        """Keep the sentinel alive, which ends the group should we be killed."""
        command = (sys.executable, "-m", "mlops.adapters.orphans", self._name)
        while True:
            sentinel = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=DEVNULL, start_new_session=True
            )
            try:
                await sentinel.wait()
            finally:
                if sentinel.stdin:
                    sentinel.stdin.close()
            await asyncio.sleep(_BACKOFF_S[0])

    async def _mind(self, part: Part) -> None:
        """Start one part after those it needs, and again whenever it ends or hangs."""
        for name in part.after:
            await self._ready[name].wait()
        pause_s = _BACKOFF_S[0]
        while True:
            began_s = time.monotonic()
            process = await self._spawn(part)
            why = await self._watch(part, process)
            if part.once and process.returncode == 0:
                self._change(part, "done", f"{time.monotonic() - began_s:.1f} s")
                return
            await self._end(part, _GRACE_S, sweep=not part.spares_children)
            if time.monotonic() - began_s > _STABLE_S:
                pause_s = _BACKOFF_S[0]
            self._states[part.name].restarts += 1
            self._change(part, "restarting", f"{why}; see {self._log(part)}")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _BACKOFF_S[1])

    async def _spawn(self, part: Part) -> Process:
        path = self._layout.root / self._log(part)
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            path.replace(path.with_suffix(".1.log"))
        marks = {orphans.GROUP: self._name, orphans.PART: part.name, "PYTHONUNBUFFERED": "1"}
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *part.command, stdin=DEVNULL, stdout=log, stderr=STDOUT,
                cwd=self._layout.root, env={**os.environ, **part.environment, **marks},
                start_new_session=True,  # Ctrl-C reaches us alone; we end the parts in order
            )  # fmt: skip
        self._processes[part.name] = process
        self._states[part.name].pid = process.pid
        self._change(part, "starting")
        return process

    async def _watch(self, part: Part, process: Process) -> str:
        """Return, in words, why a part is no longer as it should be."""
        exited = asyncio.ensure_future(process.wait())
        began_s, up, misses = time.monotonic(), False, 0
        async with prober() as client:
            while True:
                await asyncio.wait({exited}, timeout=_RUNNING_S if up else _STARTING_S)
                if exited.done():
                    return f"ended with code {exited.result()}"
                took_s = time.monotonic() - began_s
                if part.once or not await _answers(client, part.probe):
                    misses += up
                    if misses >= _MISSES or (not up and took_s > part.ready_s):
                        exited.cancel()
                        return f"gave no answer at {part.probe or 'its work'}"
                    continue
                misses = 0
                if not up:
                    up = True
                    self._change(part, "up", f"{took_s:.1f} s")

    async def _end(self, part: Part, grace_s: float, *, sweep: bool) -> None:
        """Ask a part to end, kill it if it does not, then end what it left running."""
        process = self._processes.get(part.name)
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), grace_s)
            except TimeoutError:
                process.kill()
                await process.wait()
        if sweep:
            await asyncio.to_thread(orphans.end, self._name, part.name, grace_s=grace_s)

    async def _end_all(self) -> None:
        """End the parts that nobody needs first, then those they needed."""
        needed = {name for part in self._parts for name in part.after}
        for wave in (False, True):
            parts = [part for part in self._parts if (part.name in needed) == wave]
            await asyncio.gather(*(self._end(part, _GRACE_S, sweep=True) for part in parts))
            for part in parts:
                self._change(part, "stopped")

    def _change(self, part: Part, state: str, detail: str = "") -> None:
        known = self._states[part.name]
        known.state, known.detail, known.since_s = state, detail, time.time()
        if state in ("up", "done"):
            self._ready[part.name].set()
        if state in ("up", "done", "restarting"):
            shown = " ".join(filter(None, (part.url, f"({detail})" if detail else "")))
            self._say(f"{part.name:<10} {state:<10} {shown}".rstrip())
        if all(s.state in ("up", "done") for s in self._states.values()):
            self.all_up.set()
        write_parts(self._layout, os.getpid(), self._states.values())

    def _log(self, part: Part) -> str:
        """Return a part's log file, relative to the root."""
        return str((self._layout.logs / f"{part.name}.log").relative_to(self._layout.root))


def prober() -> httpx.AsyncClient:
    """Return what asks our own parts at our own addresses; their certificates name the host."""
    return httpx.AsyncClient(trust_env=False, verify=False, timeout=_RUNNING_S)  # noqa: S501 - see above


async def _answers(client: httpx.AsyncClient, probe: str) -> bool:
    """Return whether anything speaks HTTP there; its own health page says how well it is."""
    if not probe:
        return True
    try:
        await client.get(probe)
    except httpx.HTTPError:
        return False
    return True


def _broke(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
