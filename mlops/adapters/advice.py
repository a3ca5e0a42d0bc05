"""The trigger's answer with a probe: made where a retrain would be granted, told beside it.

With `trigger.probe: decide` it may refuse, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mlops.core.trigger import Policy, decide

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.core.triage import Kind
    from mlops.core.trigger import Answer, Cause, Loop
    from mlops.core.worth import Worth
    from mlops.params.trigger import TriggerSection

T = TypeVar("T")
Probed = Callable[[int], "Worth | None"]
"""Gives the probe on labelled predictions from a place of the log on; None if none was made."""


def unprobed(since_seq: int) -> Worth | None:  # noqa: ARG001 - as `Probed` has it
    """Give no probe."""
    return None


def policy_of(trigger: TriggerSection) -> Policy:
    """Return the policy that a section of `params.yaml` states."""
    return Policy(
        enabled=trigger.enabled, min_new_labels=trigger.min_new_labels,
        cooldown_minutes=trigger.cooldown_minutes, max_per_month=trigger.max_per_month,
        max_minutes=trigger.max_minutes_per_month, on_new_labels=trigger.on_new_labels,
        min_gain=trigger.min_gain if trigger.probe == "decide" else None,
        on_loss=trigger.on_loss,
    )  # fmt: skip


def with_probe(
    engine: sa.Engine,
    ask: Callable[[sa.Connection, Probed], T],
    prober: Callable[[int], Worth] | None,
) -> T:
    """Run `ask` in a transaction, with probes for the retrains that it would ask for.

    A probe takes seconds, in which nothing may be locked. So `ask` runs twice: first for what it
    would ask for, and is taken back; then the probes are made; then it runs for good.

    Args:
        engine: the project's database.
        ask: calls its second argument with the first prediction that counts where the trigger would
            grant a retrain.
        prober: makes the probes; None if params.yaml: trigger.probe is off.
    """
    found: dict[int, Worth] = {}
    if prober is not None:
        wanted: list[int] = []
        with engine.connect() as connection, connection.begin() as trial:
            ask(connection, wanted.append)
            trial.rollback()
        found = {seq: prober(seq) for seq in wanted}
    with engine.begin() as connection:
        return ask(connection, found.get)


def answered(
    trigger: TriggerSection,
    worth: Kind,
    loop: Loop,
    probed: Callable[[], Worth | None],
    cause: Cause = "drift",
) -> tuple[Answer, Loop]:
    """Return the trigger's answer, and the loop with a probe if it came to one.

    Args:
        trigger: the policy.
        worth: of the incident, as `mlops.core.trigger.decide` has it.
        loop: what is so now.
        probed: gives the probe; asked only where a retrain would be granted without one.
        cause: what asks.
    """
    policy = policy_of(trigger)
    answer = decide(policy, worth, loop, cause)
    if not answer.requested or (found := probed()) is None:
        return answer, loop
    loop = replace(loop, worth=found)
    return decide(policy, worth, loop, cause), loop


def clause(loop: Loop) -> str:
    """Return what a retrain's reason says of its probe; nothing if none was asked for."""
    return f"; {loop.worth.brief(loop)}" if loop.worth else ""
