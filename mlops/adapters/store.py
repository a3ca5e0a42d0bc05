"""The store that a version's files lie in: read, and hashed where they lie.

Nothing here needs MLflow's client for files on this disk or behind MLflow's own server; another
store (`s3:`, `gs:` …) without such a server does, which costs the seconds of its import.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from mlops.adapters import mlflow
from mlops.adapters.seal import local_root, refuse_odd_source, verify
from mlops.errors import Unavailable, UnverifiedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from mlops.site import Site

BOUND_S = 300.0
"""How long a version's files may take to come over HTTP, seconds."""
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_NOT_FOUND = 404
_MOST_FILES = 1000  # a version has a dozen; a store that lists without end is no store


def prove(site: Site, source: str, digest: str) -> None:
    """Hash what the store holds of a version now, whatever copies lie elsewhere.

    Args:
        site: where the store is.
        source: as the registry has it.
        digest: of the version's manifest, as the ledger has it.

    Raises:
        UnverifiedModel: if a file is changed, missing or too many, or the source is not ours.
        Unavailable: if the store does not answer, or is not there.
    """
    refuse_odd_source(site, source)
    here = _on_disk(source)
    if here is not None:
        with _readable(here):
            verify(_plain(site, here), digest)
        return
    site.layout.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="prove.", dir=site.layout.work) as scratch:
        folder = copy(site, source, Path(scratch))
        try:
            verify(folder, digest)
        except UnverifiedModel as error:
            msg = str(error).replace(str(folder), source)  # the store's file, not the copy's
            raise UnverifiedModel(msg) from None


def copy(site: Site, source: str, scratch: Path) -> Path:
    """Copy the files of a version from its store into `scratch`, and return their folder.

    Raises:
        UnverifiedModel: if the source is not in a store of ours, or nothing lies there.
        Unavailable: if the store does not answer, or is not there.
    """
    refuse_odd_source(site, source)
    here = _on_disk(source)
    if here is not None:
        with _readable(here):
            return shutil.copytree(_plain(site, here), scratch / "model")
    if urlsplit(source).scheme == "mlflow-artifacts" and mlflow.server(site):
        return _over_http(site, source, scratch / "model")
    with mlflow.errors():
        mlflow.client(site)
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        from mlflow.artifacts import download_artifacts

        uri = site.settings.tracking(site.layout)
        return Path(download_artifacts(artifact_uri=source, dst_path=scratch, tracking_uri=uri))


def _on_disk(source: str) -> Path | None:
    parts = urlsplit(source)
    if parts.scheme not in ("", "file"):
        return None
    return Path(url2pathname(parts.path) if parts.scheme == "file" else source)


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn a disk's errors into ours: of the version they say nothing."""
    try:
        yield
    except OSError as error:
        said = error.args[0][-1][-1] if isinstance(error, shutil.Error) else error
        msg = f"{folder}: the version's files cannot be read or copied ({said}); run again"
        raise Unavailable(msg) from None


def _plain(site: Site, folder: Path) -> Path:
    """Refuse what is no folder, links (what they point at may change without it) and pipes.

    A store that is empty altogether is one that is not mounted now, not one without the version.
    """
    if not folder.is_dir():
        root = local_root(site)
        if not root.is_dir() or not any(root.iterdir()):
            raise Unavailable(f"{root}: the store of all versions is not there; is it mounted?")
        raise UnverifiedModel(f"{folder}: the version's files are not there; it is refused")
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UnverifiedModel(f"{path}: is no plain file of the model; it is refused")
    return folder


def _over_http(site: Site, source: str, target: Path) -> Path:
    """Stream every file below a source from MLflow's own server, within `BOUND_S` seconds."""
    import httpx

    end_s = time.monotonic() + BOUND_S
    root, left, count = urlsplit(source).path.strip("/"), [""], 0
    target.mkdir(parents=True)
    try:
        with mlflow.http(site) as client:
            while left:
                folder = left.pop()
                for name, is_folder in _listed(client, f"{root}/{folder}".rstrip("/")):
                    place, count = f"{folder}/{name}".lstrip("/"), count + 1
                    if count > _MOST_FILES:
                        raise UnverifiedModel(f"{source}: more than {_MOST_FILES} files")
                    if is_folder:
                        left.append(place)
                    else:
                        _stream(client, f"{root}/{place}", target / place, end_s)
    except httpx.HTTPError as error:
        msg = f"MLflow's store: {type(error).__name__}; check MLOPS_MLFLOW_URI"
        raise Unavailable(msg) from None
    return target


def _listed(client: httpx.Client, path: str) -> list[tuple[str, bool]]:
    reply = client.get(_FILES, params={"path": path})
    _need(reply, path)
    found: list[dict[str, Any]] = reply.json().get("files", [])
    names = [(str(one["path"]), bool(one.get("is_dir"))) for one in found]
    for name, _ in names:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise UnverifiedModel(f"{path}: the store names a file {name[:60]!r}; it is refused")
    return names


def _stream(client: httpx.Client, path: str, target: Path, end_s: float) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with client.stream("GET", f"{_FILES}/{quote(path)}") as reply, target.open("wb") as out:
        _need(reply, path)
        for chunk in reply.iter_bytes(1 << 20):
            out.write(chunk)
            if time.monotonic() > end_s:
                msg = f"MLflow's store: {path} did not come within {BOUND_S:g} s; nothing is moved"
                raise Unavailable(msg)


def _need(reply: httpx.Response, path: str) -> None:
    if reply.status_code == _NOT_FOUND:
        raise UnverifiedModel(f"{path}: the version's file is not in MLflow's store; it is refused")
    if not reply.is_success:
        raise Unavailable(f"MLflow's store: HTTP {reply.status_code} for {path}; look at its log")
