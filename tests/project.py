"""A clone of this repository in a temporary folder, with a git of its own, as a user has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).parent.parent


def clone(folder: Path, changes: Mapping[str, str] | None = None) -> Path:
    """Copy the files that git knows (and new ones it does not ignore) and commit them.

    Args:
        folder: where to.
        changes: text of `params.yaml` → text that replaces it before the commit.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY, check=True, capture_output=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.decode().split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    params = folder / "params.yaml"
    for old, new in (changes or {}).items():
        text = params.read_text()
        assert text.count(old) == 1, old
        params.write_text(text.replace(old, new))
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "clone"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)
    return folder


def unmeasured() -> dict[str, str]:
    """Return this environment for a process whose coverage is not needed: that costs it a third."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COV")}


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user in that clone: its own code, its own state."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "PREFECT_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "MLOPS_ROOT": str(folder), "PYTHONPATH": str(folder), "PATH": path}


def run(
    folder: Path, *words: str, check: bool = True, measured: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command in the clone, as a user does, and return what it printed.

    Args:
        folder: the clone.
        words: the command.
        check: fail the test if the command fails.
        measured: whether its coverage counts.
    """
    env = environment(folder)
    if not measured:
        env = {name: value for name, value in env.items() if name in unmeasured()}
    done = subprocess.run(
        list(words), cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=600
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done
