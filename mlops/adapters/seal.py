"""The seal of a model folder: a manifest over every file, and where a model may come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops.adapters import files
from mlops.errors import DataError, UnverifiedModel

if TYPE_CHECKING:
    from mlops.site import Site

MANIFEST = "manifest.json"
MLFLOW_NOTE = "registered_model_meta"
"""MLflow writes it into the folder of any version that it loads: no file of ours, and no damage."""
_STORES = ("mlflow-artifacts", "s3", "gs", "abfss", "wasbs")


def verify(folder: Path, digest: str) -> None:
    """Compare every file of a model folder with its manifest, and the manifest with the ledger.

    Raises:
        UnverifiedModel: naming the first file that is changed, missing or too many.
    """
    try:
        stated = files.read_json(folder / MANIFEST)
    except DataError as error:
        msg = f"{error}; the model is not verified"
        raise UnverifiedModel(msg) from None
    listed = stated.get("files")
    found = files.manifest(folder)
    for own in (MANIFEST, MLFLOW_NOTE):
        found.pop(own, None)
    if not isinstance(listed, dict) or listed != found:
        names = {**found, **(listed if isinstance(listed, dict) else {})}
        listed = listed if isinstance(listed, dict) else {}
        wrong = next((n for n in sorted(names) if listed.get(n) != found.get(n)), MANIFEST)
        msg = f"{folder / wrong}: does not match {MANIFEST}; the model is refused"
        raise UnverifiedModel(msg)
    if files.digest(found) != digest or stated.get("digest") != digest:
        msg = f"{folder / MANIFEST}: its digest is not the ledger's; the model is refused"
        raise UnverifiedModel(msg)


def write_manifest(folder: Path) -> str:
    """Write `manifest.json` over every file of a folder and return its digest."""
    files.remove(folder / MANIFEST)
    entries = files.manifest(folder)
    digest = files.digest(entries)
    files.write_json(folder / MANIFEST, {"files": entries, "digest": digest})
    return digest


def is_verified(folder: Path, digest: str) -> bool:
    """Say whether `verify` would pass."""
    try:
        verify(folder, digest)
    except UnverifiedModel:
        return False  # a damaged copy is fetched anew
    return True


def refuse_odd_source(site: Site, source: str) -> None:
    """Refuse what a model may not come from: `..`, web addresses, folders outside the store.

    Raises:
        UnverifiedModel: naming the source.
    """
    parts, plain = urlsplit(source), unquote(unquote(source))
    msg = f"model source {source[:200]!r} is not in a store of this project; it is refused"
    if ".." in plain.replace("\\", "/").split("/") or "\0" in plain or parts.query:
        raise UnverifiedModel(msg)
    if parts.scheme in _STORES and not (parts.scheme == "mlflow-artifacts" and parts.netloc):
        return
    local = parts.path if parts.scheme == "file" else source
    inside = Path(local).resolve().is_relative_to(local_root(site).resolve())
    if parts.scheme not in ("", "file") or parts.netloc or not inside:
        raise UnverifiedModel(msg)


def local_root(site: Site) -> Path:
    """Return the folder of this machine that versions may lie in."""
    return Path(urlsplit(site.settings.mlflow_artifacts or str(site.layout.mlartifacts)).path)
