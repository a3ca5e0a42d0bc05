"""What git knows of the code that runs; nothing here changes a repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

from mlops.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 20
_MOST_CHARACTERS = 1_000_000


def commit(root: Path) -> str:
    """Return the commit that is checked out, or nothing outside a repository."""
    return _git(root, "rev-parse", "HEAD").strip()


def diff(root: Path) -> str:
    """Return what is changed below `root` and not committed, without binary files; empty if all is.

    Paths are relative to `root`, so that it can be applied to a copy of that folder.
    """
    changed = _git(root, "diff", "HEAD", "--relative", "--no-color", "--no-ext-diff")
    return changed[:_MOST_CHARACTERS]


def export(root: Path, commit: str, changes: str, target: Path) -> None:
    """Write the files of `root` as they were at a commit, with changes on top, into a new folder.

    The folder becomes a repository of its own; that of `root` is only read.

    Args:
        root: the project's folder.
        commit: full hash.
        changes: what `diff` returned then; empty for none.
        target: made here.

    Raises:
        StepError: if the commit is not here or the changes do not fit it.
    """
    target.mkdir(parents=True)
    packed = _run(root, "archive", "--format=tar", commit)
    if packed.returncode != 0:
        msg = f"commit {commit[:12]} is not in this repository; bring it back with: git fetch"
        raise StepError(msg)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(target, filter="data")
        else:  # Python 3.11.3 and older; git itself lets no path out of a tree
            archive.extractall(target)  # noqa: S202 - our own `git archive`
    _run(target, "init", "-q")
    if changes:
        applied = _run(target, "apply", "--whitespace=nowarn", "-", given=changes.encode())
        if applied.returncode != 0:
            why = applied.stderr.decode(errors="replace").strip().splitlines()
            msg = (
                f"the uncommitted changes of that run do not fit commit {commit[:12]}: "
                f"{why[0] if why else 'git apply failed'}; they cannot be restored"
            )
            raise StepError(msg)


def _run(root: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(root), *arguments]
    try:
        return subprocess.run(
            command, input=given, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"git does not run: {error}") from None


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""  # no git is no fault: the version says `unknown`
    return done.stdout if done.returncode == 0 else ""
