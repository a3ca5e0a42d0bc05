"""Section `project`: who this clone is."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class ProjectSection(Section):
    """Who this clone is among the many that may share its servers."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    """Registered-model name, prefix of the deployments, column of every SQL table."""
