"""CSV as MLflow's clients send it (`pandas.DataFrame.to_csv`) → named columns."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

from mlops.core.schema import ImageSchema, TableSchema
from mlops.core.times import WRITTEN, seconds
from mlops.serving.frame import Frame, narrowed, too_many, values
from mlops.serving.reply import invalid, malformed
from mlops.serving.rows import Rows, rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops.core.schema import Column, Schema

MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""What pandas reads as missing; a category of such a name is itself where the schema lists it."""
_MAX_COLUMNS = 20_000


def read(body: bytes, schema: Schema, max_rows: int, *, exact: bool) -> Rows:
    """Read one header line and one line per example.

    Args:
        body: CSV.
        schema: of the model in service.
        max_rows: of one request.
        exact: whether columns that the model does not know are an error; else they do not count.

    Raises:
        Refused: 400 for bytes that are no CSV, 413 for too many rows, 422 for their content.
    """
    frame = _parse(body, max_rows)
    frame = frame if exact else narrowed(frame, schema)
    if isinstance(schema, TableSchema):
        known = {column.name: column for column in schema.columns}
        columns = [known.get(str(name)) for name in frame.names]
        typed = [[read_cell(v, c) for v, c in zip(row, columns, strict=True)] for row in frame.rows]
        frame = Frame(frame.names, typed)
    elif isinstance(schema, ImageSchema):
        frame = Frame(frame.names, [[_number(v) for v in row] for row in frame.rows])
    return rows(values(frame, schema, max_rows, plain=True, field="csv"), schema)


def typed(fields: Mapping[str, str], schema: TableSchema) -> dict[str, list[Any]]:
    """Return the fields of a form as columns of one row; an empty field is missing.

    Raises:
        Refused: 422 for a field that is no number where one is due.
    """
    known = {column.name: column for column in schema.columns}
    return {name: [read_cell(text, known.get(name))] for name, text in fields.items()}


def _parse(body: bytes, max_rows: int) -> Frame:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("the CSV is not UTF-8", remedy="save it as UTF-8") from None
    if "\0" in text:
        raise malformed("the CSV holds a NUL", remedy="send text")
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(lines, [])
        if len(names) > _MAX_COLUMNS or len(set(names)) != len(names) or not names:
            raise invalid("the first line must name the columns, each once", field="csv")
        found: list[list[str]] = []
        for line in lines:
            if not line:  # a blank line; pandas skips it too
                continue
            if len(line) != len(names):
                raise invalid(f"row {len(found) + 1} has another number of values", field="csv")
            found.append(line)
            too_many(len(found), max_rows, "csv")
    except csv.Error:
        raise malformed("not CSV: quotes or line ends are broken", remedy="check it") from None
    if not found:
        raise invalid("holds no row below the names", field="csv")
    return Frame(names, found)


def read_cell(text: str, column: Column | None) -> Any:
    """Return what a cell of CSV, or a field of a form, stands for in a column; None is missing.

    Raises:
        Refused: 422 for what is no number or time where one is due.
    """
    if column is None:  # refused by name, later
        return text
    if column.kind == "category":
        return None if text in MISSING and text not in column.categories else text
    if text.strip() in MISSING:
        return None
    if not column.time:
        return _number(text, column.name)
    found = seconds(text.strip())
    return _number(text, column.name, "time", f"write {WRITTEN}") if found is None else found


def _number(text: str, field: str = "csv", what: str = "number", remedy: str = "") -> float:
    """Return a number; Python's own separators, which no CSV has, are refused."""
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        number = None
    if number is None or math.isnan(number):
        raise invalid(f"holds a value that is no {what}", field=field, remedy=remedy)
    return number
