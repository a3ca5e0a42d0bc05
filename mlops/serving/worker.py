"""One serving worker: `python -m mlops.serving.worker FD`, started by the supervisor.

It imports neither torch nor mlflow nor pandas.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog
import uvicorn
from PIL import Image

from mlops.errors import EXIT_ERROR, MlopsError
from mlops.log import configure
from mlops.serving import protocol
from mlops.serving.app import App
from mlops.serving.batch import Batcher
from mlops.serving.beat import Beat
from mlops.serving.child import parent
from mlops.serving.config import DRAIN_S, HUNG_S, ServingConfig, from_environment
from mlops.serving.ids import Minter, load_key
from mlops.serving.log import PredictionLog
from mlops.serving.memory import give_back, keep_loaded
from mlops.serving.redaction import made
from mlops.serving.shadow import Mirror
from mlops.serving.terminal import say
from mlops.serving.trouble import Trouble
from mlops.serving.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    T = TypeVar("T")

_KEEP_ALIVE_S = 75  # longer than the minute after which load balancers drop idle connections


class Watching(Protocol):
    """What a worker does beside serving, several times a second."""

    def first(self) -> None:
        """Load what is there before anybody is answered; it may take long."""

    async def step(self) -> None:
        """Look once."""

    def coming(self) -> bool:
        """Say whether a first model is on its way."""


class Server(uvicorn.Server):
    """Uvicorn with a watch beside it; unready at the first signal, gone with its parent.

    A worker that is started while others serve, and cannot have its model yet, does not listen:
    on the one socket of all, every connection that it took would be one that they had answered.

    Args:
        config: of uvicorn.
        app: to serve.
        watcher: brings its models.
        loaded: is called once, when the first model is here; None: nothing is.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        app: App,
        watcher: Watching,
        loaded: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._loaded = loaded
        self._app, self._watcher = app, watcher
        self._keys = Keys(config, app.config.tls)
        self._beat = Beat(app.config.folder)
        app.coming = watcher.coming
        self._parent = parent()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load, then watch; listen with a model, or when nobody else has one either."""
        self._tasks = [asyncio.create_task(self._live())]
        await asyncio.to_thread(self._watcher.first)
        self._tell_loaded()
        self._tasks.append(asyncio.create_task(self._watch()))
        batcher = self._app.batcher
        while not (batcher.ready or self.should_exit) and self._beat.another_is_ready():  # noqa: ASYNC110 - files ring no bell
            await asyncio.sleep(self._app.config.watch_s)
        if not self.should_exit:
            await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Turn unready at once; uvicorn then finishes what is in progress."""
        self._app.draining = True
        super().handle_exit(sig, frame)

    async def _watch(self) -> None:
        trouble = Trouble("watch")
        while not self.should_exit:
            with trouble:
                await self._watcher.step()
                self._tell_loaded()
                self._keys.refresh()
                _refresh(self._app)
            if os.getppid() != self._parent:  # the supervisor was killed: nobody respawns us
                self._app.draining = self.should_exit = True
            await asyncio.sleep(self._app.config.watch_s)

    def _tell_loaded(self) -> None:
        if self._loaded is not None and self._app.batcher.ready:
            self._loaded()
            self._loaded = None

    async def _live(self) -> None:
        """Give signs of life to the end, as long as predictions come back; answer who is late."""
        trouble = Trouble("sign of life")
        while True:
            with trouble:
                self._app.batcher.expire()
                self._app.admission.expire()
                if self._app.batcher.hung_s() < HUNG_S:
                    self._beat.give(ready=self._app.batcher.ready)
            await asyncio.sleep(self._app.config.watch_s)


class Keys:
    """The certificate and key of TLS, read again when their files were replaced."""

    def __init__(self, config: uvicorn.Config, files: tuple[str, str]) -> None:
        self._config, self._files = config, [Path(name) for name in files if name]
        self._mark = self._look()

    def refresh(self) -> None:
        """Use renewed files for connections from now on; wrong ones are logged and not used."""
        mark = self._look()
        if mark == self._mark or not self._config.ssl:
            return
        self._mark = mark
        try:
            self._config.ssl.load_cert_chain(self._files[0], self._files[1])
        except (OSError, ValueError) as error:
            structlog.get_logger().error("certificate not renewed", why=str(error))

    def _look(self) -> list[int]:
        return [path.stat().st_mtime_ns for path in self._files if path.exists()]


def _refresh(app: App) -> None:
    try:
        if app.guard.refresh():
            structlog.get_logger().info("tokens read again")
    except MlopsError as error:
        structlog.get_logger().error("tokens not read", why=str(error))


def build(config: ServingConfig) -> tuple[App, Watcher]:
    """Return an application, its model still to be loaded, and its watcher, which loads it."""
    batcher = Batcher()
    key = load_key(config.folder)
    log = PredictionLog(
        Path(config.spool), config.limits, keep_payloads=config.keep_payloads,
        redaction=made(config, key), sample=config.sample,
    )  # fmt: skip
    mirror = Mirror(log, config.shadow_sample)
    app = App(config, batcher, log, Minter(key, config.project), mirror)
    return app, Watcher(config, batcher, mirror)


def built(make: Callable[[ServingConfig], T]) -> T:
    """Return what a worker is made of; if it cannot be made, say why in one line and end."""
    try:
        return make(from_environment())
    except (MlopsError, OSError) as error:
        say(f"a worker cannot start: {error}", sys.stderr)
        sys.exit(EXIT_ERROR)


def serve_on(
    listener: socket.socket, app: App, watcher: Watching, loaded: Callable[[], None] | None = None
) -> None:
    """Serve on a bound socket until a signal comes; then drain, and sync the log."""
    # Uvicorn raises the signal again when it has drained, with the handlers that it found: the
    # default one would end the process here, and the log's last rows with it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _drained)
    try:
        Server(uvicorn_config(app), app, watcher, loaded).run(sockets=[listener])
    finally:
        app.mirror.close()
        app.log.close()


def _drained(_number: int, _frame: FrameType | None) -> None:
    """Take the signal that uvicorn raises again; the log is still to be synced."""


def uvicorn_config(app: App) -> uvicorn.Config:
    """Return how uvicorn is run: its fast parts, no access log, a bounded drain."""
    return uvicorn.Config(
        app, http=protocol.Protocol, loop="uvloop", lifespan="off", ws="none", access_log=False,
        log_level="warning", server_header=False, proxy_headers=False, backlog=2048,
        timeout_keep_alive=_KEEP_ALIVE_S, timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=app.config.tls[0] or None, ssl_keyfile=app.config.tls[1] or None,
    )  # fmt: skip


def main() -> None:
    """Run one worker on the socket whose descriptor is the only argument."""
    configure(os.environ.get("MLOPS_LOG_LEVEL", "info"))
    give_back()
    # Images are measured before they are decoded, against a limit far below Pillow's.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    app, watcher = built(build)
    # Parsed JSON is thousands of short-lived lists without cycles: look for garbage rarely.
    # The log's thread gives the interpreter back within half a millisecond, not five.
    sys.setswitchinterval(0.0005)
    gc.set_threshold(50_000, 20, 50)
    serve_on(socket.socket(fileno=int(sys.argv[1])), app, watcher, keep_loaded)


if __name__ == "__main__":
    main()
