"""What open incidents are worth now that more labels are here, and whether to ask for a retrain."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import incidents, measured, retrains, windows
from mlops.adapters.advice import answered, clause, policy_of, with_probe
from mlops.adapters.asking import loop_now, requested
from mlops.adapters.estimates import errors_together, together
from mlops.adapters.incidents import ACCURACY
from mlops.core.awaited import labels_wanted
from mlops.core.shift import name_shifts
from mlops.core.triage import Triage, outgrown, triage, unmeasured
from mlops.core.trigger import told
from mlops.site import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from mlops.adapters.advice import Probed
    from mlops.adapters.asking import Sections
    from mlops.adapters.incidents import Incident
    from mlops.core.awaited import Wanted
    from mlops.core.trigger import Cause, Loop
    from mlops.core.worth import Worth

_AGAIN_S = 600.0  # an event lost between commit and bus is sent again after so long
_LAST_SEQ = 2**62
_GUESSED = 5  # newest alarming windows that an estimate looks at
_ESCALATED = 4  # severity at least, when an estimate says that it is costly
_OPENING = 2  # lines of a timeline before the first triage


def review(
    engine: sa.Engine,
    project: str,
    asked: Sections,
    *,
    serving: str,
    now_s: float,
    prober: Callable[[int], Worth] | None = None,
) -> tuple[Event, ...]:
    """Triage every open incident and let the trigger answer; in one transaction.

    An incident of a version that was replaced is left alone until windows of its successor
    resolve it or take it over: its accuracy is history.
    """

    def look(connection: sa.Connection, probed: Probed) -> tuple[Event, ...]:
        events: list[Event] = []
        windows.serialise(connection)
        retrains.expire(connection, project, now_s=now_s, max_hours=asked.trigger.max_hours)
        for held in incidents.find_all_open(connection, project):
            if held.kind != "serving" and held.version == serving:
                events.extend(_look_at(connection, held, asked, now_s, probed))
        events.extend(_again(connection, project, now_s, events))
        return tuple(events)

    return with_probe(engine, look, prober)


def _look_at(
    connection: sa.Connection, held: Incident, asked: Sections, now_s: float, probed: Probed
) -> tuple[Event, ...]:
    """Triage one incident, and ask for a retrain or say why not."""
    judged, worth = _judge(connection, held, asked, now_s)
    cause: Cause = "performance" if held.cause == ACCURACY else "drift"
    since = judged.body.since_seq
    loop = loop_now(connection, held.project, since_seq=since, now_s=now_s)
    answer, loop = answered(asked.trigger, worth.kind, loop, lambda: probed(since), cause)
    need = _need(judged, asked, loop)
    body = replace(
        judged.body, trigger=answer.why, answer=answer.reason, training=need.training,
        decides=need.decides,
    )  # fmt: skip
    if loop.worth:
        words = loop.worth.words(policy_of(asked.trigger), loop, asked.trigger.min_gain)
        body = replace(body, worth=words)
    if answer.why != held.body.trigger and worth.kind == "costly":
        verb = "retrain requested" if answer.requested else "no retrain"
        body = body.told(now_s, f"{verb}: {answer.reason}")
    if answer.requested and "detected" in body.notified:
        body = replace(body, due=(*body.due, "retrained"))
    judged = replace(judged, body=body)
    incidents.save(connection, judged)
    if answer.requested:
        made = retrains.request(
            connection, held.project, reason=_reason(judged, loop), incident=held.id, now_s=now_s,
        )  # fmt: skip
        return (requested(made, judged.version),)
    if worth.kind == "costly" and answer.why not in ("in flight", held.body.trigger):
        payload = {"incident": held.id, "why": answer.why, "reason": answer.reason}
        return (Event("retrain.refused", held.id, {"project": held.project, **payload}),)
    return ()


def _judge(
    connection: sa.Connection, held: Incident, asked: Sections, now_s: float
) -> tuple[Incident, Triage]:
    body, margin = held.body, asked.monitoring.accuracy_margin
    seen = measured.accuracy(
        connection, held.project, held.version, (body.since_seq, _LAST_SEQ),
        body.reference_accuracy, expected=measured.expect(asked.labels, now_s),
        regression=body.regression,
    )  # fmt: skip
    broken = body.breaks if held.kind == "quality" else _open_breaks(connection, held.project)
    looked = windows.named(connection, held.project, body.windows[-_GUESSED:])
    guess = together(looked)
    worth = triage(
        breaks=broken, accuracy=seen, margin=margin, min_labels=asked.monitoring.min_labels,
        estimate=guess,
    )  # fmt: skip
    if worth.kind == "harmless" and (anew := _outgrown(connection, held, asked, now_s)):
        return _judge(connection, anew, asked, now_s)
    loss = None
    if worth.kind in ("costly", "harmless") and seen.value is not None:
        loss = (seen.reference or 0.0) - seen.value
    shifts = name_shifts(
        [c.column for c in body.columns if c.value >= c.threshold], mix=seen.mix,
        reference_mix=body.reference_mix, loss=loss, margin=margin, estimate=guess,
        reference=seen.reference, measure=seen.measure,
    )  # fmt: skip
    loud = max(body.severity, _ESCALATED) if worth.escalated else body.severity
    was = (body.triage, body.escalated)
    body = replace(
        body, labelled=seen.labelled, accuracy=seen.value, triage=worth.kind, advice=worth.words,
        wanted=worth.labels_wanted, severity=loud, escalated=worth.escalated or body.escalated,
        estimate=(guess.value, guess.low, guess.high) if guess else (),
        error_estimate=errors_together(looked),
        shifts=tuple(f"{shift.name} shift: {shift.words}" for shift in shifts),
    )  # fmt: skip
    if (body.triage, body.escalated) != was or len(body.timeline) < _OPENING:
        body = body.told(now_s, f"{worth.kind}: {worth.words}")
    if (was[0], worth.kind) == ("harmless", "unclear") and not body.to_notify():
        body = replace(body, due=(*body.due, "needs you"))
    return replace(held, body=body), worth


def _outgrown(
    connection: sa.Connection, held: Incident, asked: Sections, now_s: float
) -> Incident | None:
    """Return a harmless incident to be measured from newer windows on, if those look worse.

    What labels showed holds for the windows that they measured.
    """
    body, reference = held.body, held.body.reference_accuracy
    known = [
        w for w in windows.named(connection, held.project, body.windows)
        if w.cut.version == held.version and w.cut.first_seq >= body.since_seq
    ]  # fmt: skip
    counted = measured.by_window(
        connection, held.project, held.version, body.since_seq - 1,
        expected=measured.expect(asked.labels, now_s),
    )  # fmt: skip
    labelled = {c.window.id: c.labelled for c in counted}
    count = unmeasured([labelled.get(w.id, 0) for w in known], asked.monitoring.min_labels)
    cut = len(known) - min(count, _GUESSED)
    older, newer = known[:cut], known[cut:]
    before = together([w for w in older if w.id in labelled][-_GUESSED:])
    margin = asked.monitoring.accuracy_margin
    if reference is None or not older:
        return None
    if not outgrown(together(newer), before, reference=reference, margin=margin):
        return None
    words = f"from {newer[0].id} on too few labels measure it, and it looks worse: measured anew"
    body = replace(body, since_seq=newer[0].cut.first_seq).told(now_s, words)
    return replace(held, body=body)


def _open_breaks(connection: sa.Connection, project: str) -> tuple[str, ...]:
    """Return what is broken while drift is judged: broken data blocks retraining."""
    quality = incidents.find_open(connection, project, "quality")
    return (quality.cause,) if quality else ()


def _reason(held: Incident, loop: Loop) -> str:
    """Return what the retrain is recorded with: why it was asked for."""
    why = told("performance", held.body.loss) if held.cause == ACCURACY else f"drift: {held.cause}"
    return why + clause(loop)


def _need(held: Incident, asked: Sections, loop: Loop) -> Wanted:
    return labels_wanted(
        held.body.wanted, measured=held.body.labelled, min_labels=asked.monitoring.min_labels,
        margin=asked.monitoring.accuracy_margin, policy=policy_of(asked.trigger), loop=loop,
    )  # fmt: skip


def _again(
    connection: sa.Connection, project: str, now_s: float, sent: list[Event]
) -> tuple[Event, ...]:
    """Send the event of a retrain again that nobody has started; starting it twice is refused."""
    flying = retrains.in_flight(connection, project)
    if flying is None or flying.state != "requested" or now_s - flying.requested_s < _AGAIN_S:
        return ()
    if any(event.payload.get("retrain") == flying.id for event in sent):
        return ()
    return (requested(flying, None),)
