"""One serving worker under swaps, overload and time: errors, tails, goodput, memory, lost rows.

Limits that it checks, printed beside what was found as `bar`: 100 swaps at 100 requests/s leave 0
errors and a p99 of at most twice the p99 without; at 4 times its own peak a worker still answers
90 % of that peak, and says no within 50 ms in 95 of 100 cases; after an hour with a swap every
half minute memory has grown by 5 % at most, descriptors and threads are as many as before, and
the log holds exactly the replies that were sent; a worker is ready within 1.5 s of its start, in
150 MB.

How: one worker, one client process, an open loop: a request is sent when it is due, whatever
became of the earlier ones, and its latency counts from then. Overload uses a model of some
milliseconds a row, so that the client can send four times the peak at all: with a model of
microseconds refusing costs a quarter of answering, and no server keeps 90 %. Client and server
share the machine's cores: only ratios mean something. Exits 1 if a limit does not hold.

Run: python benchmarks/serving_load.py [start] [swaps] [overload] [soak [MINUTES]]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from benchmarks.open_loop import Answer, closed_loop, open_loop
from benchmarks.serving_worker import SHAPE, Worker, heavy_version
from mlops.adapters.sql.engine import open_database
from mlops.serving.config import Limits
from mlops.serving.writer import Writer
from tests.serving.tiny import images, logged_ids, make_version, point

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

Broken = list[str]
"""Names of the limits that did not hold."""

RATE = 100.0
SWAPS, SWAP_S = 100, 0.3
OVERLOAD_S = 10.0
USEFUL_S = 5.0  # later, by when it was due, an answer helps nobody
SOAK_MINUTES, SOAK_SWAP_S = 60.0, 30.0


def _body() -> bytes:
    return orjson.dumps({"inputs": images(1, shape=SHAPE)}, option=orjson.OPT_SERIALIZE_NUMPY)


def _broken(limits: dict[str, bool]) -> Broken:
    return [name for name, holds in limits.items() if not holds]


def _p99(answers: list[Answer]) -> float:
    return float(np.percentile([a.latency_s for a in answers], 99) * 1000)


def _errors(answers: list[Answer]) -> int:
    return sum(a.status != 200 for a in answers)


def start(scratch: Path) -> Broken:
    """Print how long a worker takes to its first answer, and its memory then."""
    took, memory = [], []
    for n in range(3):
        home = scratch / f"start{n}"
        make_version(home, "1", shape=SHAPE)
        point(home, "1")
        with Worker(home) as worker:
            took.append(worker.ready_s)
            memory.append(worker.process.memory_info().rss / 1e6)
    print(f"start: ready after {statistics.median(took):.2f} s (bar 1.5), "
          f"{statistics.median(memory):.0f} MB resident (bar 150)")  # fmt: skip
    return _broken({
        "ready in time": statistics.median(took) <= 1.5, "memory": statistics.median(memory) <= 150,
    })  # fmt: skip


def swaps(scratch: Path, count: int = SWAPS) -> Broken:
    """Print errors and tails of a steady stream, without and with swaps."""
    home = scratch / "swaps"
    for version in ("1", "2", "3"):
        make_version(home, version, seed=int(version), shape=SHAPE)
    point(home, "1")
    seconds = count * SWAP_S
    with Worker(home) as worker:
        quiet = asyncio.run(open_loop(worker.port, _body(), RATE, seconds))
        busy = asyncio.run(_swapping(worker, home, seconds, SWAP_S))
    versions = {a.version for a in busy}
    print(f"swaps: {count} at {RATE:.0f}/s: {_errors(busy)} errors of {len(busy)} (bar 0), "
          f"p99 {_p99(busy):.1f} ms, without {_p99(quiet):.1f} ms: "
          f"ratio {_p99(busy) / _p99(quiet):.2f} (bar 2), "
          f"versions seen {len(versions)}")  # fmt: skip
    slower = _p99(busy) / _p99(quiet)
    return _broken({"no errors in swaps": not _errors(busy), "p99 in swaps": slower <= 2})


async def _swapping(
    worker: Worker, home: Path, seconds: float, every_s: float,
    each: Callable[[], None] | None = None,
) -> list[Answer]:  # fmt: skip
    asking = asyncio.create_task(open_loop(worker.port, _body(), RATE, seconds))
    turn = 0
    while not asking.done():
        await asyncio.wait([asking], timeout=every_s)
        turn += 1
        point(home, str(turn % 3 + 1))
        if each is not None:
            each()
    return await asking


def overload(scratch: Path, seconds: float = OVERLOAD_S) -> Broken:
    """Print goodput and refusals at four times the peak, and the recovery."""
    home = scratch / "overload"
    heavy_version(home, "1")
    point(home, "1")
    with Worker(home, Limits(wait_s=0.5)) as worker:
        asyncio.run(closed_loop(worker.port, _body(), 2.0))
        alone = asyncio.run(closed_loop(worker.port, _body(), seconds))
        peak = len(alone) / seconds
        flood = asyncio.run(open_loop(worker.port, _body(), 4.0 * peak, seconds))
        began = time.perf_counter()
        while not all(a.status == 200 and a.latency_s < 0.05 for a in
                      asyncio.run(open_loop(worker.port, _body(), peak / 4, 0.2))):  # fmt: skip
            assert time.perf_counter() - began < 30, "it does not recover"
        recovered = time.perf_counter() - began
        after = len(asyncio.run(closed_loop(worker.port, _body(), seconds))) / seconds
    good = [a for a in flood if a.status == 200 and a.latency_s <= USEFUL_S]
    shed = np.array([a.latency_s for a in flood if a.status in (429, 503)]) * 1000
    odd = len(flood) - len(good) - len(shed)  # answers that came too late among them
    p50, p99 = np.percentile(shed, [50, 99]) if len(shed) else (0.0, 0.0)
    soon = float((shed <= 50).sum()) / max(len(shed), 1)  # none refused is none in time
    mean = (peak + after) / 2
    print(f"overload: peak {peak:.0f}/s before, {after:.0f}/s after; at "
          f"{len(flood) / seconds / peak:.1f}x goodput {len(good) / seconds / mean:.2f} of their "
          f"mean (bar 0.90), answered p99 {_p99(good):.0f} ms; {len(shed)} refused, p50 {p50:.1f} "
          f"ms, p99 {p99:.1f} ms, within 50 ms {soon:.1%}; {odd} others; "
          f"recovered in {recovered:.1f} s (bar 5)")  # fmt: skip
    return _broken({
        "goodput": len(good) / seconds >= 0.9 * mean, "refusals in 50 ms": soon >= 0.95,
        "only answers and refusals": odd == 0, "recovery": recovered <= 5,
    })  # fmt: skip


def soak(scratch: Path, minutes: float = SOAK_MINUTES) -> Broken:
    """Print growth of the worker over time, and whether the log is what was sent."""
    home, url = scratch / "soak", f"sqlite:///{scratch / 'soak.db'}"
    for version in ("1", "2", "3"):
        make_version(home, version, seed=int(version), shape=SHAPE)
    point(home, "1")
    seen: list[tuple[float, int, int]] = []
    with Worker(home, url=url) as worker:
        writer = Writer(worker.spool, "bench", url)
        writer.start()

        def look() -> None:
            process: psutil.Process = worker.process
            memory = process.memory_info().rss / 1e6
            seen.append((memory, process.num_fds(), process.num_threads()))

        every_s = min(SOAK_SWAP_S, minutes * 60 / 10)
        answers = asyncio.run(_swapping(worker, home, minutes * 60, every_s, look))
    writer.close(60)
    sent = [name for a in answers for name in a.ids]
    engine = open_database(url)
    kept = [name for v in ("1", "2", "3") for name in logged_ids(engine, "bench", v)]
    warm, last = seen[max(1, len(seen) // 5)], seen[-2]
    print(f"soak: {minutes:g} min, {len(answers)} requests, {_errors(answers)} errors, "
          f"{len(seen)} swaps; memory {warm[0]:.0f} to {last[0]:.0f} MB "
          f"({last[0] / warm[0] - 1:+.1%}, bar 5%), descriptors {warm[1]} to {last[1]}, "
          f"threads {warm[2]} to {last[2]}; {len(sent)} rows sent, {len(kept)} logged, "
          f"{'the same' if sorted(sent) == sorted(kept) else 'NOT the same'}")  # fmt: skip
    return _broken({
        "no errors in the soak": not _errors(answers), "memory kept": last[0] <= 1.05 * warm[0],
        "descriptors and threads kept": last[1:] == warm[1:],
        "log whole": sorted(sent) == sorted(kept),
    })  # fmt: skip


PARTS = {"start": start, "swaps": swaps, "overload": overload, "soak": soak}


def main(words: list[str]) -> int:
    """Run the named parts, all of them if none is named; return 1 if a limit does not hold."""
    minutes = next((float(word) for word in words if word not in PARTS), SOAK_MINUTES)
    chosen = [word for word in words if word in PARTS] or list(PARTS)
    failed: Broken = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in chosen:
            if name == "soak":
                failed += soak(Path(scratch), minutes)
            else:
                failed += PARTS[name](Path(scratch))
    print(f"limits BROKEN: {', '.join(failed)}" if failed else "all limits hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
