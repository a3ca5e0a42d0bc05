"""One bulk job: what is scored with what, and its record in the output folder.

The record is written before the first part and never changed, so that a killed run goes on and
nothing else is ever mixed in. Names that begin with `_` are left out by all readers of Parquet.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlops.adapters import files
from mlops.core.canonical import from_plain
from mlops.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.batch.source import Source

RECORD, DONE = "_job.json", "_SUCCESS"


@dataclass(frozen=True)
class Job:
    """What makes one output what it is.

    Attributes:
        project: registered-model name.
        version: of the model.
        digest: of the version's manifest, as the ledger holds it.
        input: sha256 over the input's names and bytes.
        rows: of the input.
        partitions: Parquet files of the output.
        started_ns: nanoseconds since 1970; the time in the prediction ids.
    """

    project: str
    version: str
    digest: str
    input: str
    rows: int
    partitions: int
    started_ns: int

    @property
    def key(self) -> str:
        """Sha256 over all of it, as hex."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def parts(self) -> list[Part]:
        """Return the parts: rows in order, cut as evenly as they can be."""
        cuts = [self.rows * n // self.partitions for n in range(self.partitions + 1)]
        return [Part(n, cuts[n], cuts[n + 1], self.partitions) for n in range(self.partitions)]


@dataclass(frozen=True)
class Part:
    """Rows `start` up to, without, `stop`, which become one file."""

    number: int
    start: int
    stop: int
    of: int

    @property
    def name(self) -> str:
        """Its file in the output folder."""
        return f"part-{self.number:05d}-of-{self.of:05d}.parquet"


def digest(root: Path, source: Source) -> str:
    """Return one sha256 over the names and bytes of every file of an input."""
    base = root if root.is_dir() else root.parent
    return files.digest({f.relative_to(base).as_posix(): files.sha256(f) for f in source.files()})


def marks(source: Source) -> list[tuple[str, int, int]]:
    """Return name, size and time of every file of an input: cheap to compare again later."""
    found = [(path, path.stat()) for path in source.files()]
    return [(str(path), at.st_size, at.st_mtime_ns) for path, at in found]


def begin(folder: Path, wanted: Job) -> Job:
    """Return the job that an output folder belongs to: the one begun there, or the wanted one.

    Raises:
        UsageError: if another was begun there, or something else lies there.
    """
    path = folder / RECORD
    if not path.exists():
        # Folders of other tools hold no half-written parts of ours.
        alien = next((p for p in folder.glob("*") if not p.name.startswith(".")), None)
        if alien is not None:
            msg = f"{folder}: holds {alien.name}, which is not of mlops score; name a new folder"
            raise UsageError(msg)
        files.write_json(path, asdict(wanted))
        return wanted
    try:
        begun = from_plain(Job, files.read_json(path))
    except DataError as error:
        raise UsageError(f"{path}: no record of a job ({error}); name a new folder") from None
    _refuse_other(folder, begun, wanted)
    return begun


def _refuse_other(folder: Path, begun: Job, wanted: Job) -> None:
    """Refuse to add to what another input or model has begun."""
    if begun.project != wanted.project:
        raise UsageError(f"{folder}: was begun by project {begun.project}; name a new folder")
    if begun.version != wanted.version or begun.digest != wanted.digest:
        msg = (
            f"{folder}: was begun with version {begun.version}, not {wanted.version}; go on with "
            f"--version {begun.version}, or name a new folder"
        )
        raise UsageError(msg)
    if begun.input != wanted.input:
        msg = f"{folder}: was begun with another input, or it has changed since; name a new folder"
        raise UsageError(msg)


def remaining(folder: Path, job: Job, parts: Sequence[Part]) -> list[Part]:
    """Return the parts that are still to be made; sweep what a killed run left half-written.

    Raises:
        DataError: if a part is there that is not this job's.
    """
    for left in folder.glob(".part-*.tmp"):
        left.unlink(missing_ok=True)
    return [part for part in parts if not _made(folder / part.name, job, part)]


def _made(path: Path, job: Job, part: Part) -> bool:
    if not path.exists():
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_metadata(path)
        own = (found.metadata or {}).get(b"mlops.job", b"").decode() == job.key
        if own and found.num_rows == part.stop - part.start:
            return True
    except (pa.ArrowException, OSError, ValueError):
        own = False
    msg = f"{path}: is not this job's part, or damaged; delete it and run the same command again"
    raise DataError(msg)
