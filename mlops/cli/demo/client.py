"""The demo's users: they send one image at a time and count every answer that fails."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np

if TYPE_CHECKING:
    from mlops.cli.demo.world import Batch, World


@dataclass
class Record:
    """Everything that was sent: one entry per request, in order.

    Attributes:
        at_s: when, seconds since 1970.
        right: whether the answer was the truth.
        version: which model version answered.
        prediction: the prediction's id.
        label: the truth, an index into the classes.
        batch: the images sent, to score them later with another model.
    """

    at_s: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    version: list[str] = field(default_factory=list)
    prediction: list[str] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    images: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = field(default_factory=list)
    failed: int = 0


class Users:
    """Send traffic to the scoring server; the record may grow in a thread of its own."""

    def __init__(self, url: str, world: World) -> None:
        """Talk to the server at `url` about images of `world`."""
        self._http = httpx.Client(base_url=url, timeout=10.0, trust_env=False)
        self._world = world
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = 0  # predictions whose truth was sent
        self.record = Record()

    def ready(self) -> bool:
        """Say whether the server answers that a model is in service."""
        try:
            return self._http.get("/ping").is_success
        except httpx.HTTPError:
            return False

    def send(self, rows: int) -> float:
        """Send so many requests, one by one.

        Returns:
            The share of right answers among them.
        """
        batch = self._world.draw(rows)
        right = [self._ask(batch, index) for index in range(rows)]
        return float(np.mean(right))

    def _ask(self, batch: Batch, index: int) -> bool:
        body = {"image": batch.images[index].tolist(), "entity": batch.entities[index]}
        label = int(batch.labels[index])
        record = self.record
        try:
            answer = self._http.post("/predict", json=body)
            answer.raise_for_status()
        except httpx.HTTPError:
            record.failed += 1
            return False
        content = answer.json()
        right = content["class"] == self._world.classes[label]
        record.at_s.append(time.time())
        record.right.append(right)
        record.version.append(str(content["model_version"]))
        record.prediction.append(content["prediction_id"])
        record.label.append(label)
        record.images.append(batch.images[index])
        return bool(right)

    def feed_back(self, older_than_s: float = 0.0) -> int:
        """Send the truth about every prediction of that age that has none yet; return how many."""
        record, now_s = self.record, time.time()
        end = bisect_right(record.at_s, now_s - older_than_s)
        rows = list(zip(record.prediction[:end], record.label[:end], strict=True))[self._told :]
        self._told = max(self._told, end)
        for start in range(0, len(rows), 500):
            body = [
                {"prediction_id": name, "label": self._world.classes[label]}
                for name, label in rows[start : start + 500]
            ]
            self._http.post("/feedback", json=body).raise_for_status()
        return len(rows)

    def keep_sending(self, per_second: float, *, labelled_after_s: float) -> None:
        """Send requests steadily, in a thread, until `pause`; labels follow after some seconds."""
        self._stop.clear()

        def loop() -> None:
            while not self._stop.wait(1.0 / per_second):
                self.send(1)
                if len(self.record.right) % per_second < 1.0:
                    self.feed_back(labelled_after_s)

        self._thread = threading.Thread(target=loop, name="traffic", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """End the steady traffic."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
