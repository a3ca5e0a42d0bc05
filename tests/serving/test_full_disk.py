"""A disk without room: a worker starts, serves, counts and gives its signs of life all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mlops.serving.child import Child
from mlops.serving.config import Limits, ServingConfig
from tests.serving.conftest import running
from tests.serving.lines import until

_FILL = """
import os, sys
from pathlib import Path
folder = Path(sys.argv[1])
def fill():
    with (folder / "hog").open("wb", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(4096))
        except OSError:
            pass
"""
_RESPAWN = """
import json, signal, time
import httpx, psutil
from tests.conftest import make_site
from tests.serving.lines import serving_group, until
from tests.serving.tiny import images, make_version, point
site = make_site(folder.parent)
home = site.layout.serving / "digits"
make_version(home, "1")
point(home, "1")
body = {"inputs": images(1).tolist()}
def ask():
    url = f"http://127.0.0.1:{group.port}/invocations"
    return httpx.post(url, json=body, timeout=20).status_code
with serving_group(site, MLOPS_MLFLOW_URI="http://127.0.0.1:9", MLOPS_POLL_S="3600") as group:
    codes = [ask() for _ in range(5)]
    until(lambda: group.metric("mlops_predictions_total") == 5)
    fill()
    victim, healthy = group.workers()
    os.kill(victim, signal.SIGKILL)
    psutil.Process(healthy).suspend()
    codes += [ask() for _ in range(5)]  # by the one in its place
    until(lambda: group.metric("mlops_spool_errors_total") > 0)
    psutil.Process(healthy).resume()
    time.sleep(2)
    [fresh] = {*group.workers()} - {healthy}
    print(json.dumps({
        "codes": codes, "counted": group.metric("mlops_predictions_total"),
        "inside": group.metric("mlops_requests_in_progress"),
        "beats": (home / "alive" / str(fresh)).stat().st_mode & 0o100 > 0,
        "left": os.statvfs(folder).f_bavail,
    }))
"""
_MEMORY = """
fill()
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
os.environ["MLOPS_METRICS_PLACE"] = "worker0"
from mlops.serving import metrics
from mlops.serving.pulse import Pulse
metrics.SWAPS.inc()
for route in range(2000):
    metrics.REQUESTS.labels(f"/{route}", "200").inc()
pulse = Pulse(folder / "pulse")
pulse.add([0.1], 200)
print(metrics.SWAPS._value.get(), sorted(path.name for path in folder.rglob("*")))
"""


def _on_a_disk_of(size: str, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with a small disk at a folder, mounted where no other process sees it."""
    unshare = shutil.which("unshare")
    folder.mkdir(parents=True, exist_ok=True)
    mount = f"mount -t tmpfs -o size={size} none {folder}"
    if not unshare or subprocess.run([unshare, "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("no private mounts here (unshare -rm)")
    run = f'{mount} && exec "$0" -c "$1" "$2"'
    return subprocess.run(
        [unshare, "-rm", "sh", "-c", run, sys.executable, _FILL + script, str(folder)],
        capture_output=True, text=True, check=False, cwd=Path.cwd(), timeout=100,
    )  # fmt: skip


def test_who_replaces_a_dead_worker_serves_and_counts_on(root: Path) -> None:
    """Nothing that it says of itself needs a block of the disk that the dead one did not have."""
    done = _on_a_disk_of("30m", root / ".mlops", _RESPAWN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "codes": [200] * 10, "counted": 10.0, "inside": 0.0, "beats": True, "left": 0,
    }  # fmt: skip


def test_who_finds_no_room_to_count_in_counts_in_memory_and_says_so(tmp_path: Path) -> None:
    done = _on_a_disk_of("64k", tmp_path / "disk", _MEMORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1.0 ['hog', 'pulse']"
    assert "metrics of worker0 stay in its memory" in done.stderr
    assert "No space left on device" in done.stderr


def test_signs_of_life_and_deadlines_go_on_after_one_that_failed(tmp_path: Path) -> None:
    own = tmp_path / "serving" / "alive" / str(os.getpid())
    own.parent.mkdir(parents=True)
    own.symlink_to(own)  # refuses everybody, the superuser too
    with running(tmp_path, version=None, limits=Limits(deadline_s=0.3)) as server:
        server.app.coming = lambda: True
        time.sleep(0.3)
        own.unlink()
        until(own.exists, 5)
        reply = httpx.post(server.url + "/invocations", json={"inputs": [1]})
        assert reply.json()["error"]["code"] == "deadline"


def test_what_cannot_show_that_it_lives_is_not_called_silent(tmp_path: Path) -> None:
    """On a disk without room for the file, ending it would end every one that follows it."""
    child = Child([sys.executable, "-c", "import time; time.sleep(60)"], {}, beat=tmp_path / "none")
    child.start()
    try:
        assert child.silent_s(time.monotonic() + 100.0) == 0.0
    finally:
        child.stop()
        child.wait(time.monotonic() + 5)


@pytest.mark.parametrize("module", ["worker", "foreign.worker"])
@pytest.mark.parametrize("told", [True, False])
def test_why_a_worker_cannot_start_is_said_in_one_line(
    told: bool, module: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.touch()  # where its folder is to be
    config = ServingConfig("tiny", str(home), str(tmp_path / "spool"), "")
    done = subprocess.run(
        [sys.executable, "-m", f"mlops.serving.{module}", "0"],
        env={**os.environ, **(config.environment() if told else {})},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("a worker cannot start: ")
    assert (str(home) if told else "MLOPS_SERVING is not set") in line


def test_a_log_on_a_full_disk_ends_nobody() -> None:
    script = (
        "import structlog, sys; from mlops.log import configure; configure();"
        "from mlops.serving.terminal import say; say('one', sys.stderr);"
        "structlog.get_logger().error('two'); print('goes on')"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=full, text=True,
            check=False,
        )  # fmt: skip
    assert done.stdout == "goes on\n"
