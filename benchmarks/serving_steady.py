"""One part of `serving_load.py`: a steady load far beyond MLflow's peak, and how long answers take.

MLflow's peak is the best rate of its own scoring server in this run, on the same model, with 1 to
64 connections in a closed loop; it is stopped before ours is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import orjson
import uvloop

from benchmarks import serving_peers
from benchmarks.open_loop import open_loop
from benchmarks.serving_client import Ask, load
from benchmarks.serving_worker import SHAPE, Worker, cnn_version, writing
from tests.serving.tiny import images, point

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.open_loop import Answer

JSON_TIMES, RAW_TIMES = 2.0, 4.0
P99_MS = 50.0
ON_TIME = 0.99
_CONNECTIONS = (1, 4, 16, 64)
_PEAK_S = 20.0  # at most, for all of these together
_ONE = images(1, shape=SHAPE)
JSON = Ask(
    "/invocations", "application/json",
    orjson.dumps({"inputs": _ONE}, option=orjson.OPT_SERIALIZE_NUMPY),
)  # fmt: skip
RAW = Ask("/predict", "application/octet-stream", _ONE.tobytes())


def p99_ms(answers: list[Answer]) -> float:
    """Return within how many ms, from when they were due, 99 % were answered; NaN for none."""
    return float(np.percentile([a.latency_s for a in answers], 99) * 1000) if answers else np.nan


def errors(answers: list[Answer]) -> int:
    """Count what was not answered with 200, unanswered requests included."""
    return sum(a.status != 200 for a in answers)


def _named(answers: list[Answer]) -> str:
    """Return which statuses the errors had; 0 is no answer."""
    found = Counter(a.status for a in answers if a.status != 200)
    return f" ({', '.join(f'{n} × {status}' for status, n in found.items())})" if found else ""


def offered(answers: list[Answer]) -> float:
    """Return the share of the requests that were sent within 50 ms of when they were due.

    Where it is low, it is the client that was slow, and the load was less than it claims.
    """
    return sum(a.late_s <= 0.05 for a in answers) / max(len(answers), 1)


def steady(scratch: Path, seconds: float) -> dict[str, bool]:
    """Print errors and tails at multiples of MLflow's peak, `seconds` in JSON and as many raw."""
    home, url = scratch / "steady", f"sqlite:///{scratch / 'steady.db'}"
    version = cnn_version(home, "1")
    point(home, "1")
    peak = mlflow_peak(version / "model.onnx", scratch / "peers", min(_PEAK_S, seconds))
    limits = {"MLflow's peak was measured": peak > 0}
    if not peak:
        return limits
    print(f"steady: MLflow's peak {peak:.0f} requests/s")
    with Worker(home, url=url) as worker, writing(worker.spool, url):
        for name, ask, times in (("JSON", JSON, JSON_TIMES), ("raw", RAW, RAW_TIMES)):
            answers = asyncio.run(open_loop(worker.port, ask, times * peak, seconds))
            wrong, tail, sent = errors(answers), p99_ms(answers), offered(answers)
            print(f"steady: {name} at {times:g}x for {seconds:g} s: {wrong} errors"
                  f"{_named(answers)} of {len(answers)} (bar 0), p99 {tail:.1f} ms "
                  f"(bar {P99_MS:g}), {sent:.1%} sent in time (bar {ON_TIME:.0%})")  # fmt: skip
            limits |= {
                f"no errors in {name}": not wrong, f"p99 of {name}": tail <= P99_MS,
                f"the load of {name} was offered": sent >= ON_TIME,
            }  # fmt: skip
    return limits


def mlflow_peak(model: Path, scratch: Path, seconds: float) -> float:
    """Return the most requests a second of MLflow's server on a model; 0 if it does not run."""
    scratch.mkdir()
    peers, failed = serving_peers.begin(model, _ONE, scratch, ("mlflow",))
    for why in failed.values():
        print(f"steady: MLflow's server does not run: {why}")
    try:
        rates = [0.0]
        for connections in _CONNECTIONS if peers else ():
            ask = peers[0].ask(_ONE)
            each_s = seconds / len(_CONNECTIONS)
            latencies_s, took_s = uvloop.run(load(peers[0].port, ask, each_s, connections))
            rates.append(len(latencies_s) / took_s)
    finally:
        for peer in peers:
            peer.stop()
    return max(rates)
