"""The spool's bound: what is beyond it is dropped, counted and alarmed, and answers go on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from mlops.core.prediction import Label
from mlops.serving import metrics, spool
from mlops.serving.config import Limits
from mlops.serving.log import PredictionLog
from mlops.serving.room import Room, SpoolFull
from tests.serving.tiny import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.conftest import Running


def test_room_is_looked_for_again_and_again_but_not_at_every_write(tmp_path: Path) -> None:
    now = [0.0]
    room = Room(tmp_path, 100, clock=lambda: now[0])
    (tmp_path / f"1{spool.SUFFIX}").write_bytes(bytes(60))
    (tmp_path / "other").write_bytes(bytes(60))
    room.need(40)
    room.took(40)
    with pytest.raises(SpoolFull, match="holds 100 bytes of 100; see MLOPS_SPOOL_MB"):
        room.need(1)
    (tmp_path / f"1{spool.SUFFIX}").unlink()
    with pytest.raises(SpoolFull):
        room.need(1)
    now[0] = 1.0
    room.need(100)
    Room(tmp_path / "nowhere", 0).need(10**12)


def test_beyond_the_bound_rows_are_counted_and_answers_go_on(
    serve: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(limits=Limits(flush_s=0.005, spool_bytes=4000))
    body = {"inputs": images(2).tolist()}
    with httpx.Client(base_url=server.url) as client:
        name = client.post("/invocations", json=body).json()["prediction_ids"][0]
        assert client.post("/feedback", json={"prediction_id": name, "score": 1}).is_success
        (server.spool / f"9{spool.SUFFIX}").write_bytes(bytes(3990))
        server.app.log._room._look_at_s = 0.0  # a second is over
        before = metrics.LOG_DROPPED._value.get()
        made = [client.post("/invocations", json=body) for _ in range(12)]
        assert {answer.status_code for answer in made} == {200}
        refused = client.post("/feedback", json={"prediction_id": name, "label": 1})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "log_full")
    assert metrics.LOG_DROPPED._value.get() - before == 24 + 1  # the label, too, but that was said
    kept = [spool.read(path) for path in spool.waiting(server.spool)[:-1]]
    assert sum(len(segment.predictions) for segment in kept) == 2
    assert "".join(capsys.readouterr()).count("spool full") == 1


def test_the_log_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    log = PredictionLog(folder, Limits(flush_s=0.005, spool_bytes=300), keep_payloads=True)
    now = [0.0]
    log._room = Room(folder, 300, clock=lambda: now[0])
    for n in range(2):
        given = log.label([Label(f"{n}{'x' * 60}", 1, "user", 1.0)])
        assert given is not None
        given.result(5)
    while not isinstance(log.label([Label("x" * 200, 1, "user", 1.0)]).exception(5), OSError):  # type: ignore[union-attr]
        pass
    for path in spool.waiting(folder):
        path.unlink()
    now[0] = 2.0
    again = log.label([Label("again", 1, "user", 1.0)])
    assert again is not None
    again.result(5)
    log.close()
    [path] = spool.waiting(folder)
    assert [row.prediction_id for row in spool.read(path).labels] == ["again"]


_FULL = """
import json, sys, time
from pathlib import Path
import httpx
from mlops.serving import metrics, spool
from mlops.serving.config import Limits
from tests.serving.conftest import running
from tests.serving.tiny import images
folder, full = Path(sys.argv[1]), Path(sys.argv[1]) / "spool" / "hog"
with running(folder, limits=Limits(flush_s=0.005, queued_rows=20)) as server:
    body = {"inputs": images(2).tolist()}
    codes = [httpx.post(server.url + "/invocations", json=body).status_code]
    time.sleep(0.2)
    with full.open("wb", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(4096))
        except OSError as error:
            why = error.errno
    codes += [httpx.post(server.url + "/invocations", json=body).status_code for _ in range(20)]
    errors, dropped = metrics.SPOOL_ERRORS._value.get(), metrics.LOG_DROPPED._value.get()
    full.unlink()
    time.sleep(0.7)
    kept = sum(len(spool.read(path).predictions) for path in spool.waiting(server.spool))
print(json.dumps([codes, why, errors, dropped, kept]))
"""


def test_a_full_disk_costs_no_answer(tmp_path: Path) -> None:
    """A real one: a memory disk of 64 KiB, mounted where no other process sees it."""
    unshare = shutil.which("unshare")
    spooled = tmp_path / "spool"
    spooled.mkdir()
    mount = f"mount -t tmpfs -o size=64k none {spooled}"
    if not unshare or subprocess.run([unshare, "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("no private mounts here (unshare -rm)")
    run = f'{mount} && exec "$0" -c "$1" "$2"'
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", run, sys.executable, _FULL, str(tmp_path)],
        capture_output=True, text=True, check=True, cwd=Path.cwd(),
    )  # fmt: skip
    codes, why, errors, dropped, kept = json.loads(done.stdout.splitlines()[-1])
    assert codes == [200] * 21
    assert why == 28  # ENOSPC
    assert errors >= 1
    assert (dropped, kept) == (20, 22)
