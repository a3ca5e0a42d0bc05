"""Read `dvc.yaml`: which files a stage reads, which it writes, which parameters it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One stage of `dvc.yaml`; paths are relative to the root.

    Attributes:
        name: equal to its step's name.
        cmd: the command that DVC runs.
        deps: data and code it reads.
        params: sections of `params.yaml` it sees.
        outs: files and folders it writes.
    """

    name: str
    cmd: str
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]


def read_stages(root: Path) -> dict[str, Stage]:
    """Return every stage of `dvc.yaml` by name, in its order.

    Raises:
        DataError: if the file is missing or holds no stages.
    """
    path = root / "dvc.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {
            name: Stage(
                name,
                stage["cmd"],
                tuple(stage.get("deps", ())),
                tuple(stage.get("params", ())),
                tuple(stage.get("outs", ())),
            )
            for name, stage in content["stages"].items()
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        what = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        msg = f"{path}: no stages to read ({what}); restore it with: git checkout dvc.yaml"
        raise DataError(msg) from None


def read_stage(root: Path, name: str) -> Stage | None:
    """Return one stage, or nothing for a step that acts on the outside and is no stage."""
    return read_stages(root).get(name)
