"""One serving worker under load, swaps and time: errors, tails, goodput, memory, lost rows.

Limits that it checks, printed beside what was found as `bar`: ten minutes at twice MLflow's peak
in JSON, and ten at four times it in raw pixels, leave 0 errors and a p99 of 50 ms; 100 swaps at
100 requests/s leave 0 errors and a p99 of at most twice the p99 without; at 4 times its own peak a
worker still answers 90 % of that peak, and says no within 50 ms (99 of 100 times, for this client
shares the machine); after an hour with a swap every half minute memory has grown by 5 % at most,
descriptors (but for clients' connections) and threads are as many as before, and the log holds
exactly the replies that were sent; a worker is ready within 1.5 s of its start, in 150 MB.

How: the network of benchmarks/serving.py; one worker, one client process, an open loop: a request
is sent when it is due, whatever became of the earlier ones, and its latency counts from then; one
that is never answered is an error. A load that the client did not offer in time breaks a limit,
too. Overload uses a model of some milliseconds a row, so that the client can send four times the
peak at all: with a model of microseconds refusing costs a quarter of answering, and no server keeps
90 %. Client and server share the machine's cores: only ratios mean something. Exits 1 if a limit
does not hold.

Run: python benchmarks/serving_load.py [SECONDS] [PART[=SECONDS]] …
Parts are start, steady, swaps, overload and soak; all of them where none is named. SECONDS shortens
every part that has none of its own: `20` for a look at everything, `soak=600` for ten minutes.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from typing import TYPE_CHECKING

from benchmarks.open_loop import closed_loop, open_loop
from benchmarks.serving_soak import RATE, TAKEN, VERSIONS, soak, swapping, taken
from benchmarks.serving_steady import JSON, ON_TIME, errors, offered, p99_ms, steady
from benchmarks.serving_worker import Worker, cnn_version, heavy_version
from mlops.serving.config import Limits
from tests.serving.tiny import point

if TYPE_CHECKING:
    from collections.abc import Callable

Held = dict[str, bool]
"""Names of limits, and whether each held."""

SWAP_S = 0.3
USEFUL_S = 5.0  # later, by when it was due, an answer helps nobody


def start(scratch: Path, _seconds: float) -> Held:
    """Print how long a worker takes to its first answer, and its memory then."""
    took, memory = [], []
    for n in range(3):
        home = scratch / f"start{n}"
        cnn_version(home, "1")
        point(home, "1")
        with Worker(home) as worker:
            took.append(worker.ready_s)
            memory.append(worker.process.memory_info().rss / 1e6)
    print(f"start: ready after {statistics.median(took):.2f} s (bar 1.5), "
          f"{statistics.median(memory):.0f} MB resident (bar 150)")  # fmt: skip
    return {
        "ready in time": statistics.median(took) <= 1.5, "memory": statistics.median(memory) <= 150,
    }  # fmt: skip


def swaps(scratch: Path, seconds: float) -> Held:
    """Print errors and tails of a steady stream, without and with swaps."""
    home = scratch / "swaps"
    for version in VERSIONS:
        cnn_version(home, version)
    point(home, VERSIONS[0])
    with Worker(home) as worker:
        quiet = asyncio.run(open_loop(worker.port, JSON, RATE, seconds))
        busy = asyncio.run(swapping(worker, home, seconds, SWAP_S))
    slower, share = p99_ms(busy) / p99_ms(quiet), taken(busy, seconds, SWAP_S)
    print(f"swaps: {share:.0%} of {seconds / SWAP_S:.0f} at {RATE:.0f}/s: {errors(busy)} errors "
          f"of {len(busy)} (bar 0), p99 {p99_ms(busy):.1f} ms, without {p99_ms(quiet):.1f} ms: "
          f"ratio {slower:.2f} (bar 2)")  # fmt: skip
    return {
        "no errors in swaps": not errors(quiet + busy), "p99 in swaps": slower <= 2,
        "swaps were made": share >= TAKEN,
    }  # fmt: skip


def overload(scratch: Path, seconds: float) -> Held:
    """Print goodput and refusals at four times the peak, and the recovery."""
    home = scratch / "overload"
    heavy_version(home, "1")
    point(home, "1")
    with Worker(home, Limits(wait_s=0.5)) as worker:
        asyncio.run(closed_loop(worker.port, JSON, 2.0))
        alone = asyncio.run(closed_loop(worker.port, JSON, seconds))
        peak = len(alone) / seconds
        flood = asyncio.run(open_loop(worker.port, JSON, 4.0 * peak, seconds))
        began = time.perf_counter()
        while not all(a.status == 200 and a.latency_s < 0.05 for a in
                      asyncio.run(open_loop(worker.port, JSON, peak / 4, 0.2))):  # fmt: skip
            assert time.perf_counter() - began < 30, "it does not recover"
        recovered = time.perf_counter() - began
        after = len(asyncio.run(closed_loop(worker.port, JSON, seconds))) / seconds
    good = [a for a in flood if a.status == 200 and a.latency_s <= USEFUL_S]
    shed = np.array([a.latency_s for a in flood if a.status in (429, 503)]) * 1000
    odd = len(flood) - len(good) - len(shed)  # answers that came too late among them
    p50, p99 = np.percentile(shed, [50, 99]) if len(shed) else (0.0, 0.0)
    soon = float((shed <= 50).sum()) / max(len(shed), 1)  # none refused is none in time
    mean = (peak + after) / 2
    print(f"overload: peak {peak:.0f}/s before, {after:.0f}/s after; at "
          f"{len(flood) / seconds / peak:.1f}x goodput {len(good) / seconds / mean:.2f} of their "
          f"mean (bar 0.90), answered p99 {p99_ms(good):.0f} ms; {len(shed)} refused, p50 "
          f"{p50:.1f} ms, p99 {p99:.1f} ms (bar 50), within 50 ms {soon:.1%}; {odd} others; "
          f"{offered(flood):.1%} sent in time (bar {ON_TIME:.0%}); "
          f"recovered in {recovered:.1f} s (bar 5)")  # fmt: skip
    return {
        "goodput": len(good) / seconds >= 0.9 * mean,
        "refusals in 50 ms": bool(len(shed)) and p99 <= 50,
        "only answers and refusals": odd == 0, "recovery": recovered <= 5,
        "the overload was offered": offered(flood) >= ON_TIME,
    }  # fmt: skip


PARTS: dict[str, tuple[Callable[[Path, float], Held], float]] = {
    "start": (start, 0.0), "steady": (steady, 600.0), "swaps": (swaps, 30.0),
    "overload": (overload, 10.0), "soak": (soak, 3600.0),
}  # fmt: skip
"""By name what measures a part, and for how many seconds."""


def chosen(words: list[str]) -> dict[str, float]:
    """Return the parts that are asked for, and how many seconds each is to take.

    Raises:
        SystemExit: for a word that is neither a part nor a number.
    """
    asked: dict[str, float | None] = {}
    every: float | None = None
    for word in words:
        name, _, number = word.partition("=")
        try:
            if name in PARTS:
                asked[name] = float(number) if number else None
            else:
                every = float(word)
        except ValueError:
            sys.exit(f"{word}: is no part ({', '.join(PARTS)}) and no number of seconds")
    return {
        name: next(s for s in (own, every, PARTS[name][1]) if s is not None)
        for name, own in (asked or dict.fromkeys(PARTS)).items()
    }


def main(words: list[str]) -> int:
    """Run the parts that are asked for; return 1 if a limit does not hold."""
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, seconds in chosen(words).items():
            measure, _ = PARTS[name]
            held = measure(Path(scratch), seconds)
            failed += [limit for limit, holds in held.items() if not holds]
    print(f"limits BROKEN: {', '.join(failed)}" if failed else "all limits hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
