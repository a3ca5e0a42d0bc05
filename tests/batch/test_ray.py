"""Bulk scoring on a local Ray cluster of separate processes; skipped where Ray is not installed."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import files
from mlops.adapters.ray import over
from mlops.errors import DataError, Unavailable, UsageError
from mlops.settings import Settings
from tests.batch.test_score import read, run, scores, write
from tests.entrants import rows
from tests.project import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.site import Site

INSTALLED = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not INSTALLED, reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a head and a second node, each a process group of its own, on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("r")
    common = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--block", "--disable-usage-stats"]
    common += ["--object-store-memory=80000000"]
    env = {
        **os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(
            [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        ),
    }  # fmt: skip
    ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start"]
    head = [*ray, "--head", f"--port={port}", "--include-dashboard=false", *common]
    second = [*ray, f"--address={address}", *common]
    with (folder / "log").open("wb") as log:
        started = []
        try:
            for command in (head, second):
                started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
                _await_nodes(address, len(started), env)
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait(30)


def _await_nodes(address: str, count: int, env: dict[str, str]) -> None:
    code = (
        "import ray, sys, time\n"
        "for _ in range(120):\n"
        "    try:\n"
        f"        ray.init(address={address!r}, log_to_driver=False, logging_level='error')\n"
        "    except Exception:\n"
        "        time.sleep(0.5)\n"
        "        continue\n"
        "    while sum(n['Alive'] for n in ray.nodes()) < int(sys.argv[1]): time.sleep(0.1)\n"
        "    break\n"
    )
    subprocess.run([sys.executable, "-c", code, str(count)], check=True, timeout=120, env=env)


@needs_ray
def test_a_cluster_writes_the_same_bytes(cluster: str, project: Site, tmp_path: Path) -> None:
    source = write(tmp_path, "parquet")
    run(project, source, tmp_path / "local", partitions=12)
    there = replace(project, settings=Settings(ray_address=cluster))
    report = run(there, source, tmp_path / "ray", engine="ray", partitions=12)
    assert files.manifest(tmp_path / "ray") == files.manifest(tmp_path / "local")
    assert report.facts["processes"] == report.facts["nodes"] == 2
    again = run(there, source, tmp_path / "ray", engine="ray", partitions=12)
    assert again.facts["parts_kept"] == 12


@needs_ray
def test_what_a_killed_driver_left_is_gone_on_with(
    cluster: str, project: Site, tmp_path: Path
) -> None:
    source = write(tmp_path, "npy")
    run(project, source, tmp_path / "out", partitions=6)
    for n in (0, 3):
        (tmp_path / "out" / f"part-{n:05}-of-00006.parquet").unlink()
    there = replace(project, settings=Settings(ray_address=cluster))
    report = run(there, source, tmp_path / "out", engine="ray", partitions=6)
    assert report.facts["parts_kept"] == 4
    assert len(scores(read(tmp_path / "out"))) == len(rows(300, hard=0.3, seed=5))


@needs_ray
def test_an_error_in_a_worker_is_told_as_here(cluster: str) -> None:
    with pytest.raises(DataError, match="no such file"):
        list(over(cluster, files.read_json, [REPOSITORY / "nowhere.json"]))


@needs_ray
def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(Unavailable, match=r"MLOPS_RAY_ADDRESS=127\.0\.0\.1:9"):
        list(over("127.0.0.1:9", np.sqrt, [1.0]))


@pytest.mark.skipif(INSTALLED, reason="the extra `ray` is installed")
def test_without_ray_the_remedy_is_named(project: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pip install 'mlops\[ray\]', or engine: local"):
        run(project, write(tmp_path, "npy"), tmp_path / "out", engine="ray")
