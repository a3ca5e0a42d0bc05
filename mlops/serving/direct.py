"""The short road: a request that came whole is answered without a task.

Most requests are small and come in one read, head and body. Then nothing is to be waited for but
the model, and a coroutine with its task, futures and messages costs more than all that it does.
Such a request is two halves: up to the queue of the model at once, the rest when that has run.
Whatever else there is (a body that is still on its way, a turn to wait for, a query, files that
take long to read, a log whose sync is awaited) goes the long road, `mlops.serving.app.App`.
Both roads are paved with the same functions, so that they answer the same.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import structlog

from mlops.serving.admission import busy
from mlops.serving.asked import read_head
from mlops.serving.cycle import write
from mlops.serving.readers import INLINE_BYTES
from mlops.serving.request import check_announced, check_body
from mlops.serving.rows import Rows
from mlops.serving.scoring import record
from mlops.serving.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlops.serving.app import App
    from mlops.serving.asked import Asked
    from mlops.serving.model import Model
    from mlops.serving.readers import Reader
    from mlops.serving.reply import Reply
    from mlops.serving.routes import Route
    from mlops.serving.scoring import Tell


_NOTHING = Rows((), np.zeros(0))


class Halves(NamedTuple):
    """What a route does before the model runs, and after.

    Attributes:
        reader: returns how a Content-Type is read; None: not on this road.
        tell: makes the answer.
    """

    reader: Callable[[bytes], Reader | None]
    tell: Tell


class Connection(Protocol):
    """Where a request came from.

    Attributes:
        transport: what its answer is written to.
        headers: of the request, names in lower case.
        keep_alive: whether more requests may follow.
    """

    transport: asyncio.Transport
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool

    def on_response_complete(self) -> None:
        """Go on with what waits behind the request."""


class Direct(Waiting):
    """One request on the short road; uvicorn looks at it as at one of its own cycles."""

    disconnected = response_complete = over = False
    message_event = asyncio.Event()  # which nobody waits for

    def __init__(
        self, app: App, connection: Connection, route: Route, asked: Asked, started: float, *,
        inside: bool,
    ) -> None:  # fmt: skip
        self._app, self._route, self._asked, self._started = app, route, asked, started
        self.transport, self.keep_alive = connection.transport, connection.keep_alive
        self.on_response = connection.on_response_complete
        self.due_s, self._inside = asked.due_s, inside

    def line_up(self, model: Model, rows: Rows, tell: Tell) -> None:
        """Queue what was read for a model."""
        batcher = self._app.batcher
        self.model, self._rows, self._tell = model, rows, tell
        self.images, self.arm = rows.array, batcher.turn(rows.entities, self._asked)
        batcher.line_up(self)

    def answer(self, model: Model, probabilities: NDArray[np.float32]) -> None:
        """Log what the model said, and tell it."""
        app, rows = self._app, self._rows
        try:
            ids, _ = record(app, rows, model, probabilities, self._started)
            app.counting.rows += len(ids)
            reply = self._tell(model, probabilities, ids, rows)
        except Exception as error:  # noqa: BLE001 - the edge, as in `App`
            self.fail(error)
            return
        self._end(reply)

    def fail(self, error: BaseException) -> None:
        """Tell why there is no answer."""
        self._end(self._app.told(error, self._route, self._asked))

    def _end(self, reply: Reply) -> None:
        self.over = True
        # An idle connection would keep them.
        self.model, self._rows, self.images = None, _NOTHING, _NOTHING.array
        if self._inside:
            self._app.admission.leave()
        self._app.count(self._route, self._asked, self._started, reply.status)
        if self.disconnected:
            return
        try:
            write(self, reply.status, reply.lines(self._asked.id), reply.body)
        except RuntimeError:
            structlog.get_logger().exception("not answered", request=self._asked.id)
            self.transport.close()


def begin(app: App, connection: Connection, path: str, body: bytes) -> Direct | None:
    """Answer a POST without a query, or begin to; None, and nothing done: it takes the long road.

    Args:
        app: that answers.
        connection: where it came from.
        path: decoded.
        body: whole.
    """
    route, limits = app.find(path), app.config.limits
    halves = route.halves
    if halves is None or len(body) >= INLINE_BYTES or app.log.waits or not app.batcher.ready:
        return None
    started = time.perf_counter()
    asked = read_head(connection.headers, started + limits.deadline_s)
    reader = halves.reader(asked.headers.get(b"content-type", b""))
    if reader is None or b"expect" in asked.headers:
        return None
    inside = app.admission.take()
    if not inside and not app.admission.full():  # it is to wait for its turn
        return None
    app.counting.began()
    direct = Direct(app, connection, route, asked, started, inside=inside)
    try:
        app.admit(route, asked)
        if not inside:
            raise busy()  # noqa: TRY301 - answered like every other refusal
        model = app.batcher.current()
        if not body or b"content-encoding" in asked.headers:  # else its length is known
            check_announced(asked.headers, limits)
        check_body(body, limits)
        direct.line_up(model, reader(body, model.schema, limits), halves.tell)
    except Exception as error:  # noqa: BLE001 - the edge, as in `App`
        direct.fail(error)
    return direct
