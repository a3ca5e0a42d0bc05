"""What a candidate's MLflow run says of itself by its own files: data, checks, uncommitted code."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.adapters import dvc, files, mlflow, run_files
from mlops.errors import DataError

if TYPE_CHECKING:
    from mlops.site import Site

_LOCK, _DIFF, _COUNTS, _SCHEMA, _CHECKS = (
    "dvc.lock", "uncommitted.diff", "snapshot/ingest.json", "snapshot/schema.json",
    "checks/checks.json",
)  # fmt: skip


@dataclass(frozen=True)
class Checks:
    """How the snapshot fared.

    Attributes:
        met: expectations met.
        expectations: how many there were.
        failed: names of the others.
    """

    met: int
    expectations: int
    failed: tuple[str, ...]


@dataclass(frozen=True)
class RunRecord:
    """A run, and what its files hold.

    Attributes:
        id: MLflow's.
        name: as MLflow's list shows it.
        status: `FINISHED` …
        start_s: seconds since 1970.
        changed: whether the code had changes that were not committed.
        md5s: path and DVC md5 of every stage's output; empty if not logged.
        counts: kind and number of the snapshot's rows; empty if not logged.
        classes: names of the labels; empty of a regression, or if not logged.
        checks: how the snapshot fared; nothing if not logged.
        missing: what was not logged, one sentence each.
        regression: whether the model predicts numbers.
    """

    id: str
    name: str
    status: str
    start_s: float
    changed: bool
    md5s: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, int], ...]
    classes: tuple[str, ...]
    checks: Checks | None
    missing: tuple[str, ...]
    regression: bool = False


def read_record(site: Site, run_id: str) -> RunRecord:
    """Read a run and those of its files that say what it was made from.

    Raises:
        RegistryError: if MLflow knows no such run.
        DataError: if a file is damaged.
        Unavailable: if MLflow does not answer.
    """
    api = mlflow.client(site)
    with mlflow.errors():
        run = api.get_run(run_id)
    with tempfile.TemporaryDirectory(prefix="mlops-run.") as scratch:
        names = (_LOCK, _DIFF, _COUNTS, _SCHEMA, _CHECKS)
        got = {name: run_files.get(site, run_id, name, Path(scratch)) for name in names}
        lock, counts, schema, checks = (got[n] for n in (_LOCK, _COUNTS, _SCHEMA, _CHECKS))
        missing = [
            f"{name} was not logged with run {run_id}"
            for name in names
            if got[name] is None and name != _DIFF  # where all was committed there is none
        ]
        return RunRecord(
            id=run_id, name=str(run.info.run_name), status=str(run.info.status),
            start_s=run.info.start_time / 1000.0, changed=got[_DIFF] is not None,
            md5s=tuple(sorted(dvc.md5s_of(lock).items())) if lock else (),
            counts=_counts(files.read_json(counts)) if counts else (),
            classes=_classes(files.read_json(schema)) if schema else (),
            regression=schema is not None and files.read_json(schema).get("classes") == [],
            checks=_checks(files.read_json(checks)) if checks else None,
            missing=tuple(missing),
        )  # fmt: skip


def _counts(content: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    return tuple((name, value) for name, value in content.items() if type(value) is int)


def _classes(content: dict[str, Any]) -> tuple[str, ...]:
    found = content.get("classes")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _checks(content: dict[str, Any]) -> Checks:
    try:
        results = [(str(one["name"]), bool(one["success"])) for one in content["expectations"]]
    except (KeyError, TypeError) as error:
        raise DataError(f"{_CHECKS} of that run: {error} is missing or no result") from None
    failed = tuple(name for name, success in results if not success)
    return Checks(len(results) - len(failed), len(results), failed)
