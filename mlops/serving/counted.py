"""The mapped files in which serving processes count: whole on disk before anybody counts in them.

A mapped file with holes takes its blocks when they are first written to; where the disk has none
left by then, the system ends the process (SIGBUS). So the files are written full of zeros first,
and named by the process's place (first worker, follower), not by its id: who replaces a dead one
counts on in the same files, and needs no disk for it.
"""

from __future__ import annotations

import os
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import values

from mlops.serving.terminal import say

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACE = "MLOPS_METRICS_PLACE"
"""The variable that names a process's place among those of a server."""
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_LIVE = ("gauge_livesum", "gauge_livemostrecent")
_KINDS = ("counter", "histogram", *_LIVE)
_BYTES = 1 << 18
"""Of one file: some 1,500 numbers. A process with more lets it grow, with holes."""
_EMPTY = struct.pack("<i", 8)
"""How prometheus_client begins a file that holds no number: with how many bytes are used."""


def begin() -> None:
    """Choose where this process counts, before its first metric is made.

    In memory without a folder (nobody adds up), and on a full disk, which is said.
    """
    folder = os.environ.get(_FOLDER)
    if not folder:
        return
    place = os.environ.get(PLACE) or str(os.getpid())
    try:
        _reserve(_paths(Path(folder), place, _KINDS))
    except OSError as error:
        values.ValueClass = values.MutexValue
        say(f"metrics of {place} stay in its memory, /metrics lacks them: {error}", sys.stderr)
        return
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


def forget(folder: Path, place: str) -> None:
    """Take away what a dead process said of its present; its files keep their blocks."""
    for path in _paths(folder, place, _LIVE):
        with suppress(FileNotFoundError), path.open("r+b") as file:
            file.write(_EMPTY)


def _paths(folder: Path, place: str, kinds: Iterable[str]) -> list[Path]:
    return [folder / f"{kind}_{place}.db" for kind in kinds]


def _reserve(paths: Iterable[Path]) -> None:
    """Write the files that are not there, whole or not at all; syncing would cost 10 ms each."""
    for path in paths:
        if path.exists():
            continue
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(bytes(_BYTES))
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
