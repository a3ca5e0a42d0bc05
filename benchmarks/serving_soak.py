"""One part of `serving_load.py`: a worker over time, with swaps: what grows, what is logged.

A sample of it runs in `make test` (tests/serving/test_soak.py).
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.open_loop import Answer, open_loop
from benchmarks.serving_steady import JSON, errors
from benchmarks.serving_worker import Worker, cnn_version
from mlops.adapters.sql.engine import open_database
from mlops.serving.writer import Writer
from tests.serving.tiny import logged_ids, point

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.serving.config import Limits

RATE = 100.0
SWAP_S = 30.0
VERSIONS = ("1", "2", "3")
TAKEN = 0.9  # of the swaps: one that comes while the one before is still being loaded is skipped


class Size(NamedTuple):
    """What a worker holds.

    Attributes:
        memory_mb: resident.
        descriptors: but for clients' connections.
        threads: all of them.
    """

    memory_mb: float
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Soaked:
    """What was seen of a worker.

    Attributes:
        answers: what became of each request.
        sizes: one per swap, in order.
        sent: ids that the replies named, sorted.
        kept: ids in the log, sorted.
        every_s: seconds between two swaps.
    """

    answers: list[Answer]
    sizes: list[Size]
    sent: list[str]
    kept: list[str]
    every_s: float


def soak(scratch: Path, seconds: float) -> dict[str, bool]:
    """Print growth of the worker over time, and whether the log is what was sent."""
    seen = soaked(scratch, seconds)
    warm, last = seen.sizes[max(1, len(seen.sizes) // 5)], seen.sizes[-2]
    swaps, wrong = taken(seen.answers, seconds, seen.every_s), errors(seen.answers)
    whole = bool(seen.sent) and seen.sent == seen.kept
    print(f"soak: {seconds / 60:g} min, {len(seen.answers)} requests, {wrong} errors, "
          f"{swaps:.0%} of {len(seen.sizes)} swaps; memory {warm.memory_mb:.0f} to "
          f"{last.memory_mb:.0f} MB ({last.memory_mb / warm.memory_mb - 1:+.1%}, bar 5%), "
          f"descriptors {warm.descriptors} to {last.descriptors}, threads {warm.threads} to "
          f"{last.threads}; {len(seen.sent)} rows sent, {len(seen.kept)} logged, "
          f"{'the same' if whole else 'NOT the same'}")  # fmt: skip
    return {
        "no errors in the soak": not wrong, "memory kept": last.memory_mb <= 1.05 * warm.memory_mb,
        "descriptors and threads kept": last[1:] == warm[1:], "swaps in the soak": swaps >= TAKEN,
        "log whole": whole,
    }  # fmt: skip


def soaked(
    scratch: Path, seconds: float, rate: float = RATE, limits: Limits | None = None
) -> Soaked:
    """Ask a worker for so long, and look at it at each swap."""
    home, url = scratch / "soak", f"sqlite:///{scratch / 'soak.db'}"
    for version in VERSIONS:
        cnn_version(home, version)
    point(home, VERSIONS[0])
    sizes: list[Size] = []
    every_s = min(SWAP_S, seconds / 10)
    with Worker(home, limits, url=url) as worker:
        writer = Writer(worker.spool, "bench", url)
        writer.start()
        answers = asyncio.run(swapping(
            worker, home, seconds, every_s, rate=rate, each=lambda: sizes.append(_size(worker))
        ))  # fmt: skip
    writer.close(60)
    engine = open_database(url)
    kept = [name for version in VERSIONS for name in logged_ids(engine, "bench", version)]
    engine.dispose()
    sent = [name for answer in answers for name in answer.ids]
    return Soaked(answers, sizes, sorted(sent), sorted(kept), every_s)


def _size(worker: Worker) -> Size:
    process = worker.process
    own = process.num_fds() - len(process.net_connections("tcp"))
    return Size(process.memory_info().rss / 1e6, own, process.num_threads())


async def swapping(
    worker: Worker, home: Path, seconds: float, every_s: float, *, rate: float = RATE,
    each: Callable[[], None] | None = None,
) -> list[Answer]:  # fmt: skip
    """Ask a worker while the pointer moves from version to version; look at it after each move."""
    asking = asyncio.create_task(open_loop(worker.port, JSON, rate, seconds))
    turn = 0
    while not asking.done():
        await asyncio.wait([asking], timeout=every_s)
        turn += 1
        point(home, VERSIONS[turn % len(VERSIONS)])
        if each is not None:
            each()
    return await asking


def taken(answers: list[Answer], seconds: float, every_s: float) -> float:
    """Return the share of the swaps that a stream of answers shows."""
    named = [a.version for a in answers if a.version]
    changes = sum(one != other for one, other in itertools.pairwise(named))
    due = int(seconds / every_s) - 1  # the last comes at the end
    return min(1.0, changes / max(due, 1))
