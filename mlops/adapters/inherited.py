"""The champion's weights as `inherit` leaves them for `train`: `models/inherited/`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters import files
from mlops.adapters.model_files import CARD, SEEN, WEIGHTS
from mlops.core.warm_start import Pedigree
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

ORIGIN = "origin.json"
KEEP = ".gitkeep"
_TAKEN = (WEIGHTS, CARD, SEEN)


@dataclass(frozen=True)
class Inherited:
    """A champion to begin with.

    Attributes:
        version: its number.
        pedigree: what must agree.
        tensors: its weights by name.
        seen: uint64, keys of the rows that it was fitted on.
        trained_until_s: the latest time among them, seconds since 1970; None without times.
    """

    version: str
    pedigree: Pedigree
    tensors: dict[str, Tensor]
    seen: NDArray[np.uint64]
    trained_until_s: float | None


def version_of(folder: Path) -> str:
    """Return the version whose weights lie in a folder; empty if none do.

    Raises:
        DataError: if its note of origin is damaged.
    """
    path = folder / ORIGIN
    return str(files.read_json(path).get("version", "")) if path.is_file() else ""


def put(folder: Path, source: Path | None, version: str) -> None:
    """Replace what lies in `folder` by a version's weights, or by nothing but git's marker.

    Args:
        folder: `models/inherited`.
        source: verified files of the version; None empties the folder.
        version: its number.
    """
    fresh = folder.with_name(f".{folder.name}.new")
    files.remove(fresh)
    fresh.mkdir(parents=True)
    (fresh / KEEP).touch()
    if source is not None:
        for name in _TAKEN:
            shutil.copyfile(source / name, fresh / name)
        files.write_json(fresh / ORIGIN, {"version": version})
    files.swap_folder(fresh, folder)


def read(folder: Path) -> Inherited | None:
    """Read what lies in `models/inherited`; None if it is empty.

    Raises:
        DataError: if a file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    version = version_of(folder)
    if not version:
        return None
    try:
        described = files.read_json(folder / CARD)
        tensors = load((folder / WEIGHTS).read_bytes())
        seen = np.load(folder / SEEN, allow_pickle=False)
        until = described["trained_until_s"]
        return Inherited(
            version, pedigree(described), tensors, seen,
            float(until) if isinstance(until, int | float) else None,
        )  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        what = str(error).splitlines()[0][:200]
        raise DataError(f"{folder}: unreadable ({what}); run: mlops inherit") from None


def pedigree(described: Mapping[str, object]) -> Pedigree:
    """Return what must agree, from the content of a `model.json`.

    Raises:
        KeyError: if a key is missing.
        TypeError: if the hyper-parameters are no table.
    """
    found = described["hyperparameters"]
    if not isinstance(found, dict):
        raise TypeError(f"hyperparameters = {found!r} is no table")
    return Pedigree(
        described["schema"], str(described["network"]), float(found["width_factor"]),
        described["split"],
    )  # fmt: skip
