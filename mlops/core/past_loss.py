"""What labels say, in a backtest, of the version in service: by the rules of `accuracy_loss`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops.core import accuracy_loss
from mlops.core.continuous import limit

if TYPE_CHECKING:
    from mlops.core.accuracy_loss import Counts, Promise


@dataclass
class Measured:
    """Windows of the version in service whose labels are here.

    Attributes:
        promise: of the version; None where its reference has too few labels.
        rate: budgeted false incidents per window.
        told: places of the windows, ascending, with right answers and labels.
        floor: place after which a loss is looked for.
        evidence: of a loss beyond the margin since then.
    """

    promise: Promise | None
    rate: float
    told: list[tuple[int, Counts]] = field(default_factory=list)
    floor: int = -1
    evidence: float = 0.0

    @property
    def newest(self) -> int:
        """Place of the newest measured window; -1 without one."""
        return self.told[-1][0] if self.told else -1

    def add(self, place: int, right: int, labelled: int) -> None:
        """Take in the labels of a window, at least one."""
        counts = right, labelled
        self.told.append((place, counts))
        if place > self.floor and self.promise is not None:
            least = accuracy_loss.least_accuracy(self.promise.accuracy, self.promise.labels)
            self.evidence = accuracy_loss.gathered(
                self.evidence, counts, least - self.promise.margin
            )

    def look_after(self, place: int) -> None:
        """Look for a loss anew after a window; none of those that are here is later."""
        self.floor, self.evidence = place, 0.0

    def lost_since(self) -> int | None:
        """Return the window with which a loss began that the labels show; None if none is shown."""
        if self.promise is None or self.evidence < limit(self.rate):
            return None
        told = [one for one in self.told if one[0] > self.floor]
        at = accuracy_loss.costly_since([counts for _, counts in told], self.promise)
        return None if at is None else told[at][0]

    def began(self) -> int | None:
        """Return the window with which a loss beyond the margin began, shown or not."""
        if self.promise is None or not self.told:
            return None
        losses = [(at, n, self.promise.accuracy - right / n) for at, (right, n) in self.told]
        return accuracy_loss.began(losses, self.promise.margin)

    def over(self, after: int, clear_after: int) -> bool:
        """Say whether the windows after a place are within the margin again."""
        later = [counts for at, counts in self.told if at > after]
        return self.promise is not None and accuracy_loss.over(later, self.promise, clear_after)

    def beyond(self, first: int = 0) -> bool:
        """Say whether the windows from a place on together lost more than the margin."""
        right, labels = accuracy_loss.total([c for at, c in self.told if at >= first])
        if self.promise is None or not labels:
            return False
        return self.promise.accuracy - right / labels > self.promise.margin

    def back(self) -> bool:
        """Say whether all its windows, with labels enough, are together within the margin."""
        labels = accuracy_loss.total([counts for _, counts in self.told])[1]
        enough = self.promise is not None and labels >= self.promise.min_labels
        return enough and not self.beyond()
