"""What is told of a model from elsewhere: the page for people, the description for programs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from mlops.serving import columnar, openapi
from mlops.serving.foreign.read import KINDS
from mlops.serving.foreign.runner import RUNS_ON
from mlops.serving.page import document, live, moment
from mlops.serving.reply import Refused, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.serving.app import App
    from mlops.serving.foreign.runner import Runner
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]

NOT_GATED = (
    "Not gated: no gate has judged this model, nothing is logged, and no drift is watched. "
    "It runs in MLflow, slower than a model of this project."
)
_SHOWN = 200


class Teller:
    """The handlers that describe; `runner` has the model."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    async def page(self, app: App, _scope: Scope, _receive: Receive) -> Reply:
        """Return the page; while the model is being loaded it says so."""
        beat = app.pulse.read()
        try:
            model = self.runner.served()
        except Refused as refused:
            served = f'<p class="bad">{escape(str(refused))}</p><p>{escape(refused.remedy)}</p>'
        else:
            rows = [
                ("Version", f"<strong>{escape(self.runner.version)}</strong>"),
                ("Runs on", f"{RUNS_ON} ({escape(model.flavour)})"),
                ("Since", moment(self.runner.since_s)),
                ("Digest", f"<code>{self.runner.digest}</code>"),
                ("Takes", _listed(model.takes)),
                ("Gives", _listed(model.gives) or "its signature does not say"),
            ]
            listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
            served = f'<p class="bad">{NOT_GATED}</p><dl>{listed}</dl>'
        return document(app.config.project, "Predictions of a model from elsewhere", [
            ("served", "In service", served), ("live", "Live", live(beat)),
        ])  # fmt: skip

    async def openapi(self, app: App, _scope: Scope, _receive: Receive) -> Reply:
        """Return the description of this server.

        Raises:
            Refused: 503 while the model is being loaded.
        """
        self.runner.served()
        name = openapi.in_path("name", {"const": app.config.project})
        version = openapi.in_path("version", {"const": self.runner.version})
        paths = {
            **_scoring(), **openapi.pages(), **_tensors("/v2/models/{name}", [name]),
            **_tensors("/v2/models/{name}/versions/{version}", [name, version]),
        }  # fmt: skip
        words = f"MLflow's scoring protocol and the Open Inference Protocol (V2). {NOT_GATED}"
        told = openapi.document(app.config.project, words, paths, closed=app.guard.closed)
        return Reply(200, told)


def _listed(entries: Sequence[str]) -> str:
    more = f"<br>and {len(entries) - _SHOWN} more" if len(entries) > _SHOWN else ""
    return "<br>".join(map(escape, entries[:_SHOWN])) + more


_ANYTHING = {"application/json": {"type": "object"}}
_CODES = (*openapi.GUARDED, *openapi.BODY)


def _scoring() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    kinds = {kind: binary if kind in columnar.KINDS else {"type": "string"} for kind in KINDS}
    body = openapi.taking({**kinds, **_ANYTHING})
    return {
        path: {"post": openapi.operation(name, words, _ANYTHING, _CODES, **body)}
        for path, name, words in (
            ("/invocations", "invocations", "Score as mlflow models serve does"),
            ("/predict", "predict", 'Predict one row ("row") or many ("rows")'),
        )
    }


def _tensors(base: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    suffix = "_version" if len(parameters) > 1 else ""
    octets = {**_ANYTHING, "application/octet-stream": {"type": "string", "format": "binary"}}
    told = {"parameters": parameters}
    asking = (*openapi.GUARDED, 404)
    return {
        base: {"get": openapi.operation(
            f"open_metadata{suffix}", "Tensors that the model takes and gives", _ANYTHING,
            asking, **told)},
        f"{base}/ready": {"get": openapi.operation(
            f"open_model_ready{suffix}", "Whether it is in service", _ANYTHING, asking, **told)},
        f"{base}/infer": {"post": openapi.operation(
            f"open_infer{suffix}", "Answer tensors with tensors", octets, (*_CODES, 404), **told,
            **openapi.taking(octets))},
    }  # fmt: skip
