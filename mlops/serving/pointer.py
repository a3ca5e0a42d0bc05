"""Pointers: small files that say which verified versions the workers run, moved atomically."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops.adapters import files
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

Role = Literal["current", "challenger", "shadow"]
"""`current` answers; `challenger` answers a share of the keys; `shadow` answers nobody."""
_LAST_S = 253_402_300_799.0  # the end of the year 9999


@dataclass(frozen=True)
class Pointer:
    """A verified version and what it is for.

    Attributes:
        version: the registry's version.
        folder: its verified local copy.
        digest: sha256 over its manifest.
        since_s: when it came into service, seconds since 1970.
        weight: share of the keys that it answers; of a challenger only.
    """

    version: str
    folder: str
    digest: str
    since_s: float
    weight: float = 1.0


def read_pointer(home: Path, role: Role = "current") -> Pointer | None:
    """Return a pointer, or None where there is none.

    Raises:
        DataError: if the file is no pointer.
    """
    path = home / f"{role}.json"
    if not path.exists():
        return None
    content = files.read_json(path)
    try:
        return Pointer(
            str(content["version"]), str(content["folder"]), str(content["digest"]),
            _time(str(content["since_s"])), float(str(content.get("weight", 1.0))),
        )  # fmt: skip
    except (KeyError, ValueError) as error:
        msg = f"{path}: no pointer ({error}); delete it, the follower writes it anew"
        raise DataError(msg) from None


def _time(text: str) -> float:
    """Read seconds since 1970 of a year that a calendar has.

    Raises:
        ValueError: otherwise.
    """
    found = float(text)
    if not 0 <= found <= _LAST_S:
        msg = "since_s is no time"
        raise ValueError(msg)
    return found


def write_pointer(home: Path, pointer: Pointer, role: Role = "current") -> None:
    """Move a pointer, atomically."""
    files.write_json(home / f"{role}.json", vars(pointer))


def drop_pointer(home: Path, role: Role) -> None:
    """Take a pointer away; without one, nothing happens."""
    (home / f"{role}.json").unlink(missing_ok=True)
