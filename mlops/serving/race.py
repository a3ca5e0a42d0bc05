"""Which side of a canary is slow: now and then both score the same rows, and are timed.

What a side takes in service cannot be compared: a challenger with a twentieth of the keys runs
batches of three rows while the champion's have sixty. Small ones are quick however slow the model
is, and dear per row. So both are given the same rows, of a batch as it was served, in a thread that
gives way and for a small share of its time. Nobody waits for a race, and nobody gets its answers.
"""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from mlops.serving import metrics
from mlops.serving.priority import give_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.serving.model import Model
    from mlops.serving.run import Images
    from mlops.serving.split import Arm

_SHARE = 0.05  # of the time goes into races
_ROWS = 64  # of a race at most, as of a batch
_FACTOR = 2.0
_NOTICED_S = 0.0005  # nobody notices less, and clock and scheduler are no finer under load


class Race:
    """The races of one worker; offered batches on its event loop."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._next_s = 0.0  # never, while one is on
        self._champion_begins = False

    def offer(self, images: Sequence[Images], champion: Model, challenger: Model) -> None:
        """Take the rows of a batch for a race, if it is time for one."""
        if time.perf_counter() < self._next_s:
            return
        self._next_s = math.inf
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "race", initializer=give_way)
        self._thread.submit(self._run, images, champion, challenger)

    def _run(self, images: Sequence[Images], champion: Model, challenger: Model) -> None:
        """Let both run; one that fails has no time, and is counted where it answers."""
        started = time.perf_counter()
        self._champion_begins = not self._champion_begins
        sides: list[tuple[Arm, Model]] = [("champion", champion), ("challenger", challenger)]
        order = sides if self._champion_begins else sides[::-1]
        try:
            rows = np.concatenate(images)[:_ROWS]
            took_s: dict[Arm, float] = {}
            for arm, model in order * 2:
                began_s = time.perf_counter()
                model.predict(rows)
                # The second time counts: who serves less finds its weights out of the caches.
                took_s[arm] = time.perf_counter() - began_s
            slow = slower(took_s["champion"], took_s["challenger"])
            metrics.ARM_RACES.labels(slow or "neither").inc()
        finally:
            now_s = time.perf_counter()
            self._next_s = now_s + (now_s - started) / _SHARE


def slower(champion_s: float, challenger_s: float) -> Arm | None:
    """Return who was slow: took more than twice the other's time, and noticeably more.

    The two change places freely: sides that are equally fast are slow equally often, whatever
    the rows and the noise. That is all that the canary's test asks of them.
    """
    quick_s, slow_s = sorted((champion_s, challenger_s))
    if slow_s <= max(_FACTOR * quick_s, quick_s + _NOTICED_S):
        return None
    return "champion" if champion_s > challenger_s else "challenger"
