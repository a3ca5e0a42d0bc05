"""Kept-open connections to `mlops serve`, each to a worker that the test knows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mlops.site import Site


@dataclass
class Said:
    """What one or several clients were told.

    Attributes:
        version_of: the version that each prediction id was given by.
        broken: requests whose connection broke; each may have been answered and logged unheard.
    """

    version_of: dict[str, str] = field(default_factory=dict)
    broken: int = 0

    def counts(self) -> Counter[str]:
        """Return how many replies each version gave."""
        from collections import Counter

        return Counter(self.version_of.values())


class Line:
    """One connection; it is opened again when it breaks, to whichever worker takes it."""

    def __init__(self, port: int, said: Said) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=20)
        self._said = said

    def ask(self, key: str, pixels: NDArray[Any]) -> str:
        """Ask about one row until there is an answer; return the one version that it names."""
        body = json.dumps({"inputs": pixels.tolist()})
        headers = {"Content-Type": "application/json", "X-Entity": key}
        while True:
            try:
                self._connection.request("POST", "/invocations", body, headers)
                reply = self._connection.getresponse()
                content = json.loads(reply.read())
            except (HTTPException, OSError):
                self._said.broken += 1
                self._connection.close()
                continue
            assert reply.status == 200, content
            [name] = content["prediction_ids"]
            version = str(content["model_version"])
            assert reply.headers["x-model-version"] == version
            assert reply.headers["x-prediction-id"] == name
            assert name not in self._said.version_of
            self._said.version_of[name] = version
            return version

    def open(self) -> None:
        """Open it now: a worker has taken it when this returns."""
        self._connection.request("GET", "/version")
        self._connection.getresponse().read()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@dataclass
class Group:
    """A running `mlops serve`.

    Attributes:
        process: the supervisor.
        port: where its workers listen.
        metrics: address of its metrics.
    """

    process: subprocess.Popen[str]
    port: int
    metrics: str

    def workers(self) -> list[int]:
        """Return the ids of the worker processes."""
        return self._children("mlops.serving.worker")

    def follower(self) -> int:
        """Return the id of the follower's process."""
        [found] = self._children("mlops.serving.following")
        return found

    def lines(self, said: Said) -> list[Line]:
        """Open one line to each worker: the others are stopped while one takes it."""
        workers = self.workers()
        found = []
        for worker in workers:
            others = [psutil.Process(pid) for pid in workers if pid != worker]
            for other in others:
                other.suspend()
            found.append(Line(self.port, said))
            found[-1].open()
            for other in others:
                other.resume()
        return found

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric's sum over all other labels; 0 where there is none."""
        import httpx
        from prometheus_client.parser import text_string_to_metric_families

        text = httpx.get(self.metrics, timeout=20, trust_env=False).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return sum(
            s.value for s in samples
            if s.name == name and labels.items() <= s.labels.items()
        )  # fmt: skip

    def end(self) -> None:
        """Stop it as systemd does, and wait until everything is written."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(40) == 0

    def _children(self, module: str) -> list[int]:
        """Return who runs a module; one that is dead and not yet reaped has no command line."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # a zombie is one, too
                found += [child.pid] if module in child.cmdline() else []
        return sorted(found)


@contextmanager
def serving_group(site: Site, **settings: str) -> Iterator[Group]:
    """Run `mlops serve --workers 2` in a site until the block ends."""
    environment = {
        **os.environ, "MLOPS_ROOT": str(site.layout.root), "MLOPS_METRICS_PORT": "0", **settings,
    }  # fmt: skip
    log = (site.work / "serve.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops.cli.main", "serve", "--port", "0", "--workers", "2"],
        env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = next((line for line in process.stdout if line.startswith("serving ")), "")
        words = line.split()  # before it another one may say that it waits for a champion
        assert words, "mlops serve ended; see serve.log"
        yield Group(process, int(words[5].rsplit(":", 1)[1]), words[7].rstrip(");"))
    finally:
        process.kill()
        process.wait()
        log.close()


def until(true: Callable[[], bool], seconds: float = 30.0, every_s: float = 0.1) -> None:
    """Wait for something."""
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s
        time.sleep(every_s)
