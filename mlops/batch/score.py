"""Score a file or folder in bulk: verify, cut into parts, work through them, never twice."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mlops.adapters import files, ray, registry
from mlops.batch import job as jobs
from mlops.batch.source import open_source
from mlops.batch.work import Made, Order, make
from mlops.errors import Busy, ChangedWhileRunning, DataError, RegistryError, UsageError
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.params.score import ScoreSection
from mlops.serving.ids import load_key
from mlops.serving.model import Model
from mlops.site import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops.batch.job import Job, Part
    from mlops.site import Site


class ScoreParams(View):
    """What bulk scoring sees."""

    project: ProjectSection
    score: ScoreSection


@dataclass(frozen=True)
class Request:
    """What is to be scored.

    Attributes:
        source: the input.
        output: folder of the Parquet files; made if it is not there.
        version: of the model; empty for the one that `alias` names.
        alias: of the registry.
    """

    source: Path
    output: Path
    version: str = ""
    alias: str = "champion"


@dataclass(frozen=True)
class Progress:
    """How far a job is: rows and parts done so far, of how many; `made` are this run's rows."""

    made: int
    rows: int
    of_rows: int
    parts: int
    of_parts: int


def score(
    params: ScoreParams,
    site: Site,
    request: Request,
    told: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Score the input with one version into Parquet; after a kill, do only what is left.

    Raises:
        UsageError: if the output holds something else, or the input is not what the model takes.
        DataError: if the input is unreadable, empty, or holds no readable row.
        RegistryError: if there is no such version, or it is not verified.
        Busy: if another process writes the same output.
        ChangedWhileRunning: if the input changed meanwhile.
        Unavailable: if registry, database or Ray cluster do not answer.
    """
    _check(request)
    project = params.project.name
    version = request.version or _aliased(site, project, request.alias)
    folder = registry.fetch(site, project, version)
    digest = registry.registration(site, project, version).digest
    model = Model(folder, version)
    source = open_source(request.source, model.schema)
    before = jobs.marks(source)
    rows = source.count()
    if rows == 0:
        raise DataError(f"{request.source}: holds no rows")
    wanted = jobs.Job(
        project, version, digest, jobs.digest(request.source, source), rows,
        min(params.score.partitions, rows), int(site.now.timestamp() * 1e9),
    )  # fmt: skip
    output = request.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    with _alone(site, output):
        job = jobs.begin(output, wanted)
        order = Order(
            job, str(request.source.absolute()), str(folder), str(output),
            params.score.batch_rows, load_key(site.layout.serving / project),
        )  # fmt: skip
        made, kept = _work(params.score.engine, site, order, told)
        if jobs.marks(source) != before:
            raise ChangedWhileRunning(f"{request.source}: changed while it was scored")
        return _finish(output, job, made, kept)


def _check(request: Request) -> None:
    """Refuse what cannot be meant.

    Raises:
        UsageError: if the output is the input, or lies in it.
    """
    source, output = request.source.resolve(), request.output.resolve()
    if output == source or (source.is_dir() and output.is_relative_to(source)):
        raise UsageError(f"{request.output}: lies in the input; name a folder elsewhere")


def _aliased(site: Site, project: str, alias: str) -> str:
    version = registry.alias(site, project, alias)
    if version is None:
        msg = f"{project} has no {alias}; promote a version, or name one: --version N"
        raise RegistryError(msg)
    return version


def _work(
    engine: str, site: Site, order: Order, told: Callable[[Progress], None]
) -> tuple[list[Made], int]:
    """Make the parts that are missing; return them, and how many were there already."""
    every = order.job.parts()
    left = jobs.remaining(Path(order.output), order.job, every)
    done = order.job.rows - sum(part.stop - part.start for part in left)
    made: list[Made] = []
    before = done
    if not left:
        return made, len(every)
    run = _on_ray if engine == "ray" else _on_cores
    for one in run(site, order, left):
        made.append(one)
        done += one.part.stop - one.part.start
        parts = len(every) - len(left) + len(made)
        told(Progress(done - before, done, order.job.rows, parts, len(every)))
    return made, len(every) - len(left)


def _on_cores(site: Site, order: Order, parts: list[Part]) -> Iterator[Made]:
    """Work on all cores, each a part at a time: ONNX Runtime and Arrow let go of Python's lock."""
    cores = site.settings.threads or os.cpu_count() or 1
    with ThreadPoolExecutor(min(cores, len(parts)), thread_name_prefix="score") as pool:
        waiting = [pool.submit(make, order, part) for part in parts]
        try:
            for one in as_completed(waiting):
                yield one.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Task:
    """One part of an order, as it travels to a worker of the cluster."""

    order: Order
    part: Part


def _make(task: _Task) -> Made:
    return make(task.order, task.part)


def _on_ray(site: Site, order: Order, parts: list[Part]) -> Iterator[Made]:
    tasks = [_Task(order, part) for part in parts]
    for made, node in ray.over(site.settings.ray_address, _make, tasks):
        yield replace(made, node=node)


def _alone(site: Site, output: Path) -> _Held:
    name = hashlib.sha256(str(output).encode()).hexdigest()[:16]
    site.layout.locks.mkdir(parents=True, exist_ok=True)
    return _Held(site.layout.locks / f"score-{name}.lock", output)


class _Held:
    """The lock of one output folder; somebody else's is not waited for."""

    def __init__(self, path: Path, output: Path) -> None:
        self._lock, self._output = FileLock(path), output

    def __enter__(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            msg = f"{self._output}: another process is scoring into it; wait until it has ended"
            raise Busy(msg) from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _finish(output: Path, job: Job, made: list[Made], kept: int) -> Report:
    """Mark the output as whole, and say what came of it."""
    if kept and not made and (output / jobs.DONE).exists():
        words, unreadable = "was scored already", _noted(output)
    else:
        unreadable = _count_unreadable(output, job)
        if unreadable == job.rows:
            raise DataError(
                f"{output}: none of the {job.rows} rows could be read; see column error"
            )
        files.write_json(output / jobs.DONE, {"rows": job.rows, "unreadable": unreadable})
        words = f"scored with version {job.version}" + (f", {kept} parts kept" if kept else "")
    summary = f"{job.rows} rows {words}"
    summary += f"; {unreadable} could not be read, see column error" if unreadable else ""
    nodes, processes = {m.node for m in made}, {m.process for m in made}
    return Report(
        summary,
        facts={
            "rows": job.rows, "unreadable": unreadable, "version": job.version, "job": job.key,
            "parts": job.partitions, "parts_kept": kept, "output": str(output),
            "nodes": len(nodes), "processes": len(processes),
        },
    )  # fmt: skip


def _noted(output: Path) -> int:
    return int(str(files.read_json(output / jobs.DONE).get("unreadable", 0)))


def _count_unreadable(output: Path, job: Job) -> int:
    """Count over every part: a run that went on does not know what came of the earlier ones."""
    import pyarrow.parquet as pq

    tables = (pq.read_table(output / part.name, columns=["error"]) for part in job.parts())
    return sum(len(table) - table.column("error").null_count for table in tables)
