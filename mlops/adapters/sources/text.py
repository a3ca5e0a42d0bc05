"""Source `text`: texts of CSV or Parquet files, with a class or a number to be found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.sources.base import Examples
from mlops.adapters.sources.files import as_labels, as_names, need_column, read_table
from mlops.adapters.sources.table import entities_of, times_of
from mlops.core.schema import TextSchema

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.data import DataSection


def load(section: DataSection, root: Path) -> Examples:
    """Return the texts of the column `data.text` with the labels of `data.target`.

    A missing text is an empty one: the checks of the step `validate` count them.

    Raises:
        ParamsError: if a column that `data` names is missing.
        DataError: if a file is damaged.
    """
    table = read_table(section, root)
    labels, classes = as_labels(
        need_column(table, section.target, "target"), str(section.target),
        regression=section.task == "regression",
    )  # fmt: skip
    texts = as_names(need_column(table, section.text, "text"))
    return Examples(
        schema=TextSchema(classes, section.max_bytes),
        # Zeros pad texts, and no protocol carries them.
        values=[(text or "").replace("\0", " ") for text in texts],
        labels=labels,
        entities=entities_of(table, section),
        observed_s=times_of(table, section),
    )
