"""Source `table`: rows of CSV or Parquet files, with a class or a number to be found.

Every column that `data` gives no other role is a feature: a number, or a name from a list that is
taken from the files in the order of its first appearance, so that a file that grows at its end
never re-orders the codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.sources.base import Examples
from mlops.adapters.sources.cells import (
    as_labels,
    as_names,
    as_numbers,
    as_times,
    need_column,
)
from mlops.adapters.sources.files import read_table
from mlops.core.schema import MAX_CATEGORIES, Column, TableSchema
from mlops.errors import DataError, ParamsError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from mlops.params.data import DataSection


def load(section: DataSection, root: Path) -> Examples:
    """Return the rows of the files that `data.path` names.

    Raises:
        ParamsError: if a column that `data` names is missing.
        DataError: if a file is damaged, or a column's type cannot be told.
    """
    table = read_table(section, root)
    labels, classes = as_labels(
        need_column(table, section.target, "target"), str(section.target),
        regression=section.task == "regression",
    )  # fmt: skip
    for key in ("drop", "categorical", "times"):
        for name in getattr(section, key):
            need_column(table, name, key)
    roles = {section.target, section.entity, section.time, *section.drop}
    names = [name for name in table.column_names if name not in roles]
    if not names:
        raise ParamsError("params.yaml: data leaves no column as a feature; shorten data.drop")
    columns = [_feature(table, name, section) for name in names]
    return Examples(
        schema=TableSchema(classes, tuple(column for column, _ in columns)),
        values=tuple(values for _, values in columns),
        labels=labels,
        entities=entities_of(table, section),
        observed_s=times_of(table, section),
    )


def entities_of(table: pa.Table, section: DataSection) -> tuple[str | None, ...]:
    """Return what each row is about, as far as `data.entity` says it."""
    if section.entity is None:
        return (None,) * int(table.num_rows)
    return tuple(map(_name, as_names(need_column(table, section.entity, "entity"))))


def _name(entity: Any) -> str | None:
    return None if entity is None else str(entity)


def times_of(table: pa.Table, section: DataSection) -> NDArray[np.float64]:
    """Return the time of each row in seconds since 1970, NaN where `data.time` names none."""
    if section.time is None:
        return np.full(table.num_rows, np.nan)
    return as_times(need_column(table, section.time, "time"), section.time)


def _feature(table: pa.Table, name: str, section: DataSection) -> tuple[Column, NDArray[Any]]:
    column = table.column(name)
    if name in section.times:
        return Column(name, "number", time=True), as_times(column, name, "times")
    numbers = None if name in section.categorical else as_numbers(column, name)
    if numbers is not None:
        return Column(name, "number"), numbers
    texts = as_names(column)
    known = tuple(dict.fromkeys(text for text in texts if text is not None))
    if len(known) > MAX_CATEGORIES:
        raise DataError(
            f"column {name} has {len(known)} different texts, more than a category may have "
            f"({MAX_CATEGORIES}); add it to data.drop, or name it as data.entity"
        )
    return Column(name, "category", known), texts
