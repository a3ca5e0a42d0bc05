"""How many labels decide when a retrain starts, and which setting asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.core.trigger import Loop, Policy


@dataclass(frozen=True)
class Wanted:
    """What labels an incident waits for.

    Attributes:
        training: that the trigger still wants, however chosen; 0 if it waits for none.
        decides: the setting that asks for more than the other, with its value; empty if neither.
    """

    training: int
    decides: str


def labels_wanted(
    measuring: int, *, measured: int, min_labels: int, margin: float, policy: Policy, loop: Loop
) -> Wanted:
    """Compare what is wanted to measure a loss with what is wanted to train on.

    Labels chosen at random count for both, so the larger of the two decides.

    Args:
        measuring: random labels that are missing to settle what the incident is worth.
        measured: those that are here.
        min_labels: fewest from which accuracy counts as measured.
        margin: of accuracy, which sets how many show a loss.
        policy: of the trigger.
        loop: what the trigger knows.
    """
    training = max(policy.min_new_labels - loop.new_labels, 0) if policy.enabled else 0
    if not max(measuring, training):
        return Wanted(0, "")
    if training >= measuring:
        return Wanted(training, f"trigger.min_new_labels = {policy.min_new_labels}")
    if measured + measuring <= min_labels:
        return Wanted(training, f"monitoring.min_labels = {min_labels}")
    return Wanted(training, f"monitoring.accuracy_margin = {margin:g}")
