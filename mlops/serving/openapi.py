"""`GET /openapi.json`: every route, what it takes and every way in which it may refuse.

Made by hand and not from the code, so that it says what is promised; tests hold it against the
routes. Its schemas are those of the model in service: a client made from it knows the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any

import orjson

from mlops.serving import openapi_schemas as schemas
from mlops.serving.readers import FORM, INVOCATIONS, PREDICT, media_types
from mlops.serving.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.core.schema import Schema
    from mlops.serving.app import App
    from mlops.serving.openapi_schemas import Json
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

ALWAYS = (400, 405, 431, 500, 503)
GUARDED = (*ALWAYS, 401, 403, 429)
BODY = (408, 411, 413, 415, 422)
_BYTES: Json = {"type": "string", "format": "binary", "minLength": 1}
_TEXT: Json = {"type": "string"}


async def openapi(app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Return the description of this server with the model in service.

    Raises:
        Refused: 503 before there is one.
    """
    model = app.batcher.current()
    return Reply(200, describe(Served(
        model.schema, model.output, app.config.project, tuple(app.batcher.versions()),
        app.config.limits.rows, closed=app.guard.closed,
    )))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Served:
    """What a description is about.

    Attributes:
        schema: of the model in service.
        output: name of its output.
        project: whose.
        versions: in service.
        rows: most rows of one request.
        closed: whether a token is needed.
    """

    schema: Schema
    output: str
    project: str
    versions: tuple[str, ...]
    rows: int
    closed: bool


@lru_cache(maxsize=8)
def describe(served: Served) -> bytes:
    """Return the description as JSON."""
    schema, output, rows = served.schema, served.output, served.rows
    model = {"name": in_path("name", {"const": served.project})}
    version = {**model, "version": in_path("version", {"enum": list(served.versions)})}
    paths = {
        **_scoring(schema, rows), **_feedback(schema, rows), **pages(), "/docs": {"get": operation(
            "docs", "Every route with a form, where MLOPS_SERVE_DOCS is set", {"text/html": _TEXT},
            (*GUARDED, 404))},
        **_inference(schema, output, "/v2/models/{name}", model),
        **_inference(schema, output, "/v2/models/{name}/versions/{version}", version),
    }  # fmt: skip
    words = ("MLflow's scoring protocol, the Open Inference Protocol (V2), and predictions with "
             "names, explanations and feedback.")  # fmt: skip
    return document(served.project, words, paths, closed=served.closed)


def document(project: str, words: str, paths: Json, *, closed: bool) -> bytes:
    """Return a whole description as JSON."""
    return orjson.dumps({
        "openapi": "3.1.0",
        "info": {"title": f"{project}: predictions", "version": package_version("mlops"),
                 "description": words},
        "security": [{"token": []}] if closed else [],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": schemas.ERROR, "Refusal": _refusal(schemas.ERROR),
                        "OpenRefusal": _refusal(_TEXT)},
        },
    })  # fmt: skip


def _refusal(error: Json) -> Json:
    """Return the schema of an error's body; Open Inference wants text under `error`."""
    text = error is _TEXT
    detail = {"detail": schemas.ERROR} if text else {}
    return schemas.strict({"error": error, **detail, "error_code": _TEXT, "message": _TEXT})


def in_path(name: str, schema: Json) -> Json:
    """Return a parameter that stands in the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: Json, words: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": words}


def operation(name: str, summary: str, answer: Json, codes: Sequence[int], **more: Any) -> Json:
    """Return one operation; `answer` is its 200 by media type, `codes` its refusals."""
    refusal = "OpenRefusal" if name.startswith("open_") else "Refusal"
    shape = {"application/json": {"schema": {"$ref": f"#/components/schemas/{refusal}"}}}
    told = {
        str(code): {"description": HTTPStatus(code).phrase, "content": shape}
        for code in sorted(codes)
    }
    content = {kind: {"schema": schema} for kind, schema in answer.items()}
    good = {"description": "OK", "content": content}
    return {"operationId": name, "summary": summary, "responses": {"200": good, **told}, **more}


def taking(content: Json) -> Json:
    """Return the part of an operation that says what its body is, by media type."""
    return {"requestBody": {"required": True, "content": {
        kind: {"schema": schema} for kind, schema in content.items()
    }}}  # fmt: skip


def _scoring(schema: Schema, rows: int) -> Json:
    one = schemas.prediction(schema)
    version = {"model_version": _TEXT}
    alone = {**one, "properties": {**version, **one["properties"]},
             "required": ["model_version", *one["required"]]}  # fmt: skip
    several = schemas.strict({**version, "predictions": schemas.many(one, rows)})
    scored = schemas.strict({
        "predictions": {"type": "object"}, "model_version": _TEXT,
        "prediction_ids": schemas.many(schemas.IDENTITY, rows),
    })  # fmt: skip
    predict = {**dict.fromkeys(media_types(PREDICT, schema), _BYTES), FORM: {"type": "object"},
               "application/json": schemas.predicting(schema, rows)}  # fmt: skip
    invoke = {**dict.fromkeys(INVOCATIONS, _BYTES),
              "application/json": schemas.scoring(schema, rows)}  # fmt: skip
    asked = [
        _query("entity", schemas.ENTITY, "of rows that name none"),
        _query("top_k", {"type": "integer", "minimum": 1, "maximum": 10_000},
               "tell only the likeliest classes, the likeliest first"),
        _query("explain", {"enum": ["0", "1", "png"]}, "add what each part did for the answer"),
    ]  # fmt: skip
    return {
        "/invocations": {"post": operation(
            "invocations", "Score as mlflow models serve does", {"application/json": scored},
            (*GUARDED, *BODY), **taking(invoke))},
        "/predict": {"post": operation(
            "predict", "Predict classes or numbers, with names",
            {"application/json": {"oneOf": [alone, several]}}, (*GUARDED, *BODY),
            parameters=asked, **taking(predict))},
    }  # fmt: skip


def _feedback(schema: Schema, rows: int) -> Json:
    item = schemas.feedback(schema)
    taken = schemas.strict({"accepted": {"type": "integer", "minimum": 1}})
    known = {"type": "object", "required": ["prediction_id", "state"]}
    found = operation(
        "prediction", "Look up a prediction, its label and score", {"application/json": known},
        (*GUARDED, 404), parameters=[in_path("id", _TEXT)],
    )  # fmt: skip
    found["responses"]["202"] = {
        "description": "on its way to the database",
        "content": {"application/json": {"schema": known}},
    }
    body = {"application/json": {"anyOf": [item, schemas.many(item, rows)]}}
    return {
        "/feedback": {"post": operation(
            "feedback", "Label, correct or score predictions; repeating it changes nothing",
            {"application/json": taken}, (*GUARDED, *BODY, 404), **taking(body))},
        "/predictions/{id}": {"get": found},
    }  # fmt: skip


def pages() -> Json:
    """Return the paths that every server has, whatever its model."""
    text, page = {"text/plain": _TEXT}, {"text/html": _TEXT}
    anything = {"application/json": {"type": "object"}}
    frame = {
        "/": operation("page", "What is in service, for people", page, GUARDED),
        "/openapi.json": operation("openapi", "This description", anything, GUARDED),
        "/version": operation("version", "Version of MLflow", text, GUARDED),
        "/ping": operation("ping", "Whether a model is in service", text, ALWAYS, security=[]),
        "/health": operation("health", "As /ping", text, ALWAYS, security=[]),
        "/v2": operation("open_server", "About this server", anything, GUARDED),
        "/v2/health/live": operation(
            "open_live", "Whether the process answers", anything, ALWAYS, security=[]),
        "/v2/health/ready": operation(
            "open_ready", "Whether a model is in service", anything, ALWAYS, security=[]),
    }  # fmt: skip
    return {path: {"get": operation} for path, operation in frame.items()}


def _inference(schema: Schema, output: str, base: str, named: Json) -> Json:
    suffix = "_version" if "version" in named else ""
    parameters = list(named.values())
    anything = {"application/json": {"type": "object"}}
    answer = {**anything, "application/octet-stream": _BYTES}
    body = {"application/json": schemas.inference(schema, output),
            "application/octet-stream": _BYTES}  # fmt: skip
    return {
        base: {"get": operation(
            f"open_metadata{suffix}", "Tensors that the model takes and gives", anything,
            (*GUARDED, 404), parameters=parameters)},
        f"{base}/ready": {"get": operation(
            f"open_model_ready{suffix}", "Whether it is in service", anything,
            (*GUARDED, 404), parameters=parameters)},
        f"{base}/infer": {"post": operation(
            f"open_infer{suffix}", "Answer tensors with tensors", answer,
            (*GUARDED, *BODY, 404), parameters=parameters, **taking(body))},
    }  # fmt: skip
