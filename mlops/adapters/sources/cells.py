"""What the cells of a column mean, for the sources `table` and `text`: never guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops.core.schema import LARGEST
from mlops.errors import CheckFailed, DataError, ParamsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_ZONE = r"(Z|:\d\d(\.\d+)?[+-]\d\d:?\d\d)$"
_TIMES = "write ISO 8601, or seconds since 1970"
_MAX_CLASSES = 500


def need_column(table: pa.Table, name: str | None, key: str) -> pa.ChunkedArray:
    """Return a column that a parameter names.

    Raises:
        ParamsError: if the parameter is not set, or names no column.
    """
    if name is None or name not in table.column_names:
        said = "is not set" if name is None else f'= "{name}" is no column'
        known = ", ".join(table.column_names[:30])
        alone = "; is data.separator right?" if table.num_columns == 1 else ""
        raise ParamsError(f"params.yaml: data.{key} {said}; columns: {known}{alone}")
    return table.column(name)


def as_numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float64] | None:
    """Return a column as float64 with NaN for missing; None if it holds names.

    Raises:
        DataError: if it holds both, a number too large for a model, or something that is neither.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        numbers = column.cast(pa.float64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        looks = pc.match_substring_regex(column, _NUMBER)
        alike = pc.unique(looks.drop_null()).to_pylist()
        if len(alike) == 2:
            first = next(v.as_py() for v in pc.filter(column, pc.invert(looks)))
            raise DataError(
                f"column {name} holds numbers and text such as {first!r}; add that to "
                "data.missing, or the column to data.categorical or data.drop"
            )
        if alike == [False]:
            return None
        numbers = column.cast(pa.float64())
    elif pa.types.is_boolean(kind) or pa.types.is_dictionary(kind):
        return None
    else:
        raise DataError(
            f"column {name} is of the type {kind}, which is neither a number nor text; add it to "
            "data.drop, or name it as data.time or in data.times"
        )
    found: NDArray[np.float64] = numbers.to_numpy().astype(np.float64)
    if (np.abs(found) > LARGEST).any():
        raise DataError(f"column {name} holds a number beyond ±3.4e38; mark it as missing")
    return found


def as_names(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column as text, None for missing; objects, (N,)."""
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)


def as_times(column: pa.ChunkedArray, name: str, key: str = "time") -> NDArray[np.float64]:
    """Return a column as seconds since 1970, float64 with NaN for missing.

    Args:
        column: as it was read.
        name: of the column.
        key: of `data`, that says it holds times.

    Raises:
        DataError: if it holds no times.
    """
    try:
        if pa.types.is_string(column.type):
            seconds = as_numbers(column, name)
            if seconds is not None:
                return seconds
            zoned = pc.any(pc.match_substring_regex(column, _ZONE)).as_py()
            column = column.cast(pa.timestamp("us", "UTC" if zoned else None))
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            micros = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
            return np.asarray(micros.cast(pa.float64(), safe=False).to_numpy()) / 1e6
        seconds = as_numbers(column, name)
    except pa.ArrowException as error:
        what = str(error).splitlines()[0][:120]
        raise DataError(f"column {name} (data.{key}) holds no times ({what}); {_TIMES}") from None
    if seconds is None:
        raise DataError(f"column {name} (data.{key}) holds no times; {_TIMES}")
    return seconds


def as_labels(
    column: pa.ChunkedArray, name: str, *, regression: bool
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels and the names of the classes, sorted; none for regression.

    Raises:
        CheckFailed: if there are no two different labels to be told apart.
        DataError: if a target of a regression is no number, or one of a classification has
            hundreds of values.
    """
    if regression:
        numbers = as_numbers(column, name)
        if numbers is None:
            raise DataError(f"column {name} holds text; data.task = regression needs numbers")
        _need_two(name, np.unique(numbers[~np.isnan(numbers)]).tolist())
        return numbers, ()
    names = as_names(column)
    classes = sorted({v for v in names if v is not None}, key=_by_number)
    if len(classes) > _MAX_CLASSES:
        raise DataError(
            f"column {name} has {len(classes)} different labels; write data.task: regression, or "
            "name another data.target"
        )
    _need_two(name, classes)
    known = {v: n for n, v in enumerate(classes)}
    return np.array([known.get(v, -1) for v in names], dtype=np.int64), tuple(classes)


def _need_two(name: str, labels: Sequence[object]) -> None:
    if len(labels) < 2:
        said = f"only the label {labels[0]!r}" if labels else "no label"
        raise CheckFailed(
            f"column {name} holds {said}; a model needs two different ones: see data.target, "
            "data.path and data.missing in params.yaml"
        )


def _by_number(name: str) -> tuple[float, str]:
    return (float(name), name) if name.isdecimal() else (np.inf, name)
