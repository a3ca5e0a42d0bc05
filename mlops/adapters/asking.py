"""What the trigger is asked with, and retrains that are asked for without an incident."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from mlops.adapters import advice, incidents, refusals, retrains, windows
from mlops.adapters.sql.tables import WHOLE, labels, predictions
from mlops.core.trigger import Answer, Loop, told
from mlops.site import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.adapters.advice import Probed
    from mlops.adapters.retrains import Retrain
    from mlops.core.trigger import Cause
    from mlops.core.worth import Worth
    from mlops.params.labels import LabelsSection
    from mlops.params.monitoring import MonitoringSection
    from mlops.params.trigger import TriggerSection


class Sections(Protocol):
    """The sections of `params.yaml` that decide whether a retrain is asked for."""

    @property
    def monitoring(self) -> MonitoringSection:
        """When a loss matters."""

    @property
    def trigger(self) -> TriggerSection:
        """When a retrain may be asked for."""

    @property
    def labels(self) -> LabelsSection:
        """Which labels are expected."""


@dataclass(frozen=True)
class Asked:
    """What was asked without an incident, and the answer.

    Attributes:
        cause: what asked.
        answer: the trigger's.
        events: `retrain.requested` if it was, `retrain.refused` if that is news.
    """

    cause: Cause
    answer: Answer
    events: tuple[Event, ...] = ()

    @property
    def words(self) -> str:
        """One line for a report."""
        verb = "retrain requested" if self.answer.requested else f"no retrain for {self.cause}"
        return f"{verb}: {self.answer.reason}"


def loop_now(connection: sa.Connection, project: str, *, since_seq: int, now_s: float) -> Loop:
    """Return what the trigger must know of the loop.

    Args:
        connection: an open transaction; `retrains.expire` came before.
        project: registered-model name.
        since_seq: labels of earlier predictions do not count; 0 counts all.
        now_s: seconds since 1970.
    """
    last = retrains.last(connection, project)
    flying = retrains.in_flight(connection, project)
    # The cooldown keeps causes from storming; a training that a person started is no answer.
    answered = retrains.last(connection, project, automatic=True)
    ended_s = (answered.ended_s or answered.requested_s) if answered else -math.inf
    since_s = last.requested_s if last else 0.0
    fit, unfit = (
        new_labels(connection, project, since_seq=since_seq, since_s=since_s, whole=whole)
        for whole in (True, False)
    )
    return Loop(
        new_labels=fit,
        unfit=unfit,
        in_flight=flying.id if flying else None,
        minutes_since=(now_s - ended_s) / 60,
        in_30_days=retrains.count_30_days(connection, project, now_s=now_s),
        minutes_30_days=retrains.minutes_30_days(connection, project, now_s=now_s),
        typical_minutes=_minutes(last),
    )  # fmt: skip


def requested(made: Retrain, version: str | None) -> Event:
    """Return the event that asks whoever listens to start a retrain."""
    payload: dict[str, str | int | float | bool | None] = {
        "project": made.project, "incident": made.incident, "retrain": made.id,
        "reason": made.reason, "version": version,
    }  # fmt: skip
    return Event("retrain.requested", made.incident or made.id, payload)


def ask(
    connection: sa.Connection,
    project: str,
    cause: Cause,
    trigger: TriggerSection,
    *,
    version: str | None = None,
    now_s: float,
    probed: Probed = advice.unprobed,
) -> Asked:
    """Ask the trigger for a retrain that no incident stands behind, and record it if granted.

    Args:
        connection: inside a transaction.
        project: registered-model name.
        cause: what asks.
        trigger: the policy.
        version: in service.
        now_s: seconds since 1970.
        probed: see `mlops.adapters.advice`.
    """
    windows.serialise(connection)
    retrains.expire(connection, project, now_s=now_s, max_hours=trigger.max_hours)
    broken = incidents.find_open(connection, project, "quality") is not None
    loop = loop_now(connection, project, since_seq=0, now_s=now_s)
    answer, loop = advice.answered(
        trigger, "quality" if broken else "costly", loop, lambda: probed(0), cause
    )
    due = cause != "labels" or loop.new_labels >= (trigger.on_new_labels or 0)
    refused = refusals.heard(connection, project, cause, answer, loop, due=due)
    if not answer.requested:
        return Asked(cause, answer, refused)
    reason = told(cause, answer.reason) + advice.clause(loop)
    made = retrains.request(connection, project, reason=reason, incident=None, now_s=now_s)
    return Asked(cause, answer, (requested(made, version),))


def ask_unprompted(
    engine: sa.Engine,
    project: str,
    trigger: TriggerSection,
    version: str,
    *,
    now_s: float,
    prober: Callable[[int], Worth] | None = None,
) -> tuple[Asked, ...]:
    """Ask for a retrain because of new labels, where `trigger.on_new_labels` says so.

    In one transaction. An open incident of drift is judged by itself: it asks with its own labels.
    """
    if trigger.on_new_labels is None:
        return ()

    def ask_now(connection: sa.Connection, probed: Probed) -> tuple[Asked, ...]:
        if incidents.find_open(connection, project, "drift") is not None:
            return ()
        asked = ask(
            connection, project, "labels", trigger, version=version, now_s=now_s, probed=probed
        )
        # Too few labels is no refusal: it is not the time yet.
        return () if asked.answer.why == "labels" else (asked,)

    return advice.with_probe(engine, ask_now, prober)


def _minutes(last: Retrain | None) -> float:
    if last is None or last.started_s is None or last.ended_s is None:
        return 0.0
    return (last.ended_s - last.started_s) / 60


def new_labels(
    connection: sa.Connection, project: str, *, since_seq: int, since_s: float, whole: bool = True
) -> int:
    """Count labelled predictions from a seq on whose label came after a time.

    Args:
        connection: to the database.
        project: whose.
        since_seq: first prediction.
        since_s: labels must be later, seconds since 1970.
        whole: count those whose features were kept whole, so that they may train, or the others.
    """
    query = (
        sa.select(sa.func.count(sa.distinct(labels.c.prediction_id)))
        .select_from(labels.join(predictions, predictions.c.id == labels.c.prediction_id))
        .where(labels.c.project == project, predictions.c.project == project)
        .where(predictions.c.seq >= since_seq, labels.c.at_s > since_s)
        .where(WHOLE if whole else ~WHOLE)
    )
    return int(connection.scalar(query) or 0)
