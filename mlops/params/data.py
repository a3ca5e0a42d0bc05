"""Section `data`: where examples come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mlops.params.base import Section


class DataSection(Section):
    """Where examples come from (step `ingest`)."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Module in `mlops/adapters/sources/`: `digits`, `fashion_mnist`, `table`, `text` or your
    own."""
    path: str | None = None
    """File or folder that the source reads, for sources that read files; relative to the root."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many base examples; empty for all."""
    reserve: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of split keys kept out of the snapshot, from which `demo` and `simulate` draw
    traffic that no model has seen."""

    # -- tables and texts: sources `table` and `text` ---------------------------------------
    task: Literal["classification", "regression"] = "classification"
    """Whether the target is a class or a number."""
    target: str | None = None
    """Column with the labels; an empty cell is a row without a label."""
    text: str | None = None
    """Column with the texts (source `text`)."""
    entity: str | None = None
    """Column that says what a row is about (a customer, a machine): rows of one entity never
    stand on two sides of the split. It is no feature."""
    time: str | None = None
    """Column with the time of a row: seconds since 1970, or ISO 8601 (UTC unless it says so). It
    is no feature."""
    drop: tuple[str, ...] = Field(default=(), strict=False)
    """Columns that are no features."""
    categorical: tuple[str, ...] = Field(default=(), strict=False)
    """Columns of numbers that are names: codes of places, of products."""
    times: tuple[str, ...] = Field(default=(), strict=False)
    """Columns of times that are features, as `time` is written, by callers too: models have them in
    seconds since 1970, and they are watched by hour, weekday and month (source `table`)."""
    columns: tuple[str, ...] = Field(default=(), strict=False)
    """Names of the columns of a CSV file without a header."""
    missing: tuple[str, ...] = Field(default=("", "?", "NA", "NaN", "nan", "null"), strict=False)
    """Cells of a CSV file that stand for no value."""
    separator: str | None = Field(default=None, min_length=1, max_length=1)
    """Of a CSV file; a comma, or a tab in files called .tsv, if left out."""
    quoted: bool = True
    """Whether quotation marks in a CSV file enclose cells; false takes them as they are."""
    max_bytes: int = Field(default=512, ge=8, le=16384)
    """Bytes of a text that the model reads."""

    @model_validator(mode="after")
    def _one_role_each(self) -> DataSection:
        named = [self.target, self.text, self.entity, self.time, *self.drop]
        named += [*self.times]
        roles = [name for name in named if name is not None]
        twice = next((name for name in roles if roles.count(name) > 1), None)
        if twice is not None:
            msg = f"data names the column {twice!r} in two roles; leave it in one of them"
            raise ValueError(msg)
        return self
