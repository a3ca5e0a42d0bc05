"""Section `data`: where examples come from."""

from __future__ import annotations

from pydantic import Field

from mlops.params.base import Section


class DataSection(Section):
    """Where examples come from (step `ingest`)."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Module in `mlops/adapters/sources/`: `digits`, `fashion_mnist` or your own."""
    path: str | None = None
    """Folder with the source's files, for sources that read files; relative to the root."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many base examples; empty for all."""
    reserve: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of split keys kept out of the snapshot, from which `demo` and `simulate` draw
    traffic that no model has seen."""
