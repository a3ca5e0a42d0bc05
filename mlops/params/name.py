"""The project's name, for those who need nothing else of `params.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.load import load
from mlops.params.project import ProjectSection

if TYPE_CHECKING:
    from pathlib import Path


class _Named(View):
    project: ProjectSection


def project_name(path: Path) -> str:
    """Return `project.name` of the parameter file at `path`.

    Raises:
        ParamsError: if it is missing or wrong.
    """
    return load(path, _Named).project.name
