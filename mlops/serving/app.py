"""The ASGI application: exact routes, one error shape, no middleware.

Plain ASGI instead of a framework's layers is what makes it fast: a request costs one dictionary
look-up beside its own work.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import structlog

from mlops.serving.admission import Admission, busy
from mlops.serving.asked import ASKED, Asked, read_head
from mlops.serving.browser import CHALLENGE, keep_out, translate
from mlops.serving.counting import Counting
from mlops.serving.desk import Desk
from mlops.serving.direct import begin
from mlops.serving.first import FirstModel
from mlops.serving.lookup import Lookup
from mlops.serving.patience import Patience
from mlops.serving.pulse import Pulse
from mlops.serving.reply import Refused
from mlops.serving.request import Gone, Scope
from mlops.serving.routes import OTHER, find
from mlops.serving.situation import Situations
from mlops.serving.tokens import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlops.serving.batch import Batcher
    from mlops.serving.config import ServingConfig
    from mlops.serving.ids import Minter
    from mlops.serving.log import PredictionLog
    from mlops.serving.reply import Reply
    from mlops.serving.routes import Route
    from mlops.serving.shadow import Mirror

    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass
class App:
    """One worker's application.

    Attributes:
        config: limits, token, project.
        batcher: holds the model in service.
        log: takes predictions and labels.
        minter: makes and recognises prediction ids.
        mirror: shows what was answered to a shadow version, if there is one.
        find: returns the route of a path.
        coming: says whether a first model is on its way; there is none at first.
        draining: set at the first sign of the end; `/ping` and `/health` then say 503.
    """

    config: ServingConfig
    batcher: Batcher
    log: PredictionLog
    minter: Minter
    mirror: Mirror
    find: Callable[[str], Route] = find
    at_once: ClassVar = begin
    draining: bool = False
    coming: Callable[[], bool] = bool  # which says no
    lookup: Lookup = field(init=False)
    admission: Admission = field(init=False)
    first: FirstModel = field(init=False)
    pulse: Pulse = field(init=False)
    situations: Situations = field(init=False)
    guard: Guard = field(init=False)
    patience: Patience = field(init=False)
    counting: Counting = field(init=False)

    def __post_init__(self) -> None:
        """Read the tokens, and prepare what asks the database."""
        config = self.config
        desk = Desk(config.limits.deadline_s)
        self.lookup, self.situations = Lookup(config, self.minter, desk), Situations(config, desk)
        self.guard = Guard(
            Path(config.tokens) if config.tokens else None, config.token, closed=config.closed,
            rate=config.rate, share=config.share,
        )  # fmt: skip
        self.admission = Admission(self.config.limits)
        self.first = FirstModel(config.limits.requests, self._expects_model)
        self.pulse = Pulse(config.folder / "pulse")
        self.patience = Patience(self.config.limits.body_s)
        self.counting = Counting(self.pulse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing that a client sends ends in a stack trace."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1003})
            return
        started = time.perf_counter()
        route = self.find(scope["path"])
        asked = read_head(scope["headers"], started + self.config.limits.deadline_s)
        ASKED.set(asked)
        ticket = self.admission.ticket(receive, asked.due_s)
        self.counting.began()
        try:
            self._check(route, scope, asked)
            if route.gated and not self.batcher.ready:
                await self.first.wait(asked.due_s)
            reply = await route.handler(self, scope, ticket if route.gated else receive)
        except Gone:
            self.counting.gone()
            return
        except Exception as error:  # noqa: BLE001 - the edge: logged, and told without its trace
            reply = self.told(error, route, asked)
        except BaseException:
            self.counting.gone()
            raise
        finally:
            ticket.close()
        self.count(route, asked, started, reply.status)
        head = {"status": reply.status, "headers": reply.lines(asked.id)}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": reply.body})

    def _check(self, route: Route, scope: Scope, asked: Asked) -> None:
        """Refuse who may not ask, asks in the wrong way, or would find no place to wait."""
        self.admit(route, asked)
        if route is not OTHER:
            route.check(scope["method"])
        if route.gated and self.admission.full():
            raise busy()

    def _expects_model(self) -> bool:
        return not self.batcher.ready and self.coming()

    def admit(self, route: Route, asked: Asked) -> None:
        """Let in who may ask.

        Raises:
            Refused: 401, 403 or 429.
        """
        if route.open:
            return
        if self.guard.closed:
            translate(asked)
            self.guard.admit(asked)
        else:
            keep_out(asked, writes=route.method == "POST", known_as=self.config.known_as)

    def told(self, error: BaseException, route: Route, asked: Asked) -> Reply:
        """Return what is told of an error; one that is no refusal is logged, not told."""
        if not isinstance(error, Refused):
            structlog.get_logger().exception(
                "request failed", route=route.name, request=asked.id, exc_info=error
            )
            error = Refused(500, "internal", "the server failed; it has been logged")
        reply = error.reply(open_inference=route.open_inference)
        if reply.status == 401 and route.name == "/":
            reply.headers = (*reply.headers, CHALLENGE)
        return reply

    def count(self, route: Route, asked: Asked, started: float, status: int) -> None:
        """Count a request that is over, and note it if that is wanted."""
        spent_s = time.perf_counter() - started
        self.counting.answered(route.name, status, spent_s, gated=route.gated)
        if self.config.access_log:
            structlog.get_logger().info(
                "request", id=asked.id, route=route.name, status=status, token=asked.token,
                ms=round(spent_s * 1000, 2),
            )  # fmt: skip

    def refuse_draining(self) -> None:
        """Turn away who asks whether this worker is ready, when its end is near.

        Raises:
            Refused: 503.
        """
        if self.draining:
            raise Refused(503, "draining", "this worker is about to stop", retry_s=1)
