"""What the workers have counted, read from their metric files: for canaries and alarms."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.sequential import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.serving.split import Arm


@dataclass(frozen=True)
class Side:
    """What one side of a canary has answered.

    Attributes:
        failed: requests that its model could not answer.
        n: all its requests.
        slow: races in which it was slow.
        races: all of them.
    """

    failed: int = 0
    n: int = 0
    slow: int = 0
    races: int = 0

    def since(self, before: Side) -> Side:
        """Return what came after an earlier look; all, if the counting began anew."""
        if before.n > self.n or before.races > self.races:
            return self
        return Side(
            self.failed - before.failed, self.n - before.n,
            self.slow - before.slow, self.races - before.races,
        )  # fmt: skip

    def failures(self) -> Tally:
        """Return how many requests failed."""
        return Tally(self.failed, self.n)

    def slowness(self) -> Tally:
        """Return in how many races it was slow."""
        return Tally(self.slow, self.races)


Sides = dict["Arm", Side]


def read_counts() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every counter and histogram of all the workers, dead ones included, by its labels."""
    from prometheus_client import REGISTRY, CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    found = {}
    for metric in registry.collect():
        for sample in metric.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def read_sides() -> Sides:
    """Return what both sides of the canary have answered so far."""
    sides: Sides = {"champion": Side(), "challenger": Side()}
    counts = read_counts()
    races = int(total(counts, "mlops_arm_races_total"))
    for arm in sides:
        failed = int(_one(counts, "mlops_arm_requests_total", arm=arm, outcome="failed"))
        answered = int(_one(counts, "mlops_arm_requests_total", arm=arm, outcome="answered"))
        slow = int(_one(counts, "mlops_arm_races_total", slow=arm))
        sides[arm] = Side(failed, failed + answered, slow, races)
    return sides


def total(counts: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str) -> float:
    """Return a counter's sum over its labels."""
    return sum(value for (found, _), value in counts.items() if found == name)


def _one(
    counts: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str
) -> float:
    return counts.get((name, tuple(sorted(labels.items()))), 0.0)
