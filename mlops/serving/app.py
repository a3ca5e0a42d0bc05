"""The ASGI application: exact routes, one error shape, no middleware.

Plain ASGI instead of a framework's layers is what makes it fast: a request costs one dictionary
look-up beside its own work.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from mlops.serving import metrics
from mlops.serving.admission import Admission, busy
from mlops.serving.asked import ASKED, Asked, read_head
from mlops.serving.feedback import Lookup, feedback, prediction
from mlops.serving.reply import TEXT, Refused, Reply
from mlops.serving.request import Gone, Scope
from mlops.serving.scoring import invocations, predict
from mlops.serving.tokens import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlops.serving.batch import Batcher
    from mlops.serving.config import ServingConfig
    from mlops.serving.ids import Minter
    from mlops.serving.log import PredictionLog
    from mlops.serving.shadow import Mirror

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

POSTS = {"/invocations": invocations, "/predict": predict, "/feedback": feedback}
GETS = ("/ping", "/health", "/version")
GATED = ("/invocations", "/predict")
"""Routes whose work waits its turn: see `mlops.serving.admission`."""
OPEN = ("/ping", "/health")
"""Routes that need no token: exact paths; everything else is denied without one."""
PREFIX = "/predictions/"


@dataclass
class App:
    """One worker's application.

    Attributes:
        config: limits, token, project.
        batcher: holds the model in service.
        log: takes predictions and labels.
        minter: makes and recognises prediction ids.
        mirror: shows what was answered to a shadow version, if there is one.
        draining: set at the first sign of the end; `/ping` and `/health` then say 503.
    """

    config: ServingConfig
    batcher: Batcher
    log: PredictionLog
    minter: Minter
    mirror: Mirror
    draining: bool = False
    lookup: Lookup = field(init=False)
    admission: Admission = field(init=False)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        """Read the tokens, and prepare the look-up of predictions."""
        self.lookup = Lookup(self.config.project, self.config.database_url)
        config = self.config
        self.guard = Guard(
            Path(config.tokens) if config.tokens else None, config.token, closed=config.closed,
            rate=config.rate, share=config.share,
        )  # fmt: skip
        self.admission = Admission(self.config.limits)
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing that a client sends ends in a stack trace."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1003})
            return
        started = time.perf_counter()
        route = _route(scope["path"])
        asked = read_head(scope["headers"], started + self.config.limits.deadline_s)
        ASKED.set(asked)
        ticket = self.admission.ticket(receive, asked.due_s)
        self._in_progress += 1
        try:
            if self.guard.closed and route not in OPEN:
                self.guard.admit(asked)
            reply = await self._answer(route, scope, ticket if route in GATED else receive)
        except Refused as refused:
            reply = refused.reply()
        except Gone:
            return
        except Exception:  # noqa: BLE001 - the edge: logged, and told without its trace
            structlog.get_logger().exception("request failed", route=route, request=asked.id)
            reply = Refused(500, "internal", "the server failed; it has been logged").reply()
        finally:
            ticket.close()
            self._in_progress -= 1
            metrics.IN_PROGRESS.set(self._in_progress)
        _count(route, reply.status).inc()
        spent_s = time.perf_counter() - started
        _seconds(route).observe(spent_s)
        if self.config.access_log:
            structlog.get_logger().info(
                "request", id=asked.id, route=route, status=reply.status, token=asked.token,
                ms=round(spent_s * 1000, 2),
            )  # fmt: skip
        await _send(send, reply, asked)

    async def _answer(self, route: str, scope: Scope, receive: Receive) -> Reply:
        post = POSTS.get(route)
        method = scope["method"]
        if post is not None:
            if method != "POST":
                raise _wrong_method("POST")
            if route in GATED and self.admission.full():
                raise busy()
            return await post(self, scope, receive)
        if route == "other":
            raise Refused(404, "not_found", "no such page")
        if method not in ("GET", "HEAD"):
            raise _wrong_method("GET")
        if route == PREFIX:
            return await prediction(self, scope["path"][len(PREFIX) :])
        return self._health() if route in OPEN else _protocol_version()

    def _health(self) -> Reply:
        """Say 200 when a model is in service and no end is near; MLflow's body is one newline."""
        if self.draining:
            raise Refused(503, "draining", "this worker is about to stop", retry_s=1)
        model = self.batcher.current()
        return Reply(200, b"\n", ((b"x-model-version", model.version.encode()),))


def _route(path: str) -> str:
    """Return the route of a path; of all unknown ones the same, so that labels stay bounded."""
    if path in POSTS or path in GETS:
        return path
    return PREFIX if path.startswith(PREFIX) and "/" not in path[len(PREFIX) :] else "other"


def _wrong_method(allowed: str) -> Refused:
    return Refused(
        405, "method", f"this route answers {allowed}", remedy=f"use {allowed}", allow=allowed
    )


def _protocol_version() -> Reply:
    """Return the version of the scoring protocol's reference, as `mlflow models serve` does."""
    return Reply(200, _mlflow_version(), (), TEXT)


@cache
def _mlflow_version() -> bytes:
    return package_version("mlflow").encode()


@cache
def _count(route: str, status: int) -> Any:
    return metrics.REQUESTS.labels(route, str(status))


@cache
def _seconds(route: str) -> Any:
    return metrics.SECONDS.labels(route)


async def _send(send: Send, reply: Reply, asked: Asked) -> None:
    headers = [
        (b"content-type", reply.media_type),
        (b"content-length", str(len(reply.body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", asked.id.encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
