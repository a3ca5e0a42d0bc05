"""The mirror: a shadow version sees what was answered, after it was answered, and reaches nobody.

It runs in a thread of low priority. What it cannot keep up with it skips and counts: a shadow must
never cost the served a place in a queue. A shadow of a table is given its own columns, by name; one
that takes what nobody sends is shown nothing, and that is counted too.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
import structlog

from mlops.core.beside import agreed
from mlops.core.features import arrays, regarded
from mlops.serving import metrics
from mlops.serving.cut import Answered
from mlops.serving.priority import give_way

if TYPE_CHECKING:
    from mlops.serving.log import PredictionLog
    from mlops.serving.model import Model

MARK = "~"
"""Between the id of the served prediction and the shadow's version, in the shadow's id."""
_MOST_ROWS = 2048
_DRAWN = 8  # hex digits at the end of an id, as in `mlops.serving.cut`


class Mirror:
    """Shows answered requests to a shadow version, compares, and logs what it would have said.

    Args:
        log: takes the shadow's rows, marked.
        sample: share of the requests that are shown.
    """

    def __init__(self, log: PredictionLog, sample: float) -> None:
        self._log, self._sample = log, sample
        self._model: Model | None = None
        self._unfit: Model | None = None  # of which it was said that it takes what nobody sends
        self._queue: deque[Answered] = deque()
        self._rows = 0
        self._wake = threading.Condition()
        self._over = False
        self._thread: threading.Thread | None = None

    def show_to(self, model: Model | None) -> None:
        """Change the shadow; None ends it."""
        self._model = model
        if model is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def offer(self, answered: Answered) -> None:
        """Take an answered request, if there is a shadow, its lot falls so, and there is room."""
        if self._model is None or not self._drawn(answered.ids[0]):
            return
        rows = len(answered.ids)
        with self._wake:
            if self._rows + rows > _MOST_ROWS:
                metrics.SHADOW_ROWS.labels("skipped").inc(rows)
                return
            self._rows += rows
            self._queue.append(answered)
            self._wake.notify()

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish what is queued, then stop."""
        with self._wake:
            self._over = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _drawn(self, identity: str) -> bool:
        if self._sample >= 1.0:
            return True
        return int(identity[-_DRAWN:], 16) < self._sample * float(16**_DRAWN)

    def _run(self) -> None:
        give_way()
        while True:
            with self._wake:
                while not self._queue and not self._over:
                    self._wake.wait()
                if not self._queue:
                    return
                answered = self._queue.popleft()
                self._rows -= len(answered.ids)
            model = self._model
            if model is not None:
                self._show(answered, model)

    def _show(self, answered: Answered, model: Model) -> None:
        values = regarded(answered.values, answered.schema, model.schema)
        if values is None:
            metrics.SHADOW_ROWS.labels("unfit").inc(len(answered.ids))
            if self._unfit is not model:
                self._unfit = model
                why = "it takes other columns or classes than are served"
                structlog.get_logger().warning("shadow unfit", version=model.version, why=why)
            return
        started = time.perf_counter()
        try:
            scores = model.predict(arrays(values, model.schema))
        except Exception as error:  # noqa: BLE001 - a shadow that fails is a finding, not a fault
            metrics.SHADOW_ROWS.labels("failed").inc(len(answered.ids))
            why = (str(error).splitlines() or [type(error).__name__])[0][:200]
            structlog.get_logger().warning("shadow failed", version=model.version, why=why)
            return
        spent_s = time.perf_counter() - started
        metrics.SHADOW_SECONDS.observe(spent_s)
        finite = np.isfinite(scores).all(axis=1)
        same = agreed(scores, answered.probabilities, classes=bool(answered.schema.classes))
        metrics.SHADOW_ROWS.labels("agreed").inc(int(same.sum()))
        metrics.SHADOW_ROWS.labels("failed").inc(int((~finite).sum()))
        metrics.SHADOW_ROWS.labels("differed").inc(int((finite & ~same).sum()))
        ids = [f"{identity}{MARK}{model.version}" for identity in answered.ids]
        self._log.append(Answered(
            ids, answered.at_s, model.version, answered.entities, answered.values,
            answered.schema, scores, spent_s, answered.ids,
        ))  # fmt: skip
