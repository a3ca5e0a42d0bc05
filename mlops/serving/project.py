"""Whose champion is served: the one section of `params.yaml` that serving reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.load import load
from mlops.params.project import ProjectSection

if TYPE_CHECKING:
    from mlops.layout import Layout


class ServingParams(View):
    """The sections that serving may see."""

    project: ProjectSection


def project_name(layout: Layout) -> str:
    """Return `project.name`.

    Raises:
        ParamsError: if `params.yaml` is wrong.
    """
    return load(layout.params, ServingParams).project.name
