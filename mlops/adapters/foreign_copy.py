"""A local, sealed copy of a model from elsewhere, and the digest that its name is pinned to.

No ledger vouches for such a model. So its bytes are pinned: to the digest that a setting states,
else to the one that was found when it was first served. What has changed since is refused.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from mlops.adapters import files, mlflow, registry, seal, store, versions
from mlops.adapters.foreign_vet import MLMODEL
from mlops.errors import RegistryError, UnverifiedModel, UsageError

if TYPE_CHECKING:
    from mlops.site import Site

SETTING, PIN = "MLOPS_SERVE_MODEL", "MLOPS_SERVE_DIGEST"
_VERSION = re.compile(r"models:/([^/@]+)/(\d{1,9})\Z")
_ALIAS = re.compile(r"models:/([^/@]+)@([\w.-]+)\Z")
_LOGGED = re.compile(r"models:/(m-[0-9a-f]+)\Z")
_SHOWN = 12


@dataclass(frozen=True)
class Copy:
    """A sealed copy.

    Attributes:
        uri: what was asked for, an alias turned into the version that it names.
        name: of the model.
        version: the registry's; of a folder the first digits of its digest.
        folder: where the copy lies, in a folder of its own.
        digest: over its manifest.
        fresh: whether nothing says yet that it is what it should be: no pin and no setting.
    """

    uri: str
    name: str
    version: str
    folder: Path
    digest: str
    fresh: bool


def fetch(site: Site, uri: str, pin: str = "") -> Copy:
    """Copy a model, seal the copy, and hold it against its pin.

    Args:
        site: whose registry is asked.
        uri: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, or a folder.
        pin: the digest that it must have; empty: the one that it had when it was first served.

    Raises:
        UsageError: if the URI is none of these, or the folder holds no model.
        RegistryError: if the registry has no such version.
        UnverifiedModel: if the bytes are not those of the pin, or come from elsewhere.
        Unavailable: if registry or store do not answer.
    """
    uri, name, version, source = _resolve(site, uri)
    near = site.layout.foreign / quote(name, safe="")
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copy.", dir=near) as scratch:
        if isinstance(source, Path):
            folder = shutil.copytree(source, Path(scratch) / "model")
        else:
            folder = store.copy(site, source, Path(scratch))
        (folder / seal.MLFLOW_NOTE).unlink(missing_ok=True)
        digest = seal.write_manifest(folder)
        known = _known(site, uri, digest, pin)
        target = near / digest[:_SHOWN] / "model"
        if not (target.is_dir() and seal.is_verified(target, digest)):
            files.swap_folder(folder, target)
    return Copy(uri, name, version or digest[:_SHOWN], target, digest, fresh=not known)


def keep(site: Site, copy: Copy) -> None:
    """Pin a model to the bytes that it has; to be called once they have been found to work."""
    path = _pins(site)
    with files.guarding(path.with_suffix(".lock")):
        before = files.read_json(path) if path.is_file() else {}
        if before.get(copy.uri) != copy.digest:
            files.write_json(path, {**before, copy.uri: copy.digest})


def _known(site: Site, uri: str, digest: str, pin: str) -> bool:
    """Say whether bytes are those of a pin; refuse those that are not."""
    if pin and pin != digest:
        raise UnverifiedModel(f"{uri}: its digest is {digest}, and {PIN}={pin}; it is refused")
    path = _pins(site)
    before = files.read_json(path).get(uri) if path.is_file() else None
    if not pin and before not in (None, digest):
        msg = f"{uri}: its files have changed since it was first served ({path}); it is refused"
        raise UnverifiedModel(f"{msg}. If that was meant, set {PIN}={digest}")
    return bool(pin) or before is not None


def _pins(site: Site) -> Path:
    return site.layout.foreign / "pins.json"


def _resolve(site: Site, uri: str) -> tuple[str, str, str, str | Path]:
    """Return the URI without its alias, the model's name, its version, and where it lies."""
    if named := _ALIAS.match(uri):
        name, alias = named.groups()
        version = registry.alias(site, name, alias)
        if version is None:
            raise RegistryError(f"{SETTING}={uri}: MLflow knows no such alias")
        uri = f"models:/{name}/{version}"
    if numbered := _VERSION.match(uri):
        name, version = numbered.groups()
        seen = versions.look(site, name, version)
        if seen is None:
            raise RegistryError(f"{SETTING}={uri}: MLflow knows no such version")
        return uri, name, version, _location(site, seen.source)
    parts = urlsplit(uri)
    path = Path(url2pathname(parts.path) if parts.scheme == "file" else uri).resolve()
    if parts.scheme not in ("", "file") or not (path / MLMODEL).is_file():
        msg = f"{SETTING}={uri}: is neither models:/NAME/VERSION nor a folder with an {MLMODEL}"
        raise UsageError(f"{msg}; download others: mlflow artifacts download -u {uri} -d FOLDER")
    return str(path), path.name, "", path


def _location(site: Site, source: str) -> str:
    """Return where a version's files lie; since MLflow 3 many sources name a logged model."""
    logged = _LOGGED.match(source)
    if logged is None:
        return source
    api = mlflow.client(site)
    with mlflow.errors():
        return str(api.get_logged_model(logged.group(1)).artifact_location)
