"""`GET /docs`: every route of `/openapi.json` with a form that asks it; off unless set.

A page of ours, with nothing from elsewhere: it works without a network, and its policy allows its
own script alone.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import orjson

from mlops.serving.openapi import openapi
from mlops.serving.page import document
from mlops.serving.reply import Refused, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlops.serving.app import App
    from mlops.serving.openapi_schemas import Json
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

_WRITTEN = ("application/json", "text/csv", "text/plain")
"""Types of bodies that a person can write."""


async def docs(app: App, scope: Scope, receive: Receive) -> Reply:
    """Return the page.

    Raises:
        Refused: 404 where the setting is off, 503 before there is a model.
    """
    if not app.config.docs:
        raise Refused(404, "not_found", "no such page", remedy="set MLOPS_SERVE_DOCS=true")
    described = orjson.loads((await openapi(app, scope, receive)).body)
    sections = [
        (
            operation["operationId"],
            f"{method.upper()} {escape(path)}",
            _route(path, method, operation),
        )
        for path, item in described["paths"].items()
        for method, operation in item.items()
    ]
    words = escape(described["info"]["description"])
    return document(described["info"]["title"], words, sections, "docs.js")


def _route(path: str, method: str, operation: Json) -> str:
    """Return what a route does and takes, and a form that asks it."""
    content: Json = operation.get("requestBody", {}).get("content", {})
    schema = ""
    if told := content.get("application/json"):
        words = escape(orjson.dumps(told["schema"], option=orjson.OPT_INDENT_2).decode())
        schema = f"<details><summary>Schema of the JSON</summary><pre>{words}</pre></details>"
    return (
        f'<p class="soft">{escape(operation["summary"])}</p>{schema}'
        f'<form data-method="{method.upper()}"><label>Path'
        f'<input name="path" value="{escape(_filled(path, operation))}"></label>'
        f"{_body(content)}<button>Send</button></form>"
        '<pre aria-live="polite"></pre>'
    )


def _body(content: Json) -> str:
    if not content:
        return ""
    kinds = "".join(f"<option>{kind}</option>" for kind in _WRITTEN if kind in content)
    return (
        f'<label>Content-Type<select name="type">{kinds}</select></label>'
        '<label>Body<textarea name="body" spellcheck="false"></textarea></label>'
    )


def _filled(path: str, operation: Json) -> str:
    """Return a path with the names that the model in service has."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        known = schema.get("const") or next(iter(schema.get("enum", ())), None)
        if parameter["in"] == "path" and known:
            path = path.replace("{" + parameter["name"] + "}", known)
    return path
