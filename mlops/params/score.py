"""Section `score`: how files are scored in bulk. Touching this retrains nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.params.base import Section


class ScoreSection(Section):
    """How `mlops score` and the flow `score` work through a file or folder."""

    engine: Literal["local", "ray"]
    """local: the cores of this machine; ray: a Ray cluster (MLOPS_RAY_ADDRESS), extra `ray`."""
    batch_rows: int = Field(ge=1, le=1_000_000)
    """Rows in memory at a time, per core."""
    partitions: int = Field(ge=1, le=100_000)
    """Parquet files of the output; a killed run repeats at most the one it was in, per core."""
