"""The Open Inference Protocol (V2) over HTTP, as KServe, Triton and MLServer clients speak it."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from mlops.serving import parse
from mlops.serving.answer import headers
from mlops.serving.binary import raw
from mlops.serving.open_rows import input_metadata, output_metadata, read_rows
from mlops.serving.open_tensors import read_inputs, write_output
from mlops.serving.reply import Refused, Reply, as_json, invalid, malformed
from mlops.serving.request import header, media_type, read_body
from mlops.serving.scoring import score

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.serving.app import App
    from mlops.serving.config import Limits
    from mlops.serving.model import Model
    from mlops.serving.request import Scope
    from mlops.serving.rows import Rows
    from mlops.serving.waiting import Scored

    Receive = Callable[[], Awaitable[dict[str, Any]]]

ROOT = "/v2"
HEAD_LENGTH = b"inference-header-content-length"
_KEYS = {"id", "parameters", "inputs", "outputs"}
_KINDS = ("application/json", "application/octet-stream")
_INLINE_BYTES = 1 << 18
_MAX_ID = 256


async def server(app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Return what this server is."""
    return as_json({
        "name": app.config.project, "version": package_version("mlops"),
        "extensions": ["binary_tensor_data"],
    })  # fmt: skip


async def live(_app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Say that the process answers: also without a model, and while it drains."""
    return as_json({"live": True})


async def ready(app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Say that a model is in service and no end is near.

    Raises:
        Refused: 503 otherwise.
    """
    app.refuse_draining()
    app.batcher.current()
    return as_json({"ready": True})


async def metadata(app: App, scope: Scope, _receive: Receive) -> Reply:
    """Return the tensors that a model takes and gives.

    Raises:
        Refused: 404 for another model or version.
    """
    model, _, _ = _asked(app, scope)
    return as_json({
        "name": app.config.project, "versions": app.batcher.versions(),
        "platform": model.platform, "inputs": input_metadata(model.schema),
        "outputs": output_metadata(model.schema, model.output),
    })  # fmt: skip


async def model_ready(app: App, scope: Scope, receive: Receive) -> Reply:
    """Say that a model, or one version of it, is in service.

    Raises:
        Refused: 404 for another one, 503 while draining.
    """
    _asked(app, scope)
    return await ready(app, scope, receive)


async def infer(app: App, scope: Scope, receive: Receive) -> Reply:
    """Answer tensors with tensors.

    Raises:
        Refused: whatever is wrong with the request.
    """
    model, arm, version = _asked(app, scope)
    need_kind(scope)
    body = await read_body(scope, receive, app.config.limits, app.patience)
    started = time.perf_counter()
    length = head_length(scope, len(body))

    def read() -> tuple[dict[str, Any], Rows]:
        return _read(body, length, model, app.config.limits)

    head, rows = read() if len(body) < _INLINE_BYTES else await asyncio.to_thread(read)
    names = [entry["name"] for entry in output_metadata(model.schema, model.output)]
    asked = asked_outputs(head, names)
    scored, ids = await score(app, model, rows, started, arm=arm, only=version)
    return _reply(app, scored, ids, asked, head.get("id"))


def _asked(app: App, scope: Scope) -> tuple[Model, Any, str]:
    """Return the model, whose turn it is (None: anybody's), and the version asked for, if any."""
    parts = scope["path"].split("/")[3:]  # /v2/models/NAME[/versions/V][/…]
    model = app.batcher.current()
    if parts[0] != app.config.project:
        raise Refused(
            404, "unknown_model", "no model of this name is served",
            remedy=f"see {ROOT}/models/{quote(app.config.project, safe='')}",
        )  # fmt: skip
    if len(parts) < 3 or parts[1] != "versions":
        return model, None, ""
    arm = app.batcher.arm(parts[2])
    if arm is None:
        served = ", ".join(app.batcher.versions())
        raise Refused(404, "unknown_version", "this version is not in service",
                      remedy=f"in service: {served}")  # fmt: skip
    return model, arm, parts[2]


def need_kind(scope: Scope) -> None:
    """Check the media type of a request with tensors; it may have none.

    Raises:
        Refused: 415 for another one.
    """
    if header(scope, b"content-type") and media_type(scope) not in _KINDS:
        raise Refused(415, "unsupported_type", "this Content-Type is not read",
                      remedy=f"send {' or '.join(_KINDS)}")  # fmt: skip


def head_length(scope: Scope, size: int) -> int | None:
    """Return how many bytes of a body are its head; None: all of them.

    Raises:
        Refused: 400 for what is no such number.
    """
    text = header(scope, HEAD_LENGTH)
    if not text:
        return None
    if not (text.isdigit() and len(text) < 12 and int(text) <= size):
        raise malformed("Inference-Header-Content-Length is no length within the body")
    return int(text)


def _read(
    body: bytes, length: int | None, model: Model, limits: Limits
) -> tuple[dict[str, Any], Rows]:
    if length == 0:  # the extension's raw form: one input, no head
        return {"parameters": {"binary_data_output": True}}, raw(body, model.schema, limits)
    head, tail = read_head(body, length)
    tensors = read_inputs(head.get("inputs"), tail, limits.body_bytes)
    return head, read_rows(tensors, model.schema, limits.rows)


def read_head(body: bytes, length: int | None) -> tuple[dict[str, Any], memoryview]:
    """Return a request's head, checked but for its tensors, and what follows it.

    Raises:
        Refused: 400 or 422.
    """
    head = parse.parse(body if length is None else body[:length]).content
    if set(head) - _KEYS:
        raise invalid("a request has id, parameters, inputs and outputs", remedy="leave the rest")
    identity, parameters = head.get("id", ""), head.get("parameters", {})
    if not isinstance(identity, str) or len(identity) > _MAX_ID:
        raise invalid(f"must be text of at most {_MAX_ID} characters", field="id")
    if not isinstance(parameters, dict):
        raise invalid("must be an object", field="parameters")
    return head, memoryview(b"" if length is None else body)[length or 0 :]


def asked_outputs(head: dict[str, Any], names: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the outputs that are asked for, and whether each is to be binary.

    Raises:
        Refused: 422 for one that the model does not have.
    """
    default = head.get("parameters", {}).get("binary_data_output") is True
    asked = head.get("outputs", [])
    if asked == []:
        return [(name, default) for name in names]
    found = []
    for one in asked if isinstance(asked, list) else [None]:
        if not isinstance(one, dict) or set(one) - {"name", "parameters"}:
            raise invalid("must be a list of objects with name and parameters", field="outputs")
        if one.get("name") not in names:
            raise invalid("is no output of this model", field="outputs.name",
                          remedy=f"the outputs are {', '.join(names)}")  # fmt: skip
        parameters = one.get("parameters", {})
        if not isinstance(parameters, dict):
            raise invalid("must be an object", field="outputs.parameters")
        binary = parameters.get("binary_data", default)
        if not isinstance(binary, bool):
            raise invalid("must be true or false", field="outputs.parameters.binary_data")
        found.append((one["name"], binary))
    return found


def _reply(
    app: App, scored: Scored, ids: list[str], asked: Sequence[tuple[str, bool]], identity: Any
) -> Reply:
    classes = scored.model.schema.classes
    values: dict[str, Any] = {scored.model.output: scored.probabilities, "prediction_id": ids}
    if classes:
        best = scored.probabilities.argmax(axis=1).tolist()
        values["class"] = [classes[n] for n in best]
    written = [write_output(name, values[name], binary=binary) for name, binary in asked]
    content: dict[str, Any] = {
        "model_name": app.config.project, "model_version": scored.model.version,
        **({"id": identity} if identity else {}),
        "outputs": [head for head, _ in written],
    }  # fmt: skip
    return tensor_reply(content, written, headers(scored.model.version, ids))


def tensor_reply(
    content: dict[str, Any],
    written: Sequence[tuple[dict[str, Any], bytes]],
    told: tuple[tuple[bytes, bytes], ...],
) -> Reply:
    """Return an answer: JSON, or a head with what follows it where an output is binary.

    Args:
        content: the head.
        written: of each output its part of the head, and its bytes behind it.
        told: headers.
    """
    if not any(tail for _, tail in written):
        return as_json(content, told)
    head = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    body = b"".join([head, *(tail for _, tail in written)])
    length = ((HEAD_LENGTH, str(len(head)).encode()),)
    return Reply(200, body, told + length, b"application/octet-stream")
