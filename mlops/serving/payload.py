"""Bodies of `/invocations` and `/predict` in JSON → rows of whatever the model in service takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.schema import ImageSchema, TableSchema
from mlops.serving import frame, parse, table, tensor, text
from mlops.serving.reply import invalid, malformed
from mlops.serving.rows import Rows, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.schema import Schema
    from mlops.serving.parse import Body

FORMATS = ("instances", "inputs", "dataframe_split", "dataframe_records")
KEYS = {"image": ("image", "images"), "table": ("row", "rows"), "text": ("text", "texts")}
"""By kind of schema, the key of one example and of many in a body of `/predict`."""


def scoring(body: Body, schema: Schema, max_rows: int) -> Rows:
    """Read a body in MLflow's scoring protocol (`mlflow.pyfunc.scoring_server`).

    As there, keys and columns that nobody asked for are passed over.

    Raises:
        Refused: 400 unless exactly one format key stands there, 413 or 422 for its content.
    """
    keys = [key for key in body.content if key in FORMATS]
    if len(keys) != 1:
        raise malformed(
            f"the object must have exactly one of the keys {', '.join(FORMATS)}",
            remedy='send {"inputs": [image, …]}',
        )
    if not isinstance(body.content.get("params"), dict | None):
        raise invalid("must be an object", field="params")
    name = keys[0]
    return rows(_scored(body.content[name], name, body, schema, max_rows), schema)


def _scored(value: Any, name: str, body: Body, schema: Schema, max_rows: int) -> Any:
    found: frame.Frame | None = None
    if name == "dataframe_split":
        found = frame.from_split(value, name, max_rows)
    elif name == "dataframe_records" or _are_records(value):
        found = frame.from_records(value, name, max_rows, schema)
    elif isinstance(value, dict):
        if isinstance(schema, TableSchema):
            found = frame.from_columns(_lists(value), name, max_rows)
        else:
            value = _only(value, schema, name)
    if found is not None:
        found = frame.narrowed(found, schema)
        return frame.values(found, schema, max_rows, plain=body.plain, field=name)
    return _listed(value, schema, max_rows, plain=body.plain, field=name)


def _listed(value: Any, schema: Schema, max_rows: int, *, plain: bool, field: str) -> Any:
    """Read a plain list of examples."""
    if isinstance(schema, ImageSchema):
        return tensor.array(value, schema, max_rows, plain=plain, field=field)
    frame.count(value, field, max_rows)
    if isinstance(schema, TableSchema):
        return table.from_matrix(value, schema, field)
    # A tensor of texts may be written as a column: [["a"], ["b"]].
    column = all(isinstance(one, list) and len(one) == 1 for one in value)
    return text.texts([one[0] for one in value] if column else value, field)


def predicting(body: Body, schema: Schema, max_rows: int) -> Rows:
    """Read a body of `/predict`: one example or many under the key of their kind.

    Raises:
        Refused: 413, or 422 for unknown keys and wrong content.
    """
    content = body.content
    one, many = KEYS[schema.kind]
    single = one in content
    known = {one, "entity"} if single else {many, "entities"}
    if (not single and many not in content) or set(content) - known:
        raise invalid(
            f'the object must hold "{one}" and perhaps "entity", or "{many}" and perhaps "entities"'
        )
    field = one if single else many
    value = [content[one]] if single else content[many]
    if isinstance(schema, TableSchema) and _are_records(value):
        records = frame.from_records(value, field, max_rows)
        values = frame.values(records, schema, max_rows, plain=body.plain, field=field)
    else:
        values = _listed(value, schema, max_rows, plain=body.plain, field=field)
    count = len(value)
    return rows(values, schema, _entities(content, count, single=single), single=single)


def _entities(content: dict[str, Any], count: int, *, single: bool) -> Sequence[str | None]:
    given = [content.get("entity")] if single else content.get("entities", [None] * count)
    if not isinstance(given, list) or len(given) != count:
        raise invalid("must be a list with one entry per row", field="entities")
    return [parse.entity(one) for one in given]


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _lists(columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns as lists, where each was sent as the one value that it has."""
    alone = not any(isinstance(column, list) for column in columns.values())
    return {name: [value] for name, value in columns.items()} if alone else columns


def _only(columns: dict[str, Any], schema: Schema, field: str) -> Any:
    names = frame.known([*columns], schema) or [*columns]
    if len(names) != 1:
        raise invalid("must name the model's one input", field=field)
    value = columns[str(names[0])]
    return [value] if names == [schema.kind] and isinstance(value, str) else value
