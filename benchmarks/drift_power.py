"""Corrupted digits: how often each detector sees them at the same size, and how soon ours does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import drift_peers as peers
from benchmarks.drift_worlds import Shift, digits, shifted
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, calibrate
from mlops.core.corruption import NAMES
from mlops.core.drift import Reference, presort, statistics
from mlops.core.relations import Relations, relate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.thresholds import Thresholds

OURS = "ours"
SIZE = 0.05  # every detector's, on clean windows of the same references
WINDOWS = (50, 200)
SHARES = (0.05, 0.1, 0.2, 0.4)
SEVERITIES = (1, 3, 5)
LATE = (0.05, 0.1)
"""Shares of a window for which delays are measured: with more of it two windows are enough."""
SLACK = 0.05  # of power, that the best may be ahead
NEEDED = 0.75  # share of the cells in which ours is no farther behind
_REFERENCE_ROWS = 1000
_REFERENCES = 20  # shared by all shifts, so that a calibration serves many windows
_RULE = Rule(2, 3, 2)
_ROUNDS = 4  # of windows, in one of which slow detectors are asked: each of all references
_LONGEST = 20  # windows that a delay is looked for


@dataclass(frozen=True)
class Watch:
    """A reference, ready for ours and for the others."""

    relations: Relations
    ready: Reference
    thresholds: Thresholds
    peer: peers.Peer

    def scores(self, window: Columns, *, slow: bool) -> dict[str, float]:
        """Return what every detector says of a window; the larger, the more drift."""
        values = statistics(self.ready, self.relations.extend(window))
        own = self.thresholds.standardised(values, len(window))
        return {OURS: own, **peers.scores(self.peer, window, slow=slow)}

    def alarms(self, window: Columns) -> bool:
        """Say whether ours alarms."""
        values = statistics(self.ready, self.relations.extend(window))
        return bool((values >= self.thresholds.at(len(window))).any())


@dataclass(frozen=True)
class Power:
    """One cell: a shift, a window's size, and each detector's power."""

    shift: Shift
    rows: int
    power: dict[str, float]

    @property
    def best(self) -> float:
        """The highest power."""
        return max(self.power.values())

    @property
    def counts(self) -> bool:
        """Whether the cell tells detectors apart."""
        return 0.1 <= self.best <= 0.95

    @property
    def behind(self) -> float:
        """By how much ours is behind the best."""
        return self.best - self.power[OURS]


def watch(rows: int, per_windows: int, replicate: int) -> Watch:
    """Draw a reference of digits and calibrate for it."""
    rng = np.random.default_rng([3, replicate])
    plain = shifted(rng, _REFERENCE_ROWS, None)
    relations, reference = relate(plain)
    rules = Rules(rows, 1.0, per_windows, 0.0, 100, replicate, _RULE, 4000)
    return Watch(relations, presort(reference), calibrate(reference, rules), peers.prepare(plain))


def shifts(severities: tuple[int, ...], shares: tuple[float, ...]) -> list[Shift]:
    """Return every shift."""
    return [Shift(n, v, s) for n in NAMES for v in severities for s in shares]


def powers(rows: int, wanted: list[Shift], clean: int, trials: int) -> list[Power]:
    """Return each detector's power for each shift, at thresholds that clean windows give."""
    digits()
    watches = [watch(rows, 1000, r) for r in range(_REFERENCES)]
    rng = np.random.default_rng([4, rows])
    limits = _limits(_table(watches, rng, rows, None, clean))
    found = []
    for shift in wanted:
        seen = _table(watches, rng, rows, shift, trials)
        power = {k: float((v > limits[k]).mean()) for k, v in seen.items()}
        found.append(Power(shift, rows, power))
    return found


def _limits(clean: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {k: float(np.quantile(v, 1 - SIZE)) for k, v in clean.items()}


def _table(
    watches: list[Watch], rng: np.random.Generator, rows: int, shift: Shift | None, trials: int
) -> dict[str, NDArray[np.float64]]:
    count = len(watches)
    seen = [
        watches[t % count].scores(shifted(rng, rows, shift), slow=t // count % _ROUNDS == 0)
        for t in range(trials)
    ]
    return {k: np.array([s[k] for s in seen if k in s]) for k in seen[0]}


def delays(rows: int, wanted: list[Shift], streams: int) -> dict[Shift, float]:
    """Return the median number of windows from a shift's begin to the incident, 1 in 1000 clean."""
    watches = [watch(rows, 1000, r) for r in range(min(streams, _REFERENCES))]
    rng = np.random.default_rng([5, rows])
    found: dict[Shift, float] = {}
    for shift in wanted:
        waited = [_delay(watches[s % len(watches)], rng, rows, shift) for s in range(streams)]
        found[shift] = float(np.median(waited))
    return found


def _delay(one: Watch, rng: np.random.Generator, rows: int, shift: Shift) -> int:
    seen: list[bool] = []
    while len(seen) < _LONGEST and not _RULE.raises(seen):
        seen.append(one.alarms(shifted(rng, rows, shift)))
    return len(seen) if _RULE.raises(seen) else _LONGEST + 1
