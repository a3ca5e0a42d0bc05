"""A registered version in MLflow's own hands: described, loaded and served without us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from mlops.adapters import registry
from mlops.adapters.ports import choose_ports
from tests import entrants, judged

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Site

URI = "models:/digits@champion"
START_S = 180.0


@pytest.fixture(scope="module")
def promoted(keep: Callable[[], Site]) -> Site:
    """Return a site with a champion, which is only read."""
    site = keep()
    judged.begin(site)
    judged.enter(site, entrants.block_weights())
    judged.judge(site)
    return site


def test_mlflow_describes_the_version_and_its_example_runs_without_pickle(
    promoted: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    from mlflow import onnx, pyfunc
    from mlflow.models import Model, get_model_info

    info = get_model_info(URI)
    assert set(info.flavors) == {"onnx", "python_function"}
    [given], [answered] = info.signature.inputs.inputs, info.signature.outputs.inputs
    assert (given.name, given.type, given.shape) == ("image", np.uint8, (-1, 4, 4, 1))
    assert (answered.name, answered.shape) == ("probabilities", (-1, 3))

    folder = registry.fetch(promoted, "digits", "1", fresh=True)
    example = Model.load(folder).load_input_example(str(folder))
    with np.load(folder / "golden.npz") as golden:
        images, expected = golden["features"], golden["probabilities"]
    np.testing.assert_array_equal(example["image"], images[:2])
    found = pyfunc.load_model(URI).predict(example)
    np.testing.assert_allclose(found["probabilities"], expected[:2], atol=1e-6)
    assert onnx.load_model(URI).graph.output[0].name == "probabilities"

    pinned = (folder / "requirements.txt").read_text().split()
    assert {line.split("==")[0] for line in pinned} == {"mlflow", "numpy", "onnx", "onnxruntime"}
    assert all(line.count("==") == 1 for line in pinned)


def test_mlflows_own_server_answers_as_the_golden_requests_say(promoted: Site) -> None:
    ports, _ = choose_ports(promoted.layout, promoted.settings)
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", URI, "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(ports.serve), "--workers", "1",
    ]  # fmt: skip
    uri = promoted.settings.tracking(promoted.layout)
    environment = {
        # MLflow starts `uvicorn` by name: a shell with the environment active finds it, so here.
        **os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }  # fmt: skip
    with np.load(registry.fetch(promoted, "digits", "1") / "golden.npz") as golden:
        images, expected = golden["features"], golden["probabilities"]
    log = (promoted.work / "serve.log").open("wb")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{ports.serve}", timeout=30, trust_env=False
        ) as client:
            _wait(client, process)
            reply = client.post("/invocations", json={"inputs": images.tolist()})
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(process.pid, 15)
        process.wait(20)
        log.close()
    assert reply.status_code == 200, reply.text
    found = np.array(reply.json()["predictions"]["probabilities"])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def _wait(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            client.get("/ping").raise_for_status()
        except httpx.HTTPError:
            assert process.poll() is None, "MLflow's server ended: see serve.log"
            assert time.monotonic() < deadline, "MLflow's server did not start"
            time.sleep(0.2)
        else:
            return
