"""What git knows of the code that runs; nothing here changes a repository."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 20
_MOST_CHARACTERS = 1_000_000


def commit(root: Path) -> str:
    """Return the commit that is checked out, or nothing outside a repository."""
    return _git(root, "rev-parse", "HEAD").strip()


def diff(root: Path) -> str:
    """Return what is changed and not committed, without binary files; empty where all is."""
    return _git(root, "diff", "HEAD", "--no-color", "--no-ext-diff")[:_MOST_CHARACTERS]


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""  # no git is no fault: the version says `unknown`
    return done.stdout if done.returncode == 0 else ""
