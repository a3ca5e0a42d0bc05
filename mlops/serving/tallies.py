"""What the workers have counted, read from their metric files: for canaries and alarms."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
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
        within: how many took a bucket's bound or less, in seconds, by that bound.
    """

    failed: int = 0
    n: int = 0
    within: Mapping[float, int] = field(default_factory=dict)

    def since(self, before: Side) -> Side:
        """Return what came after an earlier look; all, if the counting began anew."""
        if before.n > self.n:
            return self
        within = {bound: n - before.within.get(bound, 0) for bound, n in self.within.items()}
        return Side(self.failed - before.failed, self.n - before.n, within)

    def failures(self) -> Tally:
        """Return how many requests failed."""
        return Tally(self.failed, self.n)

    def slower(self, bound_s: float) -> Tally:
        """Return how many requests took longer than a bucket's bound."""
        return Tally(max(0, self.n - min(self.within.get(bound_s, self.n), self.n)), self.n)

    def bound_of(self, share: float) -> float:
        """Return the first bound within which a share of the requests was answered."""
        for bound in sorted(self.within):
            if self.within[bound] >= share * self.n:
                return bound
        return float("inf")


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
    for arm in sides:
        failed = int(_one(counts, "mlops_arm_requests_total", arm=arm, outcome="failed"))
        answered = int(_one(counts, "mlops_arm_requests_total", arm=arm, outcome="answered"))
        within = {
            float(dict(labels)["le"]): int(value)
            for (name, labels), value in counts.items()
            if name == "mlops_arm_seconds_bucket" and dict(labels).get("arm") == arm
        }
        sides[arm] = Side(failed, failed + answered, within)
    return sides


def total(counts: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str) -> float:
    """Return a counter's sum over its labels."""
    return sum(value for (found, _), value in counts.items() if found == name)


def _one(
    counts: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str
) -> float:
    return counts.get((name, tuple(sorted(labels.items()))), 0.0)
