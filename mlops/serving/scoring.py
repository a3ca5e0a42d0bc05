"""`POST /invocations` in MLflow's protocol and `POST /predict`: bytes in, probabilities out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.serving import parse
from mlops.serving.answer import headers, named
from mlops.serving.explain import explain, one_at_a_time, turn
from mlops.serving.log import Answered, stored
from mlops.serving.readers import INVOCATIONS, PREDICT, pick, read
from mlops.serving.reply import Refused, Reply, as_json, invalid
from mlops.serving.request import query, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from mlops.serving.app import App
    from mlops.serving.model import Model
    from mlops.serving.request import Scope
    from mlops.serving.rows import Rows
    from mlops.serving.split import Arm
    from mlops.serving.waiting import Scored

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Tell = Callable[[Model, NDArray[np.float32], list[str], Rows], Reply]
    """Makes an answer: of the model, its float32 (N, classes), the ids, and what was sent."""

_EXPLAIN = {"0": None, "1": "values", "png": "png"}
_MAX_TOP_K = 10_000


async def invocations(app: App, scope: Scope, receive: Receive) -> Reply:
    """Answer as `mlflow models serve` does, plus ids and version under keys that it ignores.

    Raises:
        Refused: whatever is wrong with the request.
    """
    reader = pick(scope, INVOCATIONS)
    model = app.batcher.current()
    body = await read_body(scope, receive, app.config.limits, app.patience)
    started = time.perf_counter()
    rows = await read(reader, scope, body, model.schema, app.config.limits)
    scored, ids = await score(app, model, rows, started)
    return as_mlflow(scored.model, scored.probabilities, ids, rows)


async def predict(app: App, scope: Scope, receive: Receive) -> Reply:
    """Answer one example or many, in any of the types of `readers.PREDICT`, with names of classes.

    Raises:
        Refused: whatever is wrong with the request.
    """
    reader = pick(scope, PREDICT)
    asked = query(scope, ("entity", "top_k", "explain"))
    top_k, how = _top_k(asked), _explain(asked)
    model = app.batcher.current()
    body = await read_body(scope, receive, app.config.limits, app.patience)
    started = time.perf_counter()
    rows = await read(reader, scope, body, model.schema, app.config.limits)
    entity = parse.entity(asked.get("entity"))
    if not how:
        scored, ids = await score(app, model, rows, started, entity=entity)
        return by_name(scored.model, scored.probabilities, ids, rows, top_k=top_k)
    one_at_a_time(rows)
    with turn():
        scored, ids = await score(app, model, rows, started, entity=entity)
        more = {"explanation": await explain(scored, rows, png=how == "png")}
    return by_name(scored.model, scored.probabilities, ids, rows, top_k=top_k, more=more)


def as_mlflow(
    model: Model, probabilities: NDArray[np.float32], ids: list[str], _rows: Rows
) -> Reply:
    """Return an answer of `/invocations`."""
    content = {
        "predictions": {model.output: np.ascontiguousarray(probabilities)},
        "prediction_ids": ids,
        "model_version": model.version,
    }
    return as_json(content, headers(model.version, ids))


def by_name(
    model: Model,
    probabilities: NDArray[np.float32],
    ids: list[str],
    rows: Rows,
    *,
    top_k: int | None = None,
    more: dict[str, Any] | None = None,
) -> Reply:
    """Return an answer of `/predict`.

    Args:
        model: that answered.
        probabilities: float32 (N, classes).
        ids: one per row.
        rows: that were sent.
        top_k: most classes to be told; None: all.
        more: to be told of the first row.
    """
    answers = named(model.schema, probabilities, ids, top_k)
    if more:
        answers[0] |= more
    told = answers[0] if rows.single else {"predictions": answers}
    return as_json({"model_version": model.version, **told}, headers(model.version, ids))


async def score(
    app: App,
    model: Model,
    rows: Rows,
    started: float,
    *,
    entity: str | None = None,
    arm: Arm | None = None,
    only: str = "",
) -> tuple[Scored, list[str]]:
    """Score rows, mint their ids, and log them.

    Args:
        app: whose batcher and log.
        model: that the rows were read for.
        rows: of the request.
        started: when the whole request had arrived, by `time.perf_counter`.
        entity: of the rows that have none of their own.
        arm: which model; None: as the canary's split has it.
        only: the version that was asked for; empty for any.

    Raises:
        Refused: whatever is in the way.
    """
    if entity is not None:
        entities = [own or entity for own in rows.entities or [None] * len(rows.array)]
        rows = rows._replace(entities=entities)
    scored = await app.batcher.score(model, rows.array, rows.entities, arm)
    if only and scored.model.version != only:  # swapped out since it was asked for
        raise Refused(503, "version_gone", "this version has just left service", retry_s=1)
    ids, synced = record(app, rows, scored.model, scored.probabilities, started)
    if synced is not None:
        await stored(synced, app.config.limits.deadline_s)
    app.counting.rows += len(ids)
    return scored, ids


def record(
    app: App, rows: Rows, model: Model, probabilities: NDArray[np.float32], started: float
) -> tuple[list[str], Future[None] | None]:
    """Mint the ids of rows that were answered, and log them.

    Returns:
        The ids, and what is done once they are on disk, if the reply is to wait for that.
    """
    ids = app.minter.mint(len(rows.array))
    answered = Answered(
        ids, time.time(), model.version, rows.entities, rows.values, model.schema, probabilities,
        time.perf_counter() - started,
    )  # fmt: skip
    synced = app.log.append(answered)
    app.mirror.offer(answered)
    return ids, synced


def _top_k(asked: dict[str, str]) -> int | None:
    text = asked.get("top_k")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 5 and int(text) > 0):
        raise invalid(f"must be a whole number from 1 to {_MAX_TOP_K}", field="top_k")
    if int(text) > _MAX_TOP_K:
        raise invalid(f"must be a whole number from 1 to {_MAX_TOP_K}", field="top_k")
    return int(text)


def _explain(asked: dict[str, str]) -> str | None:
    text = asked.get("explain", "0")
    if text not in _EXPLAIN:
        raise invalid("must be 0, 1 or png", field="explain")
    return _EXPLAIN[text]
