"""`POST /feedback` and `GET /predictions/ID`: labels and scores, and looking a prediction up.

Feedback goes through the same spool as predictions and is answered once it is on disk, so it works
while the database is away and for predictions that have not reached it yet. `label_source` says
how the row was chosen for labelling; without it `user` is assumed. Labels from `user` and `random`
measure accuracy and reach the gate; those from `active` do not, since their rows were chosen for
being hard: they only train. A score says how good an answer was found; it is kept beside the
prediction and is never a label.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops.core.prediction import LABEL_SOURCES, SCORES, Label, Labelled, Logged, Score
from mlops.core.schema import LARGEST
from mlops.serving import parse
from mlops.serving.lookup import possible, unknown
from mlops.serving.reply import Refused, Reply, as_json, invalid
from mlops.serving.request import media_type, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.core.prediction import Given
    from mlops.serving.app import App
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

_KEYS = {"prediction_id", "label", "correction", "label_source", "score"}
_SYNC_S = 5.0


async def feedback(app: App, scope: Scope, receive: Receive) -> Reply:
    """Take what is given back to one prediction, or a list of such.

    All or none is accepted: nothing for a prediction that the log never has, whose label would
    train and judge nothing.

    Raises:
        Refused: 404 for a prediction that is unknown or not logged, 503 when nothing can be stored
            now, or when only the log could tell and its database is away.
    """
    if media_type(scope) != "application/json":
        raise Refused(415, "unsupported_type", "send Content-Type: application/json")
    model = app.batcher.current()
    body = await read_body(scope, receive, app.config.limits, app.patience)
    items = parse.objects(body, app.config.limits.rows)
    at_s = app.minter.now_s()
    given = [one for item in items for one in _given(item, model.schema.classes, at_s)]
    for identity in {one.prediction_id for one in given}:
        if app.lookup.expects(identity):
            continue
        found = await app.lookup.find(identity)
        if found.logged is None and not found.waits:
            raise app.lookup.absent(identity)
    synced = app.log.label(given)
    if synced is None:
        raise _full()
    try:
        await asyncio.wait_for(asyncio.wrap_future(synced), _SYNC_S)
    except OSError:  # of the log, or that it took too long: a TimeoutError is one too
        raise _full() from None
    return as_json({"accepted": len(items)})


async def prediction(app: App, identity: str) -> Reply:
    """Return one prediction, its newest label and score; 202 while it is on its way to the log.

    Raises:
        Refused: 404 for a prediction that is unknown or not logged, 503 while the database is away.
    """
    if not possible(identity):
        raise unknown()
    found = await app.lookup.find(identity)
    if found.logged is not None:
        return as_json(_shown(found.logged, found.score, app.batcher.current().schema.classes))
    if not found.waits:
        raise app.lookup.absent(identity)
    queued = {"prediction_id": identity, "state": "queued"}
    return as_json(queued, ((b"retry-after", b"1"),), 202)


def _shown(found: Logged | Labelled, score: float | None, classes: Sequence[str]) -> dict[str, Any]:
    logged = found.logged if isinstance(found, Labelled) else found
    label = found.label if isinstance(found, Labelled) else None
    row = logged.prediction
    at = datetime.fromtimestamp(row.at_s, UTC)
    return {
        "prediction_id": row.id, "state": "logged", "model_version": row.version,
        "at": at.isoformat(), "example_id": row.example_id, "entity": row.entity,
        "redacted": row.redacted,
        **_answer(logged.scores.tolist(), classes), "latency_ms": row.latency_s * 1000.0,
        "label": None if label is None else _name(classes, label.label),
        "label_source": None if label is None else label.label_source,
        "score": score,
    }  # fmt: skip


def _answer(scores: list[float], classes: Sequence[str]) -> dict[str, Any]:
    """Return a class with its probabilities, or a number with its quantiles."""
    if not classes:
        return {"prediction": scores[len(scores) // 2], "quantiles": scores}
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"class": _name(classes, best), "probabilities": scores}


def _name(classes: Sequence[str], label: float) -> str | float:
    """Return a class by its index; of a regression the number."""
    if not classes:
        return label
    return classes[int(label)] if label < len(classes) else str(int(label))


def _given(item: dict[str, Any], classes: Sequence[str], at_s: float) -> list[Given]:
    """Return an item's label and score, whichever it has."""
    identity, source = item.get("prediction_id"), item.get("label_source", "user")
    labels = ("label" in item) + ("correction" in item)
    alone = labels == 0 and ("score" not in item or "label_source" in item)
    if set(item) - _KEYS or labels > 1 or alone:
        raise invalid(
            "must hold prediction_id and either label or correction (perhaps with label_source), "
            "score, or both",
            remedy=f"label_source is one of {', '.join(LABEL_SOURCES)}",
        )
    if not isinstance(identity, str):
        raise invalid("must be text", field="prediction_id")
    if not possible(identity):
        raise unknown()
    if source not in LABEL_SOURCES:
        raise invalid(f"must be one of {', '.join(LABEL_SOURCES)}", field="label_source")
    found: list[Given] = []
    if labels:
        given = item.get("label", item.get("correction"))
        value = _index(given, classes) if classes else _number(given)
        found.append(Label(identity, value, source, at_s))
    if "score" in item:
        found.append(Score(identity, _score(item["score"]), at_s))
    return found


def _score(given: Any) -> float:
    low, high = SCORES
    if isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high:
        return float(given)
    raise invalid(
        f"must be a number from {low:g} to {high:g}", field="score",
        remedy=f"{low:g} is useless, {high:g} as good as can be",
    )  # fmt: skip


def _number(label: Any) -> float:
    """Return the label of a regression."""
    if isinstance(label, int | float) and not isinstance(label, bool) and abs(label) <= LARGEST:
        return float(label)
    raise invalid(
        "must be a number within ±3.4e38", field="label", remedy="the model predicts a number"
    )


def _index(label: Any, classes: Sequence[str]) -> int:
    """Return a class's index, given its name (text) or its index (a number)."""
    if isinstance(label, str) and label in classes:
        return classes.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes):
        return label
    raise invalid(
        f"must be a class name or an index below {len(classes)}", field="label",
        remedy=f"classes: {', '.join(classes[:20])}",
    )  # fmt: skip


def _full() -> Refused:
    return Refused(503, "log_full", "labels cannot be stored now", retry_s=2, remedy="try again")
