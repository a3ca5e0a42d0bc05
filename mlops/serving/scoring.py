"""`POST /invocations` in MLflow's protocol and `POST /predict`: bytes in, probabilities out."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import numpy as np

from mlops.serving import images, metrics, parse
from mlops.serving.log import Answered
from mlops.serving.reply import Refused, Reply, as_json, invalid, malformed
from mlops.serving.request import media_type, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema
    from mlops.serving.app import App
    from mlops.serving.batch import Scored
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

_INLINE_BYTES = 1 << 18  # larger bodies are read in a thread, so that small ones need not wait
_HEADER_IDS = 16


async def invocations(app: App, scope: Scope, receive: Receive) -> Reply:
    """Answer as `mlflow models serve` does, plus ids and version under keys that it ignores.

    Raises:
        Refused: whatever is wrong with the request.
    """
    kind = media_type(scope)
    if kind != "application/json":
        raise _unsupported("application/json")
    model = app.batcher.current()
    body = await read_body(scope, receive, app.config.limits)
    started = time.perf_counter()

    def read() -> NDArray[np.uint8]:
        return parse.scoring(parse.parse(body), model.schema, app.config.limits.rows)

    pixels = read() if len(body) < _INLINE_BYTES else await asyncio.to_thread(read)
    scored, ids = await _score(app, pixels, None, started)
    content = {
        "predictions": {scored.model.output: np.ascontiguousarray(scored.probabilities)},
        "prediction_ids": ids,
        "model_version": scored.model.version,
    }
    return as_json(content, _headers(scored, ids))


async def predict(app: App, scope: Scope, receive: Receive) -> Reply:
    """Answer an image file, a form with one, raw uint8 pixels, or JSON, with classes.

    Raises:
        Refused: whatever is wrong with the request.
    """
    kind = media_type(scope)
    read = _READERS.get("image/*" if kind.startswith("image/") else kind)
    if read is None:
        raise _unsupported("application/json, image/png, image/jpeg, image/webp, "
                           "multipart/form-data, application/octet-stream")  # fmt: skip
    model = app.batcher.current()
    body = await read_body(scope, receive, app.config.limits)
    started = time.perf_counter()
    pixels, entities, single = await read(app, scope, body, model.schema)
    scored, ids = await _score(app, pixels, entities, started)
    rows = _named(scored, ids)
    head: dict[str, Any] = {"model_version": scored.model.version}
    content = {**head, **rows[0]} if single else {**head, "predictions": rows}
    return as_json(content, _headers(scored, ids))


Read = tuple["NDArray[np.uint8]", "Sequence[str | None]", bool]


async def _json(app: App, _scope: Scope, body: bytes, schema: ImageSchema) -> Read:
    def read() -> Read:
        return parse.images(parse.parse(body), schema, app.config.limits.rows)

    return read() if len(body) < _INLINE_BYTES else await asyncio.to_thread(read)


async def _file(app: App, scope: Scope, body: bytes, schema: ImageSchema) -> Read:
    pixels = await asyncio.to_thread(images.decode, body, schema, app.config.limits.pixels)
    return pixels[np.newaxis], [_asked_entity(scope)], True


async def _raw(app: App, scope: Scope, body: bytes, schema: ImageSchema) -> Read:
    rows, rest = divmod(len(body), schema.size_bytes)
    if rest:
        raise invalid(f"{len(body)} bytes are no multiple of {schema.size_bytes} {schema.shape}")
    if rows > app.config.limits.rows:
        raise Refused(413, "too_many_rows", f"{rows} rows, at most {app.config.limits.rows}")
    pixels = np.frombuffer(body, dtype=np.uint8).reshape(rows, *schema.shape)
    return pixels, [_asked_entity(scope)] * rows, rows == 1


async def _form(app: App, scope: Scope, body: bytes, schema: ImageSchema) -> Read:
    from starlette.datastructures import Headers, UploadFile
    from starlette.formparsers import MultiPartParser

    async def stream() -> Any:
        yield body

    limit = app.config.limits.body_bytes
    try:
        parser = MultiPartParser(
            Headers(scope=scope), stream(), max_files=1, max_fields=4, max_part_size=limit
        )
        form = await parser.parse()
    except Exception:  # noqa: BLE001 - the parser raises its own and its dependency's errors
        raise malformed("not a valid multipart form", remedy="send one file field") from None
    try:
        uploads = [value for value in form.values() if isinstance(value, UploadFile)]
        if not uploads:
            raise invalid("the form holds no file", remedy='curl -F "image=@digit.png"')
        content = await uploads[0].read()
        named = form.get("entity")
        entity = parse.entity(named) if named else _asked_entity(scope)
    finally:
        await form.close()
    pixels = await asyncio.to_thread(images.decode, content, schema, app.config.limits.pixels)
    return pixels[np.newaxis], [entity], True


_READERS = {
    "application/json": _json,
    "application/octet-stream": _raw,
    "multipart/form-data": _form,
    "image/*": _file,
}


async def _score(
    app: App,
    pixels: NDArray[np.uint8],
    entities: Sequence[str | None] | None,
    started: float,
) -> tuple[Scored, list[str]]:
    scored = await app.batcher.score(pixels)
    ids = app.minter.mint(len(pixels))
    latency_s = time.perf_counter() - started
    app.log.append(Answered(
        ids, time.time(), scored.model.version, entities, pixels, scored.probabilities, latency_s
    ))  # fmt: skip
    metrics.PREDICTIONS.inc(len(ids))
    return scored, ids


def _named(scored: Scored, ids: Sequence[str]) -> list[dict[str, Any]]:
    classes = scored.model.schema.classes
    rows = []
    for identity, scores in zip(ids, scored.probabilities.tolist(), strict=True):
        best = max(range(len(scores)), key=scores.__getitem__)
        rows.append({
            "prediction_id": identity, "class": classes[best], "label": best,
            "probability": scores[best], "probabilities": dict(zip(classes, scores, strict=True)),
        })  # fmt: skip
    return rows


def _headers(scored: Scored, ids: Sequence[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return version and ids as headers; of many rows only the first few, the body has all."""
    return (
        (b"x-model-version", scored.model.version.encode()),
        (b"x-prediction-id", ",".join(ids[:_HEADER_IDS]).encode()),
    )


def _asked_entity(scope: Scope) -> str | None:
    if not scope["query_string"]:
        return None
    try:
        asked = parse_qs(scope["query_string"].decode("ascii"), errors="strict", max_num_fields=8)
    except ValueError:
        raise malformed("the query is not valid") from None
    return parse.entity(asked.get("entity", [None])[0])


def _unsupported(known: str) -> Refused:
    return Refused(415, "unsupported_type", "this Content-Type is not read", remedy=f"send {known}")
