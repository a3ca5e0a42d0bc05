"""Whether a cause becomes a retrain: enabled, labels, in-flight, cooldown, budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.triage import Kind
    from mlops.core.worth import Worth

Why = Literal[
    "granted",
    "quality",
    "not costly",
    "disabled",
    "in flight",
    "labels",
    "cooldown",
    "budget",
    "gain",
]
Cause = Literal["drift", "performance", "labels", "schedule"]
"""What asks: an incident of drift, or of accuracy; so many new labels; the clock. A person's
retrain is asked for by nobody."""
UNPROMPTED: tuple[Cause, ...] = ("performance", "labels", "schedule")
"""Causes whose reason says by itself that no person asked."""


@dataclass(frozen=True)
class Policy:
    """When a retrain may be asked for; see `trigger` in params.yaml; no minutes: no limit.

    `min_gain` is set where a probe decides, too: None where it advises or is off. Without
    `on_loss` a loss that labels show asks for nothing.
    """

    enabled: bool
    min_new_labels: int
    cooldown_minutes: float
    max_per_month: int
    max_minutes: float | None = None
    on_new_labels: int | None = None
    min_gain: float | None = None
    on_loss: bool = True


@dataclass(frozen=True)
class Loop:
    """What the trigger must know of the loop.

    Attributes:
        new_labels: labels since the incident, if any, opened and since the last retrain was
            asked for.
        in_flight: the retrain that is requested or running; None for none.
        minutes_since: minutes since the last retrain ended or, if it never did, was asked for;
            infinite if there was none.
        in_30_days: retrains asked for in the last thirty days.
        minutes_30_days: machine time that they took.
        typical_minutes: what one takes; 0 if none has ended yet.
        worth: what a probe says that one gains; None if none was made.
        unfit: labels since then of rows that were not kept whole, so that nothing learns from them.
    """

    new_labels: int
    in_flight: str | None
    minutes_since: float
    in_30_days: int
    minutes_30_days: float = 0.0
    typical_minutes: float = 0.0
    worth: Worth | None = None
    unfit: int = 0


@dataclass(frozen=True)
class Answer:
    """The trigger's answer.

    Attributes:
        requested: whether a retrain is to be asked for.
        why: one word for it, stable, so that the same refusal is told once.
        reason: in words, with the figures.
    """

    requested: bool
    why: Why
    reason: str


def decide(policy: Policy, worth: Kind, loop: Loop, cause: Cause = "drift") -> Answer:
    """Answer whether to ask for a retrain now; the first condition that fails is the reason.

    Args:
        policy: when one may be asked for.
        worth: of the incident; of a cause without one `costly`, or `quality` while data is broken.
        loop: what is so now.
        cause: what asks. New labels and the clock have their own condition for the time to have
            come; all else is the same for each.
    """
    wanted = {"labels": policy.on_new_labels or 0, "schedule": 0}.get(cause, policy.min_new_labels)
    missing = wanted - loop.new_labels
    rest = math.ceil(policy.cooldown_minutes - min(loop.minutes_since, policy.cooldown_minutes))
    refusals: tuple[tuple[bool, Why, str], ...] = (
        (worth == "quality", "quality", "the data is broken; a person must look first"),
        (worth != "costly", "not costly", "no measured loss beyond the margin"),
        (
            not policy.enabled,
            "disabled",
            "params.yaml: trigger.enabled is false; set it to true, or run the train flow",
        ),
        (loop.in_flight is not None, "in flight", f"retrain {loop.in_flight} is still going on"),
        (
            missing > 0,
            "labels",
            f"{loop.new_labels} of {wanted} new labels; {missing} missing{_unfit(loop)}",
        ),
        (rest > 0, "cooldown", f"the last retrain was lately; {rest} minutes of cooldown left"),
        (
            loop.in_30_days >= policy.max_per_month,
            "budget",
            f"{loop.in_30_days} retrains in 30 days; the most is {policy.max_per_month}",
        ),
        (
            loop.minutes_30_days + loop.typical_minutes > (policy.max_minutes or math.inf),
            "budget",
            _minutes(policy, loop),
        ),
        *_last(policy, loop, cause),
    )
    for refused, why, reason in refusals:
        if refused:
            return Answer(requested=False, why=why, reason=reason)
    granted = {
        "drift": f"costly drift and {loop.new_labels} new labels",
        "performance": f"measured loss without drift and {loop.new_labels} new labels",
        "labels": f"{loop.new_labels} new labels since the last retrain",
        "schedule": f"trigger.schedule says so; {loop.new_labels} new labels",
    }
    return Answer(requested=True, why="granted", reason=granted[cause])


def _last(policy: Policy, loop: Loop, cause: Cause) -> Iterator[tuple[bool, Why, str]]:
    """Yield what is asked last: of a loss, whether it may ask; of a probe, if it was made."""
    off = cause == "performance" and not policy.on_loss
    remedy = "set it to true, or run the train flow"
    yield off, "disabled", f"params.yaml: trigger.on_loss is false; {remedy}"
    if policy.min_gain is not None and loop.worth is not None:
        refused = loop.worth.says(policy.min_gain) == "not worth it"
        yield refused, "gain", loop.worth.words(policy, loop, policy.min_gain)


def told(cause: Cause, words: str) -> str:
    """Return the reason that a retrain is recorded with: what asked, and why."""
    return f"{cause}: {words}"


def automatic(reason: str) -> bool:
    """Say whether a recorded reason is that of a cause without an incident, not of a person."""
    return reason.startswith(tuple(f"{cause}: " for cause in UNPROMPTED))


def _unfit(loop: Loop) -> str:
    if not loop.unfit:
        return ""
    return f"; {loop.unfit} more cannot train (MLOPS_PAYLOADS, MLOPS_REDACT)"


def _minutes(policy: Policy, loop: Loop) -> str:
    return (
        f"{loop.minutes_30_days:.0f} minutes of retraining in 30 days, and one takes about "
        f"{loop.typical_minutes:.0f}; the most is {policy.max_minutes or 0:.0f}"
    )
