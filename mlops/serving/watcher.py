"""Follow the pointers inside a worker: load and warm beside the old, swap between two batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from mlops.errors import MlopsError
from mlops.serving import metrics
from mlops.serving.model import load
from mlops.serving.pointer import read_pointer
from mlops.serving.split import Split

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.serving.batch import Batcher
    from mlops.serving.config import ServingConfig
    from mlops.serving.model import Model
    from mlops.serving.pointer import Pointer, Role
    from mlops.serving.shadow import Mirror

Mark = tuple[int, int]

_RETRY_S = 5.0
_ROLES: tuple[Role, ...] = ("current", "challenger", "shadow")
_RUNTIMES = (
    "ONNX Runtime, CPU", "ONNX Runtime, CUDA", "ONNX Runtime, CPU, int8",
    "ONNX Runtime, CUDA, int8", "torch.export, CPU",
)  # fmt: skip


class Watcher:
    """Follows the pointers: one `step` loads what they name, if that is new."""

    def __init__(self, config: ServingConfig, batcher: Batcher, mirror: Mirror) -> None:
        self._config, self._batcher, self._mirror = config, batcher, mirror
        self._seen: dict[Role, Mark | None] = {}
        self._unfit: dict[Role, Mark | None] = {}
        self._loaded: dict[Role, Model] = {}
        self._retry_at_s: dict[Role, float] = {}

    def first(self) -> None:
        """Load what the pointers name before the first request, if they name anything.

        A worker that is started in the middle of a canary must not answer the challenger's keys
        with the champion until it has looked twice.
        """
        for role in _ROLES:
            try:
                changed, pointer = self._changed(role)
                if changed and pointer is not None:
                    self._put(role, pointer, load(pointer, self._config.provider))
            except (MlopsError, OSError) as error:
                self._failed(role, error)

    def coming(self) -> bool:
        """Say whether a champion is named that has not been found unfit here."""
        mark = self._mark("current")
        return mark is not None and mark != self._unfit.get("current")

    async def step(self) -> None:
        """Look once; on failure what ran keeps running, and only another pointer is tried soon."""
        loop = asyncio.get_running_loop()
        for role in _ROLES:
            waits = loop.time() < self._retry_at_s.get(role, 0.0)
            if waits and self._mark(role) == self._unfit.get(role):
                continue
            try:
                changed, pointer = self._changed(role)
                if not changed:
                    continue
                if pointer is None:
                    self._take_away(role)
                    continue
                held = self._loaded.get(role)
                named = (pointer.version, pointer.digest)
                if held is None or (held.version, held.digest) != named:
                    held = await self._load(pointer)
                elif role == "current":
                    continue  # its copy was fetched again; in memory it was whole
                self._put(role, pointer, held)
            except (MlopsError, OSError) as error:
                self._failed(role, error)
                self._retry_at_s[role] = loop.time() + _RETRY_S

    async def _load(self, pointer: Pointer) -> Model:
        return await asyncio.to_thread(load, pointer, self._config.provider)

    def _changed(self, role: Role) -> tuple[bool, Pointer | None]:
        """Return whether a pointer's file was replaced since the last look, and what it says."""
        mark = self._mark(role)
        if mark == self._seen.get(role):
            return False, None
        self._seen[role] = mark  # also where it cannot be read: that is a failure of this one
        if mark is None:
            return True, None
        if mark[1] < 0:
            self._path(role).stat()  # raises what its mark stands for
        return True, read_pointer(self._config.folder, role)

    def _mark(self, role: Role) -> Mark | None:
        """Return what tells a pointer's file from the one that replaces it; None without one.

        One that cannot be looked at has the error for a mark: it is unfit until that changes.
        """
        try:
            found = self._path(role).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return 0, -(error.errno or 0)
        return found.st_ino, found.st_mtime_ns

    def _path(self, role: Role) -> Path:
        return self._config.folder / f"{role}.json"

    def _put(self, role: Role, pointer: Pointer, model: Model) -> None:
        """Put a loaded model to work; on the event loop, so between two batches."""
        self._loaded[role] = model
        if role == "challenger":
            self._batcher.compete(model, Split(pointer.weight, model.version))
        elif role == "shadow":
            self._mirror.show_to(model)
        else:
            for known in _RUNTIMES:
                metrics.RUNTIME.labels(known).set(float(known == model.runs_on))
            self._batcher.model = model
            metrics.SWAPS.inc()
            metrics.VERSION.set(float(model.version) if model.version.isdigit() else 0.0)

    def _take_away(self, role: Role) -> None:
        """End a role; what is in service stays in any case."""
        if role == "challenger":
            self._batcher.compete(None)
        elif role == "shadow":
            self._mirror.show_to(None)
        if role != "current":
            self._loaded.pop(role, None)

    def _failed(self, role: Role, error: Exception) -> None:
        self._unfit[role] = self._seen.pop(role, None)
        if role != "current":
            self._take_away(role)
        metrics.LOAD_FAILURES.inc()
        structlog.get_logger().error("version not loaded", role=role, why=str(error))
