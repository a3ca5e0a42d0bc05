"""A sample of `steady` and `soak` of benchmarks/serving_load.py: the same parts for some seconds.

Nothing here is timed. Growth is looked for in what a leak adds at every swap or request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.open_loop import open_loop
from benchmarks.serving_soak import VERSIONS, soaked
from benchmarks.serving_steady import JSON, RAW, errors
from benchmarks.serving_worker import Worker, cnn_version, writing
from mlops.adapters.sql.engine import open_database
from mlops.serving.config import Limits
from mlops.serving.writer import Writer
from tests.serving.tiny import logged_ids, point

if TYPE_CHECKING:
    from pathlib import Path

RATE, SECONDS = 40.0, 5.0
PATIENT = Limits(wait_s=30.0, deadline_s=30.0)
"""A machine that is busy with other tests is no reason to turn anybody away."""
GROWN_MB = 48.0
"""Far above what a worker's memory moves by itself: 300 KB more after each request."""


def test_a_worker_keeps_its_size_through_swaps_and_its_log_is_what_it_answered(
    tmp_path: Path,
) -> None:
    seen = soaked(tmp_path, SECONDS, RATE, PATIENT)
    assert len(seen.answers) == RATE * SECONDS
    assert errors(seen.answers) == 0
    assert seen.sent == seen.kept
    assert len(set(seen.kept)) == len(seen.answers)
    assert {answer.version for answer in seen.answers} == {*VERSIONS}
    # Loading a version opens a file for a moment: so the least of several looks.
    early, late = seen.sizes[1:4], seen.sizes[-3:]
    assert len(seen.sizes) >= 7
    assert min(s.descriptors for s in late) <= max(s.descriptors for s in early)
    assert min(s.threads for s in late) <= max(s.threads for s in early)
    assert late[-1].memory_mb <= early[0].memory_mb + GROWN_MB


def test_a_steady_load_is_answered_whole_and_logged_once(tmp_path: Path) -> None:
    home, url = tmp_path / "steady", f"sqlite:///{tmp_path / 'steady.db'}"
    cnn_version(home, "1")
    point(home, "1")
    with Worker(home, PATIENT, url=url) as worker, writing(worker.spool, url):
        answers = [
            answer
            for ask in (JSON, RAW)
            for answer in asyncio.run(open_loop(worker.port, ask, RATE, SECONDS / 2))
        ]
    Writer(worker.spool, "bench", url).drain()
    assert len(answers) == RATE * SECONDS
    assert errors(answers) == 0
    engine = open_database(url)
    kept = logged_ids(engine, "bench")
    engine.dispose()
    assert sorted(kept) == sorted(name for answer in answers for name in answer.ids)
