"""A serving process that is to be there: started again when it dies, ever more slowly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops.serving.beat import WAITS
from mlops.serving.terminal import say

if TYPE_CHECKING:
    from pathlib import Path

_QUICK_S = 2.0  # a child that lives shorter is respawned ever more slowly, up to …
_SLOWEST_S = 4.0
_PARENT = "MLOPS_CHILD_OF"


def parent() -> int:
    """Return the process that watches over this one.

    Not by asking the system: it may have died while this one was still importing.
    """
    return int(os.environ.get(_PARENT, os.getppid()))


@dataclass
class Child:
    """A process that is to be there.

    Attributes:
        command: what to run.
        environment: its whole environment.
        descriptors: file descriptors that it inherits.
        process: the running one; None between a death and the next start.
        beat: folder where it touches a file named by its process id; None if it does not.
    """

    command: list[str]
    environment: dict[str, str]
    descriptors: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    beat: Path | None = None
    _beaten_ns: int = 0
    _beaten_s: float = 0.0
    _started_s: float = 0.0
    _again_s: float = 0.0
    _pause_s: float = field(default=0.1)

    def start(self) -> None:
        """Start it, in a process group of its own so that Ctrl-C reaches only the supervisor."""
        told = self.environment | {_PARENT: str(os.getpid())}
        self.process = subprocess.Popen(
            self.command, env=told, pass_fds=self.descriptors, process_group=0
        )
        self._started_s = time.monotonic()
        if self.beat is not None:
            with suppress(OSError):  # then it can make none either: it is not called silent
                (self.beat / str(self.process.pid)).touch(mode=WAITS)

    def tend(self, now_s: float) -> int | None:
        """Start it again if it has died and its pause is over; return the exit code of a death."""
        if self.process is None:
            if now_s >= self._again_s:
                self._start_again(now_s)
            return None
        code = self.process.poll()
        if code is None:
            return None
        self._pause(now_s, longer=now_s - self._started_s < _QUICK_S)
        if self.beat is not None:
            (self.beat / str(self.process.pid)).unlink(missing_ok=True)
        self.process = None
        return code

    def _start_again(self, now_s: float) -> None:
        """Start it if the machine lets it; without memory for one more, those that run go on."""
        try:
            self.start()
        except OSError as error:
            self._pause(now_s, longer=True)
            say(f"no process started: {error.strerror}", sys.stderr)

    def _pause(self, now_s: float, *, longer: bool) -> None:
        self._pause_s = min(self._pause_s * 2, _SLOWEST_S) if longer else 0.1
        self._again_s = now_s + self._pause_s

    def silent_s(self, now_s: float) -> float:
        """Return for how long it has given no sign of life; 0 if it can give none at all.

        By this clock: the file's time is only compared with itself, so the date may jump.
        """
        if self.beat is None or self.process is None:
            return 0.0
        try:
            mark = (self.beat / str(self.process.pid)).stat().st_mtime_ns
        except FileNotFoundError:
            return 0.0
        if mark != self._beaten_ns:
            self._beaten_ns, self._beaten_s = mark, now_s
        return now_s - max(self._beaten_s, self._started_s)

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> None:
        """Ask it to end."""
        self.tell(signal.SIGTERM)

    def wait(self, until_s: float) -> None:
        """Wait for its end; after `until_s` (monotonic) end it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
