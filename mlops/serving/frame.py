"""Named columns, as data frames travel: JSON `dataframe_split` and records, CSV, Parquet, Arrow."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from mlops.core.schema import ImageSchema, TableSchema, table_columns
from mlops.serving import table, tensor, text
from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.schema import Schema


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows under named columns.

    Attributes:
        names: distinct; MLflow's clients may send numbers.
        rows: every row has one value per name.
    """

    names: Sequence[str | int]
    rows: Sequence[Sequence[Any]]


def from_split(value: Any, field: str, max_rows: int) -> Frame:
    """Read pandas' `split` orientation.

    Raises:
        Refused: 413 for too many rows, 422 unless it is whole.
    """
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise invalid('must hold "columns" and "data"', field=field)
    names, rows = value.get("columns", []), value["data"]
    if not isinstance(names, list) or set(value) - {"columns", "data", "index"}:
        raise invalid('must hold "columns", "data" and perhaps "index"', field=field)
    index = value.get("index", rows)
    if not isinstance(index, list) or len(index) != len(rows):
        raise invalid('"index" must be a list as long as "data"', field=field)
    known = [name for name in names if type(name) in (str, int)]
    if len(known) != len(names) or len(set(names)) != len(names):
        raise invalid("columns must be distinct names", field=field)
    count(rows, field, max_rows)
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise invalid("each row must have one value per column", field=field)
    return Frame(names, rows)


def from_records(value: Any, field: str, max_rows: int, schema: Schema | None = None) -> Frame:
    """Read pandas' `records` orientation: a list of objects.

    Args:
        value: what was sent.
        field: the key of the body, for errors.
        max_rows: of one request.
        schema: of a model whose columns alone count, and may be left out of a row; None, or where
            there are none of its columns: the keys must be equal.

    Raises:
        Refused: 413 for too many rows, 422 for anything else.
    """
    count(value, field, max_rows)
    if not all(isinstance(row, dict) for row in value):
        raise invalid("must be a list of objects", field=field)
    names = [*dict.fromkeys(chain.from_iterable(value))]
    # Of unequal rows only what is known: each could bring columns that all others would be given.
    own = known(names, schema) if schema is not None else []
    if not own and (not names or any(len(row) != len(names) for row in value)):
        raise invalid("every row must have the same columns", field=field)
    names = own or names
    return Frame(names, [[row.get(name) for name in names] for row in value])


def from_columns(value: dict[str, Any], field: str, max_rows: int) -> Frame:
    """Read a list per column.

    Raises:
        Refused: 413 for too many rows, 422 for lists of unequal lengths.
    """
    columns = list(value.values())
    for column in columns:
        count(column, field, max_rows)
    if len({*map(len, columns)}) != 1:
        raise invalid("must be lists of equal lengths, one per column", field=field)
    return Frame(list(value), list(zip(*columns, strict=True)))


def known(names: Sequence[str | int], schema: Schema) -> list[str | int]:
    """Return the columns that a model knows by name.

    MLflow's server passes over the others: clients send ids, or what is to be found, along.
    """
    own = {column.name for column in table_columns(schema)} or {schema.kind}
    return [name for name in names if str(name) in own]


def narrowed(frame: Frame, schema: Schema) -> Frame:
    """Return a frame without the columns that a model does not know, if it knows any."""
    names = known(frame.names, schema)
    if len(names) in (0, len(frame.names)):
        return frame
    places = [frame.names.index(name) for name in names]
    return Frame(names, [[row[place] for place in places] for row in frame.rows])


def count(rows: Any, field: str, max_rows: int) -> None:
    """Check that there is a list of rows, and not too many.

    Raises:
        Refused: 413 or 422.
    """
    if not isinstance(rows, list) or not rows:
        raise invalid("must be a list of at least one row", field=field)
    too_many(len(rows), max_rows, field)


def too_many(rows: int, max_rows: int, field: str | None = None) -> None:
    """Refuse more rows than one request may have.

    Raises:
        Refused: 413.
    """
    if rows > max_rows:
        raise Refused(
            413, "too_many_rows", f"{rows} rows, at most {max_rows}", field=field,
            remedy="split the request",
        )  # fmt: skip


def values(frame: Frame, schema: Schema, max_rows: int, *, plain: bool, field: str) -> Any:
    """Return a frame as `mlops.core.features` writes values of the schema's kind.

    A table's columns are matched by name, in any order. Images stand in one column, or one column
    per pixel in their order; texts in the only column, whatever its name.

    Args:
        frame: what was sent.
        schema: of the model in service.
        max_rows: of one request.
        plain: see `parse.Body`.
        field: the key of the body, for errors.

    Raises:
        Refused: 413 or 422.
    """
    if isinstance(schema, TableSchema):
        named = dict(zip(map(str, frame.names), zip(*frame.rows, strict=True), strict=True))
        return table.from_columns(named, schema, field)
    single = len(frame.names) == 1
    rows = [row[0] for row in frame.rows] if single else list(map(list, frame.rows))
    if isinstance(schema, ImageSchema):
        return tensor.array(rows, schema, max_rows, plain=plain, field=field)
    if not single:
        raise invalid("must have one column, of texts", field=field)
    return text.texts(rows, field)
