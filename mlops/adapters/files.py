"""Files that are whole or absent: temp file, fsync, rename."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import Busy, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
WAIT_S = 300.0


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that after any crash it is the old one or the new one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically: sorted keys, indented, NaN refused.

    Raises:
        ValueError: if `content` holds NaN or infinity.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object.

    Raises:
        DataError: if the file is missing, is not JSON or holds no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        msg = f"{path}: no such file"
        raise DataError(msg) from None
    except ValueError as error:
        msg = f"{path}: not JSON ({error})"
        raise DataError(msg) from None
    if not isinstance(content, dict):
        msg = f"{path}: holds {type(content).__name__}, not an object"
        raise DataError(msg)
    return content


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success sync it and rename it over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def swap_folder(fresh: Path, target: Path) -> None:
    """Put the folder (or file) `fresh` in the place of `target`; both on one file system."""
    for path in fresh.rglob("*") if fresh.is_dir() else ():
        if path.is_file():
            _sync(path)
    old = target.with_name(f".{target.name}.old")
    remove(old)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.replace(old)
    fresh.replace(target)
    _sync(target.parent)
    remove(old)


@contextmanager
def guarding(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Let one process at a time do what a lock file stands for, such as filling a folder.

    Args:
        path: of the lock; who holds it stands beside it, in `….holder`.
        wait_s: how long to wait for another holder: longer than it may rightly take, seconds.

    Raises:
        Busy: if another process holds it for longer.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    guard, holder = FileLock(path), path.with_name(f"{path.name}.holder")
    try:
        guard.acquire(timeout=wait_s)
    except Timeout:
        who = holder.read_text() if holder.is_file() else "another process"
        raise Busy(f"{path}: {who} has held it for over {wait_s:g} s; end that process") from None
    try:
        write_text(holder, this_process())
        yield
    finally:
        guard.release()


def this_process() -> str:
    """Name this process to whoever waits for it: its number, its host, the time."""
    since = datetime.now(UTC).strftime("%H:%M:%S UTC")
    return f"process {os.getpid()} on {socket.gethostname()}, since {since},"


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the sha256 of one file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def manifest(folder: Path, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return relative path → sha256 of every file in a folder, sorted by path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in leave_out)
    return {p.relative_to(folder).as_posix(): sha256(p) for p in files}


def digest(entries: dict[str, str]) -> str:
    """Return one sha256 over a manifest's sorted `hash  path` lines."""
    lines = "".join(f"{value}  {name}\n" for name, value in sorted(entries.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def digest_path(path: Path) -> str:
    """Return the sha256 of a file, or of a folder's manifest; `absent` if there is nothing."""
    if path.is_dir():
        entries = manifest(path, frozenset({".gitkeep", ".gitignore"}))
        # Importing a module writes its byte code beside it: that is no change of the module.
        kept = {n: value for n, value in entries.items() if "__pycache__" not in n.split("/")}
        return digest(kept)
    return sha256(path) if path.is_file() else "absent"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
