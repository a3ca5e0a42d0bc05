"""From a URI to workers: what is tried first, what is said, and what waits meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client import REGISTRY

from mlops.adapters import files
from mlops.errors import UnverifiedModel, UsageError
from mlops.layout import Layout
from mlops.serving.asked import ASKED, Asked
from mlops.serving.beat import READY
from mlops.serving.config import ServingConfig
from mlops.serving.foreign import bring as module
from mlops.serving.foreign.bring import bring, brought
from mlops.serving.foreign.runner import Loading, Runner
from mlops.serving.pointer import Pointer, read_pointer, write_pointer
from mlops.serving.reply import Refused
from mlops.serving.setup import foreign_config
from mlops.settings import Settings
from tests.foreign import ROWS, save_sklearn
from tests.serving.foreign.conftest import asking

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.site import Site


def test_a_model_answers_its_own_example_before_it_is_pinned(site: Site, tmp_path: Path) -> None:
    folder = save_sklearn(tmp_path / "model")
    told = bring(site, site.settings, str(folder))
    assert (told["name"], told["flavour"], told["pinned"]) == ("model", "sklearn", "just now")
    assert told["took"].endswith("ms for its example")
    assert bring(site, site.settings, str(folder))["pinned"] == ""
    pins = files.read_json(site.layout.foreign / "pins.json")
    assert pins == {str(folder): told["digest"]}


def test_what_is_refused_is_said_by_the_process_that_tried_it(site: Site, tmp_path: Path) -> None:
    folder = save_sklearn(tmp_path / "model", "cloudpickle")
    with pytest.raises(UnverifiedModel, match=r"is a cloudpickle file.*MLOPS_SERVE_CODE=true"):
        brought(site.layout, str(folder))
    assert not (site.layout.foreign / "pins.json").exists()
    with pytest.raises(UsageError, match="neither models:/NAME/VERSION nor a folder"):
        brought(site.layout, "nowhere")


def test_a_process_that_ends_without_a_word_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnverifiedModel, match="ended with code 1"):
        brought(site.layout, "nowhere")


def test_a_model_that_fails_on_its_own_example_is_told(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_sklearn(tmp_path / "model")
    example = folder / "input_example.json"
    example.write_text(example.read_text().replace("30.0", "NaN"))
    monkeypatch.setenv("MLOPS_ROOT", str(root))
    monkeypatch.setattr(sys, "argv", ["bring", str(folder)])
    assert module.main() == 1
    assert "cannot answer these rows" in capsys.readouterr().out


def test_workers_are_told_name_folder_and_whether_code_may_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"name": "theirs", "version": "3", "folder": str(tmp_path / "d" / "model"),
            "digest": "d" * 64, "flavour": "onnx", "took": "", "pinned": "just now"}  # fmt: skip
    monkeypatch.setattr(module, "brought", lambda *_: told)
    plain = ServingConfig("digits", "", "", "")
    config, note = foreign_config(Layout(root), Settings(serve_code=True), plain, "models:/t/3")
    assert (config.project, config.home, config.code) == ("theirs", str(tmp_path / "d"), True)
    pointer = read_pointer(config.folder)
    assert pointer is not None
    assert (pointer.version, pointer.digest) == ("3", "d" * 64)
    assert note == (
        "; MLflow pyfunc (onnx), slower; not gated, not logged; pinned to what it is now"
    )


def test_until_a_model_is_loaded_nobody_is_answered(tmp_path: Path) -> None:
    runner = Runner()
    loading = Loading(ServingConfig("theirs", str(tmp_path), "", ""), runner)
    with pytest.raises(Refused, match="being loaded"):
        runner.served()
    write_pointer(tmp_path, Pointer("3", str(tmp_path), "d" * 64, 1.0))
    asyncio.run(loading.step())  # its bytes are not the pointer's
    with pytest.raises(Refused, match="being loaded"):
        runner.served()


def test_a_worker_that_is_started_while_another_serves_listens_with_its_model(
    tmp_path: Path,
) -> None:
    """What it took before would have been answered by the other one."""
    alive = tmp_path / "home" / "alive"
    alive.mkdir(parents=True)
    (alive / "1").touch(mode=READY)
    refused = {"route": "/ping", "status": "503"}
    before = REGISTRY.get_sample_value("mlops_requests_total", refused)
    with asking(save_sklearn(tmp_path / "model"), tmp_path / "home") as (client, _):
        assert client.get("/ping").status_code == 200
    assert REGISTRY.get_sample_value("mlops_requests_total", refused) == before


def test_who_waits_too_long_is_told_and_a_running_job_is_seen() -> None:
    runner, going = Runner(), threading.Event()

    async def ask() -> tuple[float, list[str]]:
        first = asyncio.create_task(runner.run(going.wait))
        await asyncio.sleep(0.05)
        ASKED.set(Asked("id", "", b"", time.perf_counter() + 0.1, {}))
        with pytest.raises(Refused) as late:
            await runner.run(lambda: 1)
        hung_s = runner.hung_s()
        going.set()
        await first
        return hung_s, [late.value.code]

    hung_s, codes = asyncio.run(ask())
    assert hung_s > 0.1
    assert codes == ["deadline"]
    assert runner.hung_s() == 0.0


@pytest.mark.bench
def test_mlops_serve_with_a_model_from_elsewhere(root: Path, tmp_path: Path) -> None:
    folder = save_sklearn(tmp_path / "model")
    environment = {**os.environ, "MLOPS_ROOT": str(root), "MLOPS_METRICS_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops.cli.main", "serve", "--port", "0", "--model", str(folder)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("serving model version ")
        assert "not gated" in line
        rows = {"rows": ROWS.to_dict("records")}
        reply = httpx.post(line.split()[5] + "/predict", json=rows, timeout=20)
        assert reply.json()["predictions"] == ["no", "yes", "no", "yes"]
        metrics = httpx.get(line.split()[7].rstrip(");")).text
        assert "mlops_model_foreign 1.0" in metrics
        assert 'mlops_model_runtime{runtime="MLflow pyfunc"} 1.0' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
