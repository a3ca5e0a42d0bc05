"""One real Prefect server for every test of the flows, and a root whose steps cost nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from mlops import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_S = 180.0
_STEP = """
from mlops.adapters.files import write_json
from mlops.errors import StepError
from mlops.params.base import View
from mlops.site import SENDS, Event, Report

class {title}Params(View):
    pass

def {name}(params, site):
    log = site.layout.root / "calls.txt"
    with log.open("a") as stream:
        stream.write("{name}\\n")
    if "{name}" == "announce":
        (site.layout.root / "failure.txt").write_text(site.option("failure"))
    if "{name}" == "validate":
        held = dict(name="no row is null", expectation="e", column="label", severity="critical",
                    success=True, observed="0 of 9", expected="none", rows=[])
        write_json(site.layout.checks / "checks.json", {{"expectations": [held]}})
    if "{name}" in ("approve", "reject"):
        (site.layout.root / "answer.txt").write_text(" ".join(sorted(site.options)))
    if (site.layout.root / "fail-{name}").exists():
        raise StepError("{name}: told to fail")
    for fresh in site.staged.values():
        fresh.mkdir(parents=True)
        (fresh / "out.txt").write_text("{name}")
    facts = {{"outcome": "promote", "version": "1"}} if "{name}" == "promote" else {{}}
    if facts and (site.layout.root / "required").exists():
        facts["approval"] = "pending"
    payload = {{"incident": "digits-7", "reason": "drift: pixels", "retrain": "r-1"}}
    events = (Event("retrain.requested", "digits-7", payload),) if "{name}" == "monitor" else ()
    if "{name}" == "monitor" and SENDS in site.options and (site.layout.root / "drifts").exists():
        events += (Event("drift.detected", "drift-1", {{}}, "drift-1 drift.detected contrast"),)
    return Report("{name} done", facts, markdown="# {name}", events=events)
"""


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def prefect_server(prefect_home: Path) -> Iterator[str]:
    """Start the server as `mlops up` does, scheduler and automations included."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    # Its own code is not ours to measure.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-ui"]
    api = f"http://127.0.0.1:{port}/api"
    with (prefect_home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=inherited | variables, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        if not _healthy(server, f"{api}/health"):
            server.kill()
            pytest.fail("the Prefect server did not start; see server.log in its home")
    try:
        yield api
        _drain()
    finally:
        server.terminate()
        server.wait(30)


def _drain() -> None:
    """Send what this process still has queued; after the server's end it would wait in vain."""
    from prefect.events.worker import EventsWorker

    EventsWorker.drain_all(timeout=10)


def _healthy(server: subprocess.Popen[bytes], url: str) -> bool:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        try:
            urllib.request.urlopen(url, timeout=5)  # noqa: S310 - our own address
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, "the Prefect server ended"
            time.sleep(0.3)
        else:
            return True
    return False


@pytest.fixture
def prefect_api(prefect_server: str, prefect_home: Path) -> Iterator[str]:
    """Point this process's Prefect at the server."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    here = {
        PREFECT_API_URL: prefect_server,
        PREFECT_HOME: prefect_home,
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(here):
        yield prefect_server


@pytest.fixture
def cheap(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a root with DVC and the real stages' names, and steps that only write a file."""
    from dvc.repo import Repo

    modules = root / "modules"
    modules.mkdir()
    stages = {"ingest", "validate", "prepare", "tune", "train", "evaluate"}
    lines = ["stages:"]
    for name in run.STEPS:
        module = f"cheap_{name}_{root.parent.name}".replace("-", "_")
        (modules / f"{module}.py").write_text(_STEP.format(name=name, title=name.capitalize()))
        monkeypatch.setitem(run.STEPS, name, module)
        if name in stages:
            lines += [f"  {name}:", f"    cmd: mlops {name}", "    deps: [params.yaml]"]
            lines += [f"    outs: [made/{name}]"]
    (root / "dvc.yaml").write_text("\n".join(lines) + "\n")
    Repo.init(str(root), no_scm=True).close()
    monkeypatch.syspath_prepend(str(modules))
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    return root


def calls(root: Path) -> list[str]:
    """Return the steps that ran, in order."""
    path = root / "calls.txt"
    return path.read_text().split() if path.exists() else []
