"""The model from elsewhere in a worker, and the one thread that it runs in."""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from mlops.adapters import seal
from mlops.errors import MlopsError
from mlops.serving import metrics
from mlops.serving.admission import late
from mlops.serving.asked import ASKED
from mlops.serving.batch import Batcher
from mlops.serving.beat import Beat
from mlops.serving.pointer import read_pointer
from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.adapters.foreign import ForeignModel
    from mlops.serving.config import ServingConfig

    T = TypeVar("T")

RUNS_ON = "MLflow pyfunc"
_RETRY_S = 5.0


class Runner(Batcher):
    """Stands where the batcher stands; nothing is queued in that one's own way.

    Attributes:
        version: the registry's, or the first digits of the digest.
        digest: over the model's files.
        since_s: when it was brought, seconds since 1970.
    """

    def __init__(self) -> None:
        super().__init__()
        self.version, self.digest, self.since_s = "", "", 0.0
        self._foreign: ForeignModel | None = None
        self._turn = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._began_s: float | None = None

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._foreign is not None

    def served(self) -> ForeignModel:
        """Return the model.

        Raises:
            Refused: 503 while it is being loaded.
        """
        if self._foreign is None:
            raise Refused(503, "no_model", "the model is being loaded", retry_s=2,
                          remedy="wait: MLflow takes its seconds")  # fmt: skip
        return self._foreign

    def put(self, model: ForeignModel, version: str, digest: str, since_s: float) -> None:
        """Put a loaded model to work."""
        self.version, self.digest, self.since_s = version, digest, since_s
        self._foreign = model
        metrics.RUNTIME.labels(RUNS_ON).set(1.0)
        metrics.FOREIGN.set(1.0)
        metrics.VERSION.set(float(version) if version.isdigit() else 0.0)

    def hung_s(self) -> float:
        """Return for how long the running request has been running; 0 if none is."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.perf_counter() - began_s

    async def run(self, job: Callable[[], T]) -> T:
        """Run one request's job after those before it.

        Raises:
            Refused: 422 for what the model cannot answer, 500 if it fails, 503 when it is late.
        """
        from mlops.adapters.foreign import Unfit

        asked = ASKED.get()
        due_s = asked.due_s if asked else float("inf")
        loop = asyncio.get_running_loop()
        left_s = due_s - time.perf_counter()
        try:
            done = loop.run_in_executor(self._turn, self._timed, job)
            return await asyncio.wait_for(done, left_s if asked else None)
        except TimeoutError:
            raise late() from None
        except Unfit as error:
            structlog.get_logger().info("not answered", why=str(error))
            raise invalid(str(error), remedy="see the page /") from None
        except Refused:
            raise
        except Exception as error:
            metrics.MODEL_FAILURES.inc()
            structlog.get_logger().exception("the model failed", version=self.version)
            raise Refused(500, "model_failed", "the model failed on these rows",
                          remedy="send other rows") from error  # fmt: skip

    def _timed(self, job: Callable[[], T]) -> T:
        self._began_s = time.perf_counter()
        try:
            return job()
        finally:
            self._began_s = None


class Loading:
    """Loads what the pointer names, once: this server follows no alias."""

    def __init__(self, config: ServingConfig, runner: Runner) -> None:
        self._config, self._runner = config, runner
        self._done, self._retry_at_s = False, 0.0
        self._beat = Beat(config.folder)

    def first(self) -> None:
        """Leave it to the first step: until then the page says what is being waited for."""

    def coming(self) -> bool:
        """Say whether it is to be waited for: others have it, and so far it is not unfit here.

        MLflow takes seconds, longer than anybody is let wait; who heard of nobody that has it asks
        again.
        """
        return not (self._done or self._retry_at_s) and self._beat.another_is_ready()

    async def step(self) -> None:
        """Load, if that is still to be done; on failure the next try waits a little."""
        loop = asyncio.get_running_loop()
        if self._done or loop.time() < self._retry_at_s:
            return
        try:
            await asyncio.to_thread(self._load)
            self._done = True
        except (MlopsError, OSError) as error:
            metrics.LOAD_FAILURES.inc()
            structlog.get_logger().error("model not loaded", why=str(error))
            self._retry_at_s = loop.time() + _RETRY_S

    def _load(self) -> None:
        from mlops.adapters.foreign import ForeignModel

        pointer = read_pointer(self._config.folder)
        if pointer is None:
            return
        folder = Path(pointer.folder)
        seal.verify(folder, pointer.digest)
        sys.dont_write_bytecode = True  # what it imports would add files to the sealed folder
        model = ForeignModel(folder, code=self._config.code)
        self._runner.put(model, pointer.version, pointer.digest, pointer.since_s)
