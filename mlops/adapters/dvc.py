"""DVC, the one cache of all orchestrators: is a stage stale, and keep what a step has made."""

from __future__ import annotations

from contextlib import chdir, contextmanager
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from mlops.adapters import files
from mlops.errors import Busy, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def is_stale(root: Path, stage: str) -> bool:
    """Ask DVC whether a stage's dependencies, parameters or outputs changed since its last run.

    Raises:
        Busy: if another DVC command holds the repository.
        StepError: if DVC cannot read the repository.
    """
    with _errors(stage), _repo(root) as repo:
        [found] = repo.stage.collect(stage)
        with repo.lock:
            return bool(found.changed())


def commit(root: Path, stage: str) -> None:
    """Write a stage's outputs to DVC's cache, and `dvc.lock`.

    Raises:
        Busy: if another DVC command holds the repository.
        StepError: if DVC cannot write them.
    """
    lock, before = root / "dvc.lock", _before(root)
    with _errors(stage), _repo(root) as repo:
        # DVC writes dvc.lock in place: killed in the middle, it leaves a file it cannot read.
        files.write_bytes(before, lock.read_bytes() if lock.exists() else b"")
        repo.commit(stage, force=True)
        before.unlink()


def locked_md5s(root: Path) -> dict[str, str]:
    """Return path → md5 of every output in `dvc.lock`; empty where nothing has run yet."""
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    stages = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("stages", {})
    return {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", ())
        if "md5" in out
    }


@contextmanager
def _repo(root: Path) -> Iterator[Any]:
    """Open a repository from within: DVC takes names of stages relative to the working folder."""
    from dvc.repo import Repo

    (root / ".mlops" / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".mlops" / "locks" / "dvc.lock"), chdir(root):
        _heal(root)
        with Repo(str(root)) as repo:
            yield repo


def _heal(root: Path) -> None:
    """Put back the `dvc.lock` from before a commit that was killed; its stage is then stale."""
    before = _before(root)
    if not before.exists():
        return
    content = before.read_bytes()
    if content:
        files.write_bytes(root / "dvc.lock", content)
    else:
        (root / "dvc.lock").unlink(missing_ok=True)
    before.unlink()


def _before(root: Path) -> Path:
    return root / ".mlops" / "dvc.lock.before"


@contextmanager
def _errors(stage: str) -> Iterator[None]:
    """Turn DVC's errors into ours, naming the stage and the remedy."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    try:
        yield
    except LockError:
        msg = f"{stage}: another DVC command holds the repository; run again after it"
        raise Busy(msg) from None
    except DvcException as error:
        msg = f"{stage}: DVC: {str(error).splitlines()[0]}; look with: dvc status {stage}"
        raise StepError(msg) from None


def set_remote(root: Path, address: str) -> None:
    """Make `address` the default remote, with its hashes verified on every download.

    Raises:
        StepError: if DVC refuses the address.
    """
    with _errors("init"), _repo(root) as repo, repo.config.edit() as config:
        # `verify` is off by default: a damaged object would be taken for data.
        config["remote"]["storage"] = {"url": address, "verify": True}
        config["core"]["remote"] = "storage"
