"""What open incidents are worth now that more labels are here, and whether to ask for a retrain."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, measured, retrains, windows
from mlops.core.triage import Triage, triage
from mlops.core.trigger import Answer, Loop, Policy, decide
from mlops.site import Event

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident
    from mlops.adapters.retrains import Retrain
    from mlops.params.monitoring import MonitoringSection
    from mlops.params.trigger import TriggerSection

_AGAIN_S = 600.0  # an event lost between commit and bus is sent again after so long
_LAST_SEQ = 2**62


def review(
    engine: sa.Engine,
    project: str,
    monitoring: MonitoringSection,
    trigger: TriggerSection,
    *,
    serving: str,
    now_s: float,
) -> tuple[Event, ...]:
    """Triage every open incident and let the trigger answer; in one transaction.

    An incident of a version that was replaced is left alone until windows of its successor
    resolve it or take it over: its accuracy is history.
    """
    events: list[Event] = []
    with engine.begin() as connection:
        windows.serialise(connection)
        retrains.expire(connection, project, now_s=now_s)
        for held in incidents.find_all_open(connection, project):
            if held.kind == "serving" or held.version != serving:
                continue
            judged, worth = _judge(connection, held, monitoring)
            answer = _answer(connection, judged, worth, trigger, now_s)
            judged = replace(
                judged, body=replace(judged.body, trigger=answer.why, answer=answer.reason)
            )
            incidents.save(connection, judged)
            if answer.requested:
                made = retrains.request(
                    connection, project, reason=f"drift: {held.cause}", incident=held.id,
                    now_s=now_s,
                )  # fmt: skip
                events.append(_requested(made, judged))
            elif worth.kind == "costly" and answer.why not in ("in flight", held.body.trigger):
                payload = {"incident": held.id, "why": answer.why, "reason": answer.reason}
                events.append(Event("retrain.refused", held.id, {"project": project, **payload}))
        events.extend(_again(connection, project, now_s, events))
    return tuple(events)


def _judge(
    connection: sa.Connection, held: Incident, monitoring: MonitoringSection
) -> tuple[Incident, Triage]:
    body = held.body
    seen = measured.accuracy(
        connection, held.project, held.version, (body.since_seq, _LAST_SEQ),
        body.reference_accuracy, regression=body.regression,
    )  # fmt: skip
    broken = body.breaks if held.kind == "quality" else _open_breaks(connection, held.project)
    worth = triage(
        breaks=broken, accuracy=seen, margin=monitoring.accuracy_margin,
        min_labels=monitoring.min_labels,
    )  # fmt: skip
    body = replace(
        body, labelled=seen.labelled, accuracy=seen.value, triage=worth.kind, advice=worth.words
    )
    return replace(held, body=body), worth


def _open_breaks(connection: sa.Connection, project: str) -> tuple[str, ...]:
    """Return what is broken while drift is judged: broken data blocks retraining."""
    quality = incidents.find_open(connection, project, "quality")
    return (quality.cause,) if quality else ()


def _answer(
    connection: sa.Connection,
    held: Incident,
    worth: Triage,
    trigger: TriggerSection,
    now_s: float,
) -> Answer:
    last = retrains.last(connection, held.project)
    flying = retrains.in_flight(connection, held.project)
    # The cooldown keeps alarms from storming; a training that a person started is no answer.
    answered = retrains.last(connection, held.project, for_incident=True)
    ended_s = (answered.ended_s or answered.requested_s) if answered else -math.inf
    loop = Loop(
        new_labels=measured.new_labels(
            connection, held.project, since_seq=held.body.since_seq,
            since_s=last.requested_s if last else 0.0,
        ),
        in_flight=flying.id if flying else None,
        minutes_since=(now_s - ended_s) / 60,
        in_30_days=retrains.count_30_days(connection, held.project, now_s=now_s),
    )  # fmt: skip
    policy = Policy(
        enabled=trigger.enabled, min_new_labels=trigger.min_new_labels,
        cooldown_minutes=trigger.cooldown_minutes, max_per_month=trigger.max_per_month,
    )  # fmt: skip
    return decide(policy, worth.kind, loop)


def _requested(made: Retrain, held: Incident | None) -> Event:
    payload: dict[str, str | int | float | bool | None] = {
        "project": made.project, "incident": made.incident, "retrain": made.id,
        "reason": made.reason, "version": held.version if held else None,
    }  # fmt: skip
    return Event("retrain.requested", made.incident or made.id, payload)


def _again(
    connection: sa.Connection, project: str, now_s: float, sent: list[Event]
) -> tuple[Event, ...]:
    """Send the event of a retrain again that nobody has started; starting it twice is refused."""
    flying = retrains.in_flight(connection, project)
    if flying is None or flying.state != "requested" or now_s - flying.requested_s < _AGAIN_S:
        return ()
    if any(event.payload.get("retrain") == flying.id for event in sent):
        return ()
    return (_requested(flying, None),)
