"""JSON schemas of what the model in service takes and gives, for `/openapi.json`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlops.core.prediction import LABEL_SOURCES, MAX_ENTITY, SCORES
from mlops.core.schema import LARGEST, QUANTILES, ImageSchema, TableSchema
from mlops.core.times import WRITTEN
from mlops.serving.open_rows import input_metadata, output_metadata
from mlops.serving.open_tensors import DTYPES
from mlops.serving.payload import FORMATS, KEYS

if TYPE_CHECKING:
    from mlops.core.schema import Column, Schema

Json = dict[str, Any]

_PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
ENTITY: Json = {
    "type": "string", "minLength": 1, "maxLength": MAX_ENTITY, "pattern": _PRINTABLE,
    "description": "whom or what the example is about; decides its side of a canary and a split",
}  # fmt: skip
IDENTITY: Json = {"type": "string", "pattern": "^[0-9a-f]{38}$"}
ERROR: Json = {
    "type": "object", "required": ["code", "message", "field", "remedy"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "string", "description": "a stable word for programs"},
        "message": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "remedy": {"type": "string"},
    },
}  # fmt: skip


def many(item: Json, rows: int) -> Json:
    """Return the schema of a list of one to so many items."""
    return {"type": "array", "items": item, "minItems": 1, "maxItems": rows}


def strict(properties: Json, *optional: str) -> Json:
    """Return the schema of an object with these keys and no other; all but some are needed."""
    return {
        "type": "object", "additionalProperties": False, "properties": properties,
        "required": [name for name in properties if name not in optional],
    }  # fmt: skip


def example(schema: Schema) -> Json:
    """Return the schema of one example as `/predict` takes it in JSON."""
    if isinstance(schema, ImageSchema):
        return {"oneOf": _images(schema)}
    if isinstance(schema, TableSchema):
        named = strict({column.name: value(column) for column in schema.columns})
        listed = _exactly([value(column) for column in schema.columns])
        return {"oneOf": [named, listed]}
    return {"type": "string", "minLength": 1, "pattern": r"^[^\x00]+$"}


def value(column: Column) -> Json:
    """Return the schema of one value of a table."""
    if column.time:
        moment = {"type": "string", "format": "date-time"}
        return {"anyOf": [_NUMBER, moment], "description": WRITTEN}
    if column.kind == "number":
        return _NUMBER
    return {
        "type": ["string", "null"], "description": f"known: {', '.join(column.categories[:50])}"
    }  # fmt: skip


def predicting(schema: Schema, rows: int) -> Json:
    """Return the schema of a body of `/predict`."""
    one, several = KEYS[schema.kind]
    single = strict({one: example(schema), "entity": {"anyOf": [ENTITY, _NULL]}}, "entity")
    return {"oneOf": [single, *(strict({several: kind}) for kind in _lists(schema, rows))]}


def scoring(schema: Schema, rows: int) -> Json:
    """Return the schema of a body of `/invocations`; more keys and columns do not count."""
    lists = _lists(schema, rows)
    sparse = isinstance(schema, TableSchema)
    if sparse:
        [cells] = _frames(schema)
        lists = [_records(cells, rows, sparse=True), many(_exactly([*cells.values()]), rows)]
    plain = [(key, kind) for key in ("inputs", "instances") for kind in lists]
    frames = [frame for cells in _frames(schema) for frame in (
        ("dataframe_records", _records(cells, rows, sparse=sparse)),
        ("dataframe_split", strict({
            "columns": {"const": list(cells)}, "data": many(_exactly([*cells.values()]), rows),
        })),
    )]  # fmt: skip
    return {"oneOf": [_scored(key, kind) for key, kind in (*plain, *frames)]}


def _scored(key: str, kind: Json) -> Json:
    """Return the schema of a body with one of MLflow's keys and none of its others."""
    others = {name: False for name in FORMATS if name != key}
    keys = {key: kind, "params": {"type": ["object", "null"]}, **others}
    return {"type": "object", "required": [key], "properties": keys}


def _records(cells: Json, rows: int, *, sparse: bool) -> Json:
    """Return the schema of rows by name, with every column in each, or in one at least."""
    row = {"type": "object", "properties": cells}
    if not sparse:
        return many({**row, "required": [*cells]}, rows)
    whole = [{"contains": {"required": [name]}} for name in cells]
    return {**many(row, rows), "allOf": whole}


def _frames(schema: Schema) -> list[Json]:
    """Return, by column, the schemas of what stands in a data frame: one form per entry."""
    if isinstance(schema, ImageSchema):
        return [{"image": form} for form in _images(schema)]
    if isinstance(schema, TableSchema):
        return [{column.name: value(column) for column in schema.columns}]
    return [{"text": example(schema)}]


def prediction(schema: Schema) -> Json:
    """Return the schema of one answer of `/predict`."""
    explanation = {"type": "object", "required": ["method", "replaced_by"]}
    number = {"type": "number"}
    if schema.classes:
        properties: Json = {
            "prediction_id": IDENTITY, "class": {"enum": list(schema.classes)},
            "label": {"type": "integer", "minimum": 0}, "probability": number,
            "probabilities": {"type": "object", "additionalProperties": number},
        }  # fmt: skip
    else:
        levels = {f"{level:g}": number for level in QUANTILES}
        properties = {"prediction_id": IDENTITY, "value": number, "quantiles": strict(levels)}
    return strict({**properties, "explanation": explanation}, "explanation")


def feedback(schema: Schema) -> Json:
    """Return the schema of one item of `/feedback`."""
    label: Json = {**_NUMBER, "type": "number"}
    if schema.classes:
        label = {"enum": [*schema.classes, *range(len(schema.classes))]}
    identity = {"type": "string"}
    source = {"enum": list(LABEL_SOURCES)}
    score = {"type": "number", "minimum": SCORES[0], "maximum": SCORES[1],
             "description": "how good the answer was found; never a label"}  # fmt: skip
    return {"oneOf": [
        *(strict({"prediction_id": identity, name: label, "label_source": source, "score": score},
                 "label_source", "score") for name in ("label", "correction")),
        strict({"prediction_id": identity, "score": score}),
    ]}  # fmt: skip


def inference(schema: Schema, output: str) -> Json:
    """Return the schema of an Open Inference request with its tensors in JSON.

    One row and two stand there as the model takes them. What any other shape and datatype say of a
    tensor's data no JSON schema can tell.
    """
    tensor = strict({
        "name": {"type": "string", "minLength": 1},
        "shape": {"type": "array", "minItems": 1, "maxItems": 8,
                  "items": {"type": "integer", "minimum": 1}},
        "datatype": {"enum": [*DTYPES, "BYTES"]}, "parameters": {"type": "object"},
        "data": {"type": "array"},
    }, "parameters", "data")  # fmt: skip
    names = [entry["name"] for entry in output_metadata(schema, output)]
    asked = strict({"name": {"enum": names}, "parameters": {"type": "object"}}, "parameters")
    return strict({
        "id": {"type": "string", "maxLength": 256}, "parameters": {"type": "object"},
        "inputs": {"anyOf": [
            *(_exactly(_tensors(schema, count)) for count in (1, 2)),
            {"type": "array", "items": tensor, "minItems": 1},
        ]},
        "outputs": {
            "type": "array", "items": asked, "maxItems": len(names),
            "allOf": [_at_most_once(name) for name in names],
        },
    }, "id", "parameters", "outputs")  # fmt: skip


def _at_most_once(name: str) -> Json:
    """Return the schema of a list in which at most one object has a name."""
    named = {"properties": {"name": {"const": name}}, "required": ["name"]}
    return {"contains": named, "minContains": 0, "maxContains": 1}


def _tensors(schema: Schema, count: int) -> list[Json]:
    """Return the schemas of the tensors that so many rows are sent in, in their usual order."""
    if isinstance(schema, ImageSchema):
        values = {"image": {"type": "integer", "minimum": 0, "maximum": 255}}
    elif isinstance(schema, TableSchema):
        values = {
            c.name: _NUMBER if c.kind == "number" else {"type": ["string", "null"]}
            for c in schema.columns
        }
    else:
        values = {"text": example(schema)}
    found = []
    for told in input_metadata(schema):
        shape = [count, *told["shape"][1:]]
        found.append(strict({
            "name": {"const": told["name"]}, "shape": {"const": shape},
            "datatype": {"const": told["datatype"]},
            "data": {"type": "array", "items": values[told["name"]],
                     "minItems": math.prod(shape), "maxItems": math.prod(shape)},
        }))  # fmt: skip
    return found


_NULL: Json = {"type": "null"}
_NUMBER: Json = {"type": ["number", "null"], "minimum": -LARGEST, "maximum": LARGEST}


def _exactly(items: list[Json]) -> Json:
    size = len(items)
    return {"type": "array", "prefixItems": items, "items": False, "minItems": size,
            "maxItems": size}  # fmt: skip


def _lists(schema: Schema, rows: int) -> list[Json]:
    """Return the schemas of a list of examples: all of one form."""
    one = example(schema)
    return [many(form, rows) for form in one.get("oneOf", [one])]


def _images(schema: ImageSchema) -> list[Json]:
    pixel: Json = {"type": "integer", "minimum": 0, "maximum": 255}

    def nested(*sizes: int) -> Json:
        found = pixel
        for size in reversed(sizes):
            found = {"type": "array", "items": found, "minItems": size, "maxItems": size}
        return found

    forms = [nested(*schema.shape)]
    if schema.channels == 1:
        forms.append(nested(schema.height, schema.width))
    if schema.size_bytes != schema.height:  # else a flat row looks like a nested one
        forms.append(nested(schema.size_bytes))
    return forms
