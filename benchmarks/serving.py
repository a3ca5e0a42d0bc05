"""Requests per second and latencies of one serving worker beside its peers and a no-op app.

Limits that are checked: JSON scoring of one 28 × 28 image runs at 0.25 or more of the rate of an
ASGI app that does nothing on the same server, raw uint8 pixels at 0.5 or more; JSON at 10 times
`mlflow models serve` with a p99 of an eighth at most, 4 times MLServer, 8 times LitServe and
BentoML; raw pixels, 32 images at a time, at 30 times the rows per second of MLflow's JSON.

How: a CNN of 206,922 parameters (two strided convolutions, two layers), the same ONNX file for
all, one thread of ONNX Runtime each, one worker each. Ours asks for a token, checks its input,
counts into the files that `/metrics` reads, and logs every prediction; a writer of its own moves
the log into SQLite. One client process with 64 kept-open connections in a closed loop; rounds of a
few seconds, interleaved, after one of warm-up; medians. Client and servers share the machine's
cores: only ratios mean something. Peers are installed at the first run, see
benchmarks/serving_peers.py; one that cannot be is named.

Run: python benchmarks/serving.py [SECONDS] [--alone]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import serving_peers, serving_report
from benchmarks.serving_client import Ask, load
from benchmarks.serving_report import Findings, Measured
from benchmarks.serving_worker import SHAPE, Worker, cnn_version, running, writing
from mlops.serving.supervisor import bind
from tests.serving.tiny import images, point

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 3
_TOKEN = "0123456789abcdef" * 4
MANY = 32
SWEEP = (1, 4, 16, 64)
Round = tuple[list[float], float]
"""The latencies of one round, and how long it took, in seconds."""

_NOOP = """
import socket, sys, uvicorn
HEADERS = [(b"content-length", b"2")]
async def app(scope, receive, send):
    while (await receive()).get("more_body"): pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})
config = uvicorn.Config(app, http="httptools", loop="uvloop", lifespan="off", access_log=False)
config.log_level = "warning"
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


def measure(seconds: float, *, peers: bool) -> Findings:
    """Run every server side by side and return what was measured."""
    one, many = images(1, shape=SHAPE), images(MANY, shape=SHAPE)
    raw = "application/octet-stream"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home, url = scratch / "serving", f"sqlite:///{scratch}/log.db"
        version = cnn_version(home, "1")
        point(home, "1")
        worker = stack.enter_context(Worker(home, url=url, token=_TOKEN))
        stack.enter_context(writing(worker.spool, url))
        noop = bind("127.0.0.1", 0)
        stack.enter_context(running("-c", _NOOP, str(noop.fileno()), listening=noop.fileno()))
        (scratch / "peers").mkdir()
        others, failed = (
            serving_peers.begin(version / "model.onnx", one, scratch / "peers")
            if peers
            else ([], {})
        )
        for peer in others:
            stack.callback(peer.stop)
        asks: dict[str, tuple[int, Ask]] = {
            "no-op": (noop.getsockname()[1], _json("/", one)),
            "ours": (worker.port, replace(_json("/invocations", one), token=_TOKEN)),
            "ours, raw": (worker.port, Ask("/predict", raw, one.tobytes(), token=_TOKEN)),
            "ours, raw × 32": (
                worker.port,
                Ask("/predict", raw, many.tobytes(), MANY, token=_TOKEN),
            ),
            **{peer.name: (peer.port, peer.ask(one)) for peer in others},
            **{
                f"{peer.name} × 32": (peer.port, peer.ask(many))
                for peer in others
                if peer.name.startswith("MLflow")
            },
        }
        rounds = _rounds(asks, seconds)
        curves = {name: _sweep(*asks[name], seconds / 2) for name in asks if "×" not in name}
        memory_mb = worker.process.memory_info().rss / 1e6
    return Findings(_summed(asks, rounds), curves, failed, memory_mb)


def _json(path: str, pixels: NDArray[np.uint8]) -> Ask:
    body = orjson.dumps({"inputs": pixels}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Ask(path, "application/json", body)


def _rounds(asks: dict[str, tuple[int, Ask]], seconds: float) -> dict[str, list[Round]]:
    import uvloop

    found: dict[str, list[Round]] = {name: [] for name in asks}
    for turn in range(ROUNDS + 1):
        for name, (port, ask) in asks.items():
            one = uvloop.run(load(port, ask, seconds if turn else 1.0))
            if turn:
                found[name].append(one)
    return found


def _sweep(port: int, ask: Ask, seconds: float) -> list[tuple[float, float]]:
    """Return rate and p99, in ms, with ever more connections."""
    import uvloop

    found = []
    for connections in SWEEP:
        latencies_s, took_s = uvloop.run(load(port, ask, seconds, connections))
        found.append((len(latencies_s) / took_s, float(np.percentile(latencies_s, 99)) * 1000))
    return found


def _summed(asks: dict[str, tuple[int, Ask]], rounds: dict[str, list[Round]]) -> list[Measured]:
    made = []
    for name, (_, ask) in asks.items():
        rate = statistics.median(len(latencies) / took_s for latencies, took_s in rounds[name])
        every_ms = np.concatenate([latencies for latencies, _ in rounds[name]]) * 1000
        p50, p99 = np.percentile(every_ms, [50, 99])
        made.append(Measured(name, rate, rate * ask.rows, float(p50), float(p99)))
    return made


def main(words: list[str]) -> int:
    """Print the table, write the page where peers were there; 1 if a limit does not hold."""
    seconds = next((float(word) for word in words if not word.startswith("-")), 4.0)
    found = measure(seconds, peers="--alone" not in words)
    print(*serving_report.table(found), sep="\n")
    if "--alone" not in words:
        serving_report.write(found, Path(__file__).parent)
    checks = serving_report.checks(found)
    for check in checks:
        print(f"{'holds' if check.holds else 'FAILS'}: {check.words}")
    return int(not all(check.holds for check in checks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
