"""A version in the real server before anybody is served by it: `python -m mlops.serving.trial`.

A worker in a fresh process, on a loopback port and a folder of its own, loads the version as it
would in service, and answers the golden requests over HTTP. What came of it is printed as one line
of JSON: the figures, or `fault` with a sentence.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import psutil

from mlops.adapters import files
from mlops.core.features import values_of
from mlops.core.schema import TableSchema, parse_schema
from mlops.serving.config import ServingConfig
from mlops.serving.model import GOLDEN_FILE, Pointer, difference, write_pointer
from mlops.serving.supervisor import bind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlops.core.schema import Schema

# Long, but below the caller's own limit: that a machine is busy is no fault of the candidate.
_READY_S = 90.0
_REQUEST_S = 10.0
_WARM_RUNS, _TIMED_RUNS = 10, 100
_PROJECT = "trial"


def trial(folder: Path, digest: str) -> dict[str, float | str]:
    """Serve a version, ask it the golden requests, and measure it.

    Args:
        folder: the version's files.
        digest: of its manifest, as the ledger holds it.

    Returns:
        `latency_ms`, `memory_mb`, `size_mb`, `worst_difference`; or `fault`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mlops-trial-") as home,
        _worker(folder, digest, Path(home)) as (worker, address),
    ):
        try:
            _wait(worker, address)
            worst, latency_ms = _ask(address, folder)
        except (OSError, HTTPException, ValueError, KeyError) as error:
            what = " ".join(str(error).split())[:300]
            return {"fault": f"the candidate failed in the real server: {what}"}
        memory_mb = psutil.Process(worker.pid).memory_info().rss / 1e6
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "latency_ms": latency_ms, "memory_mb": memory_mb, "size_mb": size / 1e6,
        "worst_difference": worst,
    }  # fmt: skip


@contextmanager
def _worker(folder: Path, digest: str, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start one worker whose pointer names the version; end it in any case."""
    config = ServingConfig(
        project=_PROJECT, home=str(home), spool=str(home / "spool"),
        database_url=f"sqlite:///{home / 'none.db'}",
    )  # fmt: skip
    write_pointer(home, Pointer("0", str(folder), digest, time.time()))
    (home / "metrics").mkdir()
    environment = {
        **os.environ, **config.environment(), "OMP_NUM_THREADS": "1",
        "MLOPS_LOG_LEVEL": "error", "PROMETHEUS_MULTIPROC_DIR": str(home / "metrics"),
    }  # fmt: skip
    listener = bind("127.0.0.1", 0)
    fd, port = listener.fileno(), listener.getsockname()[1]
    command = [sys.executable, "-m", "mlops.serving.worker", str(fd)]
    worker = subprocess.Popen(
        command, env=environment, pass_fds=(fd,), stdout=subprocess.DEVNULL,
        stderr=(home / "worker.log").open("wb"),
    )  # fmt: skip
    try:
        yield worker, f"127.0.0.1:{port}"
    finally:
        worker.kill()
        worker.wait()
        listener.close()


def _wait(worker: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the worker says that a model is in service."""
    end_s = time.monotonic() + _READY_S
    answer = "no answer"
    while time.monotonic() < end_s:
        if worker.poll() is not None:
            raise ValueError(f"the worker ended with code {worker.returncode}")
        connection = HTTPConnection(address, timeout=1.0)
        try:
            connection.request("GET", "/ping")
            answer = str(connection.getresponse().status)
        except OSError:
            time.sleep(0.02)
            continue
        finally:
            connection.close()
        if answer == "200":
            return
        time.sleep(0.05)
    raise ValueError(f"not in service after {_READY_S:.0f} s (its last answer: {answer})")


def _ask(address: str, folder: Path) -> tuple[float, float]:
    """Send every golden request at once and one by one; the worst difference, and the p95 in ms."""
    with np.load(folder / GOLDEN_FILE, allow_pickle=False) as stored:
        features, expected = stored["features"], stored["probabilities"]
    where = folder / "model.json"
    schema = parse_schema(files.read_json(where).get("schema"), str(where))
    connection = HTTPConnection(address, timeout=_REQUEST_S)
    try:
        worst = difference(_invoke(connection, features, schema), expected, schema)
        taken, found = [], expected.astype(np.float64)
        for run in range(_WARM_RUNS + _TIMED_RUNS):
            row = run % len(features)
            body = _body(features[row : row + 1], schema)
            started = time.perf_counter()
            found[row] = _answers(connection, body)
            taken.append(time.perf_counter() - started)
        worst = max(worst, difference(found, expected, schema))
    finally:
        connection.close()
    return worst, float(np.quantile(taken[_WARM_RUNS:], 0.95) * 1000)


def _invoke(connection: HTTPConnection, features: NDArray[Any], schema: Schema) -> NDArray[Any]:
    return _answers(connection, _body(features, schema))


def _body(features: NDArray[Any], schema: Schema) -> bytes:
    """Return rows as a caller of the kind would send them."""
    values = values_of(features, schema)
    if not isinstance(schema, TableSchema):
        return orjson.dumps({"inputs": values if isinstance(values, list) else values.tolist()})
    rows = list(zip(*(column.tolist() for column in values), strict=True))
    split = {"columns": [column.name for column in schema.columns], "data": rows}
    return orjson.dumps({"dataframe_split": split})  # writes NaN, a missing value, as null


def _answers(connection: HTTPConnection, body: bytes) -> NDArray[Any]:
    connection.request("POST", "/invocations", body, {"content-type": "application/json"})
    response = connection.getresponse()
    content = json.loads(response.read())
    if response.status != 200:
        raise ValueError(f"status {response.status}: {content.get('message', '')}")
    found = content["predictions"]
    return np.array(next(iter(found.values())) if isinstance(found, dict) else found, np.float64)


def main() -> None:
    """Try the version whose folder and digest are the two arguments."""
    folder, digest = sys.argv[1:]
    print(json.dumps(trial(Path(folder), digest)))  # noqa: T201 - its one line of output


if __name__ == "__main__":
    main()
