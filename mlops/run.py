"""The one way to run a step: `mlops STEP`, the Prefect task of that name and tests come here."""

from __future__ import annotations

import hashlib
import importlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.adapters.pipeline import Stage, read_stage, read_stages
from mlops.errors import Busy, ChangedWhileRunning, DataError, StepError
from mlops.params.load import load
from mlops.site import Report, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlops.layout import Layout
    from mlops.params.base import View
    from mlops.settings import Settings

STEPS = {
    name: f"mlops.steps.{name}"
    for name in (
        "collect", "ingest", "validate", "prepare", "tune", "train", "evaluate",
        "inherit", "register", "promote", "announce", "monitor", "reconcile", "rollback",
        "approve", "reject",
    )
}  # fmt: skip
"""Every step by name, as text: listing them imports none."""

LOOP = (
    "collect",
    "ingest",
    "validate",
    "prepare",
    "tune",
    "inherit",
    "train",
    "evaluate",
    "register",
    "promote",
)
"""The steps of a retrain, in order."""

_WAIT_S = 3600.0


@dataclass(frozen=True)
class Step:
    """A step with what it may see: its function, its parameters' type, its DVC stage if any."""

    name: str
    function: Callable[[View, Site], Report]
    view: type[View]
    stage: Stage | None


def find_step(name: str, layout: Layout) -> Step:
    """Import one step and read its stage from `dvc.yaml`.

    Raises:
        StepError: if there is no such step.
    """
    if name not in STEPS:
        msg = f"{name} is no step; known: {', '.join(STEPS)}"
        raise StepError(msg)
    module = importlib.import_module(STEPS[name])
    view = getattr(module, f"{name.capitalize()}Params")
    return Step(name, getattr(module, name), view, read_stage(layout.root, name))


def run_step(
    name: str,
    layout: Layout,
    settings: Settings,
    *,
    now: datetime | None = None,
    options: frozenset[str] = frozenset(),
) -> Report:
    """Run a step under its lock, and swap its outputs in when it has finished.

    Half-done work lives in `.mlops/work/STEP/KEY`, KEY being the hash of parameters and
    dependencies, so that a killed run resumes and a changed one starts anew.

    Args:
        name: a key of `STEPS`.
        layout: the project's paths.
        settings: the environment.
        now: the clock's answer, UTC and aware; the present when left out.
        options: flags of this one call, see `Site.options`.

    Raises:
        ParamsError: if `params.yaml` is wrong.
        Busy: if another process holds the step for longer than an hour.
        DataError: if the output of another stage is missing.
        ChangedWhileRunning: if a dependency or parameter changed meanwhile; nothing is written.
        MlopsError: whatever the step itself raises.
    """
    step = find_step(name, layout)
    with _lock(layout, name):
        params = load(layout.params, step.view)
        _need_inputs(step, layout)
        key = _key(step, params, layout)
        work = layout.work / name / key[:16]
        work.mkdir(parents=True, exist_ok=True)
        staged = {path: _fresh(path) for path in _outputs(step, layout)}
        site = Site(layout, settings, now or datetime.now(UTC), work, staged, options)
        try:
            report = step.function(params, site)
            _commit(step, layout, staged, key)
        finally:
            for fresh in staged.values():
                files.remove(fresh)
        files.remove(work)
        return report


def run_cached(
    name: str,
    layout: Layout,
    settings: Settings,
    *,
    force: bool = False,
    options: frozenset[str] = frozenset(),
) -> Report | None:
    """Run a step as an orchestrator does: only if DVC calls its stage stale, then commit it.

    What the same dependencies and parameters gave before is checked out, not made again.

    Steps that are no stages act on the outside and always run; they are idempotent themselves.

    Returns:
        The step's report, or nothing if DVC has its outputs already.

    Raises:
        MlopsError: as `run_step`; `Busy` if another DVC command holds the repository.
    """
    from mlops.adapters import dvc

    if read_stage(layout.root, name) is None:
        return run_step(name, layout, settings, options=options)
    if not force and (not dvc.is_stale(layout.root, name) or dvc.recall(layout.root, name)):
        return None
    report = run_step(name, layout, settings)
    dvc.commit(layout.root, name)
    return report


def _commit(step: Step, layout: Layout, staged: dict[Path, Path], key: str) -> None:
    """Swap the outputs in, unless what they were made from is no longer what lies there."""
    if _key(step, load(layout.params, step.view), layout) != key:
        msg = f"{step.name}: dependencies or parameters changed while running; run it again"
        raise ChangedWhileRunning(msg)
    for declared, fresh in staged.items():
        if not fresh.exists():
            msg = f"{step.name}: wrote no {declared.relative_to(layout.root)}; dvc.yaml declares it"
            raise StepError(msg)
    for declared, fresh in staged.items():
        files.swap_folder(fresh, declared)


def _need_inputs(step: Step, layout: Layout) -> None:
    """Refuse to start without what another stage makes, and name the command that makes it."""
    if step.stage is None:
        return
    makers = {out: name for name, s in read_stages(layout.root).items() for out in s.outs}
    for dep in step.stage.deps:
        if dep in makers and not (layout.root / dep).exists():
            msg = f"{step.name}: {dep} is missing; run: mlops {makers[dep]}, or all with: dvc repro"
            raise DataError(msg)


def _outputs(step: Step, layout: Layout) -> list[Path]:
    return [layout.root / out for out in step.stage.outs] if step.stage else []


def _fresh(declared: Path) -> Path:
    """Return an absent path beside a declared output, sweeping what a killed run left there."""
    fresh = declared.with_name(f".{declared.name}.new")
    files.remove(fresh)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    return fresh


def _key(step: Step, params: View, layout: Layout) -> str:
    """Hash the parameters and, for a stage, every dependency: data and code."""
    parts = {"params": params.model_dump_json()}
    for dep in step.stage.deps if step.stage else ():
        parts[dep] = files.digest_path(layout.root / dep)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@contextmanager
def _lock(layout: Layout, name: str) -> Iterator[None]:
    """Hold the step's file lock; while somebody else holds it, say who and wait."""
    import structlog
    from filelock import FileLock, Timeout

    layout.locks.mkdir(parents=True, exist_ok=True)
    path, holder = layout.locks / f"{name}.lock", layout.locks / f"{name}.holder"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        structlog.get_logger().warning(f"{name}: {who} holds it; waiting")
        try:
            lock.acquire(timeout=_WAIT_S)
        except Timeout:
            msg = f"{name}: {who} has held it for an hour; end that process and run again"
            raise Busy(msg) from None
    try:
        files.write_text(holder, files.this_process())
        yield
    finally:
        lock.release()
