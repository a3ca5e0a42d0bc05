"""What open incidents are worth now that more labels are here, and whether to ask for a retrain."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mlops.adapters import incidents, measured, retrains, windows
from mlops.adapters.estimates import together
from mlops.core.shift import name_shifts
from mlops.core.triage import Triage, triage
from mlops.core.trigger import Answer, Loop, Policy, decide
from mlops.site import Event

if TYPE_CHECKING:
    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident
    from mlops.adapters.retrains import Retrain
    from mlops.params.labels import LabelsSection
    from mlops.params.monitoring import MonitoringSection
    from mlops.params.trigger import TriggerSection

_AGAIN_S = 600.0  # an event lost between commit and bus is sent again after so long
_LAST_SEQ = 2**62
_GUESSED = 5  # newest alarming windows that an estimate looks at
_ESCALATED = 4  # severity at least, when an estimate says that it is costly
_OPENING = 2  # lines of a timeline before the first triage


class Asked(Protocol):
    """The sections of `params.yaml` that a review looks at."""

    @property
    def monitoring(self) -> MonitoringSection:
        """When a loss matters."""

    @property
    def trigger(self) -> TriggerSection:
        """When a retrain may be asked for."""

    @property
    def labels(self) -> LabelsSection:
        """Which labels are expected."""


def review(
    engine: sa.Engine,
    project: str,
    asked: Asked,
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
        retrains.expire(connection, project, now_s=now_s, max_hours=asked.trigger.max_hours)
        for held in incidents.find_all_open(connection, project):
            if held.kind == "serving" or held.version != serving:
                continue
            judged, worth = _judge(connection, held, asked, now_s)
            answer = _answer(connection, judged, worth, asked.trigger, now_s)
            body = replace(judged.body, trigger=answer.why, answer=answer.reason)
            if answer.why != held.body.trigger and worth.kind == "costly":
                verb = "retrain requested" if answer.requested else "no retrain"
                body = body.told(now_s, f"{verb}: {answer.reason}")
            if answer.requested and "detected" in body.notified:
                body = replace(body, due=(*body.due, "retrained"))
            judged = replace(judged, body=body)
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
    connection: sa.Connection, held: Incident, asked: Asked, now_s: float
) -> tuple[Incident, Triage]:
    body, margin = held.body, asked.monitoring.accuracy_margin
    seen = measured.accuracy(
        connection, held.project, held.version, (body.since_seq, _LAST_SEQ),
        body.reference_accuracy, expected=measured.expect(asked.labels, now_s),
        regression=body.regression,
    )  # fmt: skip
    broken = body.breaks if held.kind == "quality" else _open_breaks(connection, held.project)
    guess = together(windows.named(connection, held.project, body.windows[-_GUESSED:]))
    worth = triage(
        breaks=broken, accuracy=seen, margin=margin, min_labels=asked.monitoring.min_labels,
        estimate=guess,
    )  # fmt: skip
    loss = None
    if worth.kind in ("costly", "harmless") and seen.value is not None:
        loss = (seen.reference or 0.0) - seen.value
    shifts = name_shifts(
        [c.column for c in body.columns if c.value >= c.threshold], mix=seen.mix,
        reference_mix=body.reference_mix, loss=loss, margin=margin, estimate=guess,
        reference=seen.reference,
    )  # fmt: skip
    loud = max(body.severity, _ESCALATED) if worth.escalated else body.severity
    was = (body.triage, body.escalated)
    body = replace(
        body, labelled=seen.labelled, accuracy=seen.value, triage=worth.kind, advice=worth.words,
        wanted=worth.labels_wanted, severity=loud, escalated=worth.escalated or body.escalated,
        estimate=(guess.value, guess.low, guess.high) if guess else (),
        shifts=tuple(f"{shift.name} shift: {shift.words}" for shift in shifts),
    )  # fmt: skip
    if (body.triage, body.escalated) != was or len(body.timeline) < _OPENING:
        body = body.told(now_s, f"{worth.kind}: {worth.words}")
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
        minutes_30_days=retrains.minutes_30_days(connection, held.project, now_s=now_s),
        typical_minutes=_minutes(last),
    )  # fmt: skip
    policy = Policy(
        enabled=trigger.enabled, min_new_labels=trigger.min_new_labels,
        cooldown_minutes=trigger.cooldown_minutes, max_per_month=trigger.max_per_month,
        max_minutes=trigger.max_minutes_per_month,
    )  # fmt: skip
    return decide(policy, worth.kind, loop)


def _minutes(last: Retrain | None) -> float:
    if last is None or last.started_s is None or last.ended_s is None:
        return 0.0
    return (last.ended_s - last.started_s) / 60


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
