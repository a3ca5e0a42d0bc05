"""The demo's own project folder: the tracked files, with a git and a DVC of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.adapters import orphans
from mlops.adapters.files import remove
from mlops.errors import StepError
from mlops.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_STOP_S = 40.0
_WEAK = (("train", "epochs", "1"),)
_PARTS = (
    "mlops",
    "flows",
    "params.yaml",
    "dvc.yaml",
    "pyproject.toml",
    ".dvc",
    ".dvcignore",
    "data",
)


def build(root: Path) -> Layout:
    """Make `.mlops/demo/` anew from the project at `root`; the user's own state stays untouched.

    Returns:
        The layout of the demo's folder.
    """
    folder = root / ".mlops" / "demo"
    _stop_old(folder)
    remove(folder)
    folder.mkdir(parents=True)
    for name in _tracked(root):
        source, target = root / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "commit", "-q", "-m", "demo"),
    ):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)  # noqa: S607 - git is the user's, found on PATH
    return Layout(folder)


def weakened(params: str) -> str:
    """Return the text of `params.yaml` changed so that it trains a deliberately worse model.

    Raises:
        StepError: naming the key that is not there as `key: value` on a line of its section.
    """
    for section, key, value in _WEAK:
        # The rest of a section is every line that is empty, indented or a comment.
        place = rf"^({section}:.*\n(?:[ \t#].*\n|\n)*?[ \t]+{key}:)[ \t]*[^#\n]*?([ \t]*(?:#.*)?)$"
        params, found = re.subn(place, rf"\1 {value}\2", params, count=1, flags=re.MULTILINE)
        if not found:
            raise StepError(
                f"params.yaml: {section}.{key} not found; write it on a line of its own"
            )
    return params


def _tracked(root: Path) -> list[str]:
    """Return the files git tracks and new ones it does not ignore; without git, the known parts."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(words, cwd=root, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        found = (p for part in _PARTS for p in [root / part, *(root / part).rglob("*")])
        return [p.relative_to(root).as_posix() for p in found if "__pycache__" not in p.parts]
    return [name for name in listed.decode().split("\0") if name]


def _stop_old(folder: Path) -> None:
    """End every process of a demo that was killed."""
    orphans.end(f"{folder}#")


def environment(layout: Layout) -> dict[str, str]:
    """Return the environment of the demo's processes: its own root, no setting of the user."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "PREFECT_"))}
    return {
        **kept,
        "MLOPS_ROOT": str(layout.root),
        orphans.GROUP: f"{layout.root}#demo",
        "MLOPS_POLL_S": "0.5",
        "PYTHONPATH": str(layout.root),
        "COLUMNS": "100",
    }


@contextmanager
def process_group(layout: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlops up` for the length of a block; its words go to `.mlops/logs/up.log`."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    with (layout.logs / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.cli.main", "up"],
            cwd=layout.root, env=environment(layout), stdout=log, stderr=log,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def alive(process: subprocess.Popen[bytes], layout: Layout) -> None:
    """Say why the process group has ended, if it has.

    Raises:
        StepError: with the last line of its log.
    """
    code = process.poll()
    if code is not None:
        log = (layout.logs / "up.log").read_text(errors="replace").strip().splitlines()
        last = log[-1] if log else "it said nothing"
        msg = f"mlops up ended with {code}: {last}; see {layout.logs}"
        raise StepError(msg)


def wait_until(condition: object, *, timeout_s: float, what: str, every_s: float = 0.2) -> None:
    """Poll a function until it returns true.

    Raises:
        StepError: naming what did not come within `timeout_s`.
    """
    end = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            msg = f"{what} did not come within {timeout_s:.0f} s"
            raise StepError(msg)
        time.sleep(every_s)
