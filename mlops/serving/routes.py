"""Every route there is: exact paths, and a few with names in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any

from mlops.serving import open_inference
from mlops.serving.direct import Halves
from mlops.serving.docs import docs
from mlops.serving.feedback import feedback, prediction
from mlops.serving.openapi import openapi
from mlops.serving.page import page
from mlops.serving.readers import INVOCATIONS, PREDICT, quick_of
from mlops.serving.reply import TEXT, Refused, Reply
from mlops.serving.scoring import as_mlflow, by_name, invocations, predict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mlops.serving.app import App
    from mlops.serving.request import Scope

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Handler = Callable[[App, Scope, Receive], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """One path, or one family of paths.

    Attributes:
        name: its path with names in braces; also its label in the metrics.
        method: GET (which answers HEAD too) or POST.
        handler: what answers.
        gated: whether its work waits its turn, see `mlops.serving.admission`.
        open: whether it needs no token. Everything else is denied without one.
        halves: how a request is answered that came whole, see `mlops.serving.direct`.
    """

    name: str
    method: str
    handler: Handler
    gated: bool = False
    open: bool = False
    halves: Halves | None = None

    @property
    def allow(self) -> str:
        """The methods, as the header `Allow` lists them."""
        return "GET, HEAD" if self.method == "GET" else self.method

    def check(self, method: str) -> None:
        """Refuse other methods.

        Raises:
            Refused: 405.
        """
        if method != self.method and not (method == "HEAD" and self.method == "GET"):
            raise Refused(
                405, "method", f"this route answers {self.allow}", remedy=f"use {self.method}",
                allow=self.allow,
            )  # fmt: skip

    @property
    def open_inference(self) -> bool:
        """Whether it speaks the Open Inference Protocol, errors included."""
        return self.name.startswith(open_inference.ROOT)


async def _health(app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Say 200 when a model is in service and no end is near; MLflow's body is one newline."""
    app.refuse_draining()
    model = app.batcher.current()
    version, digest = model.version.encode(), model.digest.encode()
    headers = ((b"x-model-version", version), (b"x-model-digest", digest))
    return Reply(200, b"\n", headers, TEXT)


async def version(_app: App, _scope: Scope, _receive: Receive) -> Reply:
    """Return the version of the scoring protocol's reference, as `mlflow models serve` does."""
    return Reply(200, _mlflow_version(), (), TEXT)


async def _prediction(app: App, scope: Scope, _receive: Receive) -> Reply:
    return await prediction(app, scope["path"].rpartition("/")[2])


@cache
def _mlflow_version() -> bytes:
    return package_version("mlflow").encode()


async def _nothing(_app: App, _scope: Scope, _receive: Receive) -> Reply:
    raise Refused(404, "not_found", "no such page", remedy="see /openapi.json")


_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"
ROUTES = (
    Route(
        "/invocations",
        "POST",
        invocations,
        gated=True,
        halves=Halves(quick_of(INVOCATIONS), as_mlflow),
    ),
    Route("/predict", "POST", predict, gated=True, halves=Halves(quick_of(PREDICT), by_name)),
    Route("/feedback", "POST", feedback),
    Route("/predictions/{id}", "GET", _prediction),
    Route("/ping", "GET", _health, open=True),
    Route("/health", "GET", _health, open=True),
    Route("/version", "GET", version),
    Route("/openapi.json", "GET", openapi),
    Route("/docs", "GET", docs),
    Route("/", "GET", page),
    Route("/v2", "GET", open_inference.server),
    Route("/v2/health/live", "GET", open_inference.live, open=True),
    Route("/v2/health/ready", "GET", open_inference.ready, open=True),
    *(
        route
        for base in (_MODEL, _VERSION)
        for route in (
            Route(base, "GET", open_inference.metadata),
            Route(base + "/ready", "GET", open_inference.model_ready),
            Route(base + "/infer", "POST", open_inference.infer, gated=True),
        )
    ),
)
OTHER = Route("other", "GET", _nothing)
"""Where no route is: 404 whatever the method, and one label for all of them in the metrics."""


class Routes:
    """Finds the route of a path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact = {route.name: route for route in routes if "{" not in route.name}
        self._named = [
            (re.compile(re.sub(r"\{\w+\}", "[^/]+", route.name) + r"\Z"), route)
            for route in routes
            if "{" in route.name
        ]

    def find(self, path: str) -> Route:
        """Return the route of a decoded path, or `OTHER`."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for pattern, route in self._named:
            if pattern.match(path):
                return route
        return OTHER


find = Routes(ROUTES).find
