"""DVC, the one cache of all orchestrators: is a stage stale, and keep what a step has made."""

from __future__ import annotations

import hashlib
import json
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock

from mlops.adapters import files
from mlops.core.canonical import flat
from mlops.errors import Busy, DataError, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_stale(root: Path, stage: str) -> bool:
    """Ask DVC whether a stage's dependencies, parameters or outputs changed since its last run.

    Raises:
        Busy: if another DVC command holds the repository.
        StepError: if DVC cannot read the repository.
    """
    with _held(root, stage) as (_, found):
        return bool(found.changed())


def recall(root: Path, stage: str) -> bool:
    """Check out what a stage made of the same dependencies and parameters before, as DVC would.

    Returns:
        Whether DVC's cache had it; `dvc.lock` then says so. If not, the stage is to be run: it
        is not there, or DVC will not overwrite outputs that somebody changed.

    Raises:
        Busy: if another DVC command holds the repository.
        StepError: if DVC cannot read the repository.
    """
    from dvc.exceptions import CheckoutError
    from dvc.stage.cache import RunCacheNotFoundError

    with _held(root, stage) as (repo, found):
        try:
            repo.stage_cache.restore(found)
        except (RunCacheNotFoundError, CheckoutError):
            return False
    commit(root, stage)
    return True


@contextmanager
def _held(root: Path, stage: str) -> Iterator[tuple[Any, Any]]:
    """Give DVC's repository and one of its stages, while no other DVC command may write."""
    with _errors(stage), _repo(root) as repo:
        [found] = repo.stage.collect(stage)
        with repo.lock:
            yield repo, found


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
    return md5s_of(root / "dvc.lock")


def md5s_of(lock: Path) -> dict[str, str]:
    """Return path → md5 of every output in a `dvc.lock`; empty where there is none."""
    return {
        out["path"]: out["md5"]
        for stage in _locked(lock).values()
        for out in stage.get("outs", ())
        if "md5" in out
    }


def locked_params(root: Path) -> tuple[tuple[str, str], ...]:
    """Return `section.key` and JSON value of every parameter that a locked stage ran with."""
    tables = (stage.get("params", {}) for stage in _locked(root / "dvc.lock").values())
    return tuple(pair for table in tables for pair in flat(table.get("params.yaml", {})))


def _locked(lock: Path) -> dict[str, Any]:
    if not lock.exists():
        return {}
    content: dict[str, Any] = yaml.safe_load(lock.read_text(encoding="utf-8")) or {}
    return content.get("stages") or {}


def restore(root: Path, copy: Path, paths: tuple[str, ...]) -> None:
    """Put outputs into a copy of the project as the copy's own `dvc.lock` names them.

    They come from the cache of the project at `root`, or else from its remote, and every file is
    held against its md5: DVC itself trusts a damaged object that is read-only. `root` is only
    read.

    Raises:
        DataError: if they are neither in the cache nor in the remote, or damaged.
    """
    from dvc.repo import Repo

    locked = md5s_of(copy / "dvc.lock")
    with _lost("the project's cache"), Repo(str(root)) as repo:
        cache = Path(repo.cache.local_cache_dir)
        config = {name: dict(repo.config[name]) for name in ("core", "remote", "cache")}
    config["cache"]["dir"] = str(cache)
    for path in paths:
        md5 = locked.get(path)
        if md5 is None:
            raise DataError(f"dvc.lock of that run names no {path}; it cannot be restored")
        what = f"{path} of that run (md5 {md5})"
        with _lost(what), chdir(copy), Repo(str(copy), config=config) as repo:
            if config["core"].get("remote"):
                repo.fetch(targets=[path])
            repo.checkout(targets=[path], force=True)
        _hold(copy / path, md5, cache)


@contextmanager
def _lost(what: str) -> Iterator[None]:
    """Say of what DVC cannot bring back that it is lost."""
    from dvc.exceptions import DvcException

    try:
        yield
    except DvcException as error:
        why = " ".join(str(error).split())[:200]
        msg = f"{what} is neither in DVC's cache nor in a remote; try: dvc pull ({why})"
        raise DataError(msg) from None


def _hold(folder: Path, md5: str, cache: Path) -> None:
    """Compare a restored folder with the listing that its md5 stands for, file by file."""
    listing = (cache / "files" / "md5" / md5[:2] / md5[2:]).read_bytes()
    wanted = {entry["relpath"]: entry["md5"] for entry in json.loads(listing)}
    whole = hashlib.md5(listing, usedforsecurity=False).hexdigest() == md5.removesuffix(".dir")
    for name, expected in wanted.items():
        content = (folder / name).read_bytes()
        if not whole or hashlib.md5(content, usedforsecurity=False).hexdigest() != expected:
            msg = f"{folder.name}/{name}: damaged in DVC's cache {cache}; bring it back: dvc pull"
            raise DataError(msg)


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
