"""Requests per second of one serving worker against a no-op ASGI app on the same server.

Claim: JSON scoring of one 28 × 28 image with validation, metrics and prediction log on runs at
0.25 or more of the rate of an app that does nothing; raw uint8 pixels at 0.5 or more.

How: a 28 × 28 → 10 softmax regression (the server is measured, not the network), one worker, one
client process with 64 kept-open connections, closed loop; n = 3 interleaved rounds of 4 s after
one of warm-up, medians. Client and server share the machine's cores: only ratios mean something.
Segments are spooled; the database is not written here. Measured on 2 cores of a shared virtual
machine, other work running: JSON 0.26, raw 0.51, worker 90 MB.

Run: python benchmarks/serving.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlops.serving.config import ServingConfig
from mlops.serving.supervisor import bind
from tests.serving.tiny import images, make_version, point

SHAPE = (28, 28, 1)
CONNECTIONS = 64
ROUNDS = 3

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


class _Client(asyncio.Protocol):
    """One connection that sends the same request again as soon as it is answered."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self.request, self.latencies = request, latencies
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        assert head.startswith(b"HTTP/1.1 200"), self.buffer[:300]
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self.buffer = b""
            self.latencies.append(time.perf_counter() - self.started)
            self._send()


async def _load(port: int, request: bytes, seconds: float) -> list[float]:
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Client(request, latencies), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for transport, _ in made:
        transport.abort()
    return latencies


def _request(path: str, kind: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def main(seconds: float) -> None:
    """Print a table of rates, latencies and ratios."""
    import uvloop

    image = images(1, shape=SHAPE)
    json = orjson.dumps({"inputs": image}, option=orjson.OPT_SERIALIZE_NUMPY)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "serving"
        make_version(home, "1", shape=SHAPE)
        point(home, "1")
        config = ServingConfig("bench", str(home), f"{scratch}/spool", f"sqlite:///{scratch}/a.db")
        ours, noop = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        environment = {
            **config.environment(),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path.cwd()),
        }
        started = [
            subprocess.Popen([sys.executable, *command, str(listener.fileno())],
                             pass_fds=[listener.fileno()], env=environment)
            for listener, command in ((ours, ["-m", "mlops.serving.worker"]), (noop, ["-c", _NOOP]))
        ]  # fmt: skip

        cases = {
            "no-op, JSON": (noop, _request("/", "application/json", json)),
            "JSON /invocations": (ours, _request("/invocations", "application/json", json)),
            "raw /predict": (
                ours,
                _request("/predict", "application/octet-stream", image.tobytes()),
            ),
        }
        try:
            found: dict[str, list[list[float]]] = {name: [] for name in cases}
            for turn in range(ROUNDS + 1):
                for name, (listener, request) in cases.items():
                    port = listener.getsockname()[1]
                    latencies = uvloop.run(_load(port, request, seconds if turn else 1.0))
                    if turn:
                        found[name].append(latencies)
            memory = _resident_mb(started[0].pid)
        finally:
            for process in started:
                process.terminate()
                process.wait()
    _print(found, seconds, memory)


def _print(found: dict[str, list[list[float]]], seconds: float, memory: float) -> None:
    base = 0.0
    print(f"{'':20}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'to no-op':>10}")
    for name, rounds in found.items():
        rate = statistics.median(len(latencies) / seconds for latencies in rounds)
        base = base or rate
        every = np.concatenate(rounds) * 1000
        p50, p99 = np.percentile(every, [50, 99])
        print(f"{name:20}{rate:12.0f}{p50:9.2f}{p99:9.2f}{rate / base:10.2f}")
    print(f"worker: {memory:.0f} MB resident")


def _resident_mb(pid: int) -> float:
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, check=True)
    return int(listed.stdout) / 1024


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
