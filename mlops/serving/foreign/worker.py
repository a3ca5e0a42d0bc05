"""A worker with a model from elsewhere: `python -m mlops.serving.foreign.worker FD`."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from mlops.log import configure, quieten
from mlops.serving import open_inference
from mlops.serving.app import App
from mlops.serving.foreign.doors import Doors
from mlops.serving.foreign.runner import Loading, Runner
from mlops.serving.foreign.tell import Teller
from mlops.serving.ids import Minter, load_key
from mlops.serving.log import PredictionLog
from mlops.serving.memory import give_back
from mlops.serving.routes import Route, Routes, version
from mlops.serving.shadow import Mirror
from mlops.serving.worker import built, serve_on

if TYPE_CHECKING:
    from mlops.serving.config import ServingConfig


def routes(runner: Runner) -> tuple[Route, ...]:
    """Return every route there is: those of the champion's server, as far as they make sense."""
    doors, teller = Doors(runner), Teller(runner)
    return (
        Route("/invocations", "POST", doors.invocations, gated=True),
        Route("/predict", "POST", doors.predict, gated=True),
        Route("/feedback", "POST", doors.not_kept),
        Route("/predictions/{id}", "GET", doors.not_kept),
        Route("/ping", "GET", doors.health, open=True),
        Route("/health", "GET", doors.health, open=True),
        Route("/version", "GET", version),
        Route("/openapi.json", "GET", teller.openapi),
        Route("/", "GET", teller.page),
        Route("/v2", "GET", open_inference.server),
        Route("/v2/health/live", "GET", open_inference.live, open=True),
        Route("/v2/health/ready", "GET", doors.ready, open=True),
        *(
            route
            for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
            for route in (
                Route(base, "GET", doors.metadata),
                Route(base + "/ready", "GET", doors.ready),
                Route(base + "/infer", "POST", doors.infer, gated=True),
            )
        ),
    )


def build(config: ServingConfig) -> tuple[App, Loading]:
    """Return an application whose model is still to be loaded, and what loads it."""
    runner = Runner()
    log = PredictionLog(config.folder / "spool", config.limits, keep_payloads=False)  # stays empty
    app = App(
        config, runner, log, Minter(load_key(config.folder), config.project), Mirror(log, 0.0),
        find=Routes(routes(runner)).find,
    )  # fmt: skip
    return app, Loading(config, runner)


def main() -> None:
    """Run one worker on the socket whose descriptor is the only argument."""
    give_back()
    quieten()
    configure(os.environ.get("MLOPS_LOG_LEVEL", "info"))
    app, loading = built(build)
    serve_on(socket.socket(fileno=int(sys.argv[1])), app, loading)


if __name__ == "__main__":
    main()
