"""Which tensors a model takes in the Open Inference Protocol, and how they become rows.

An image model takes `image`: UINT8 [-1, height, width, channels]. A table model takes one tensor
per column, [-1] or [-1, 1], numbers or BYTES; or all of them as numbers in `row`, [-1, columns],
categories as codes. A text model takes `text`: BYTES [-1] or [-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.schema import QUANTILES, ImageSchema, TableSchema
from mlops.serving import binary, table, text
from mlops.serving.frame import too_many
from mlops.serving.open_tensors import DTYPES
from mlops.serving.reply import invalid
from mlops.serving.rows import Rows, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.schema import Schema
    from mlops.serving.open_tensors import Tensor

ROW = "row"


def input_metadata(schema: Schema) -> list[dict[str, Any]]:
    """Return what stands under `inputs` in a model's metadata."""
    if isinstance(schema, ImageSchema):
        return [{"name": "image", "datatype": "UINT8", "shape": [-1, *schema.shape]}]
    if isinstance(schema, TableSchema):
        kinds = {"number": "FP64", "category": "BYTES"}
        return [{"name": c.name, "datatype": kinds[c.kind], "shape": [-1]} for c in schema.columns]
    return [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def output_metadata(schema: Schema, output: str) -> list[dict[str, Any]]:
    """Return what stands under `outputs` in a model's metadata, in the order of the answer."""
    width = len(schema.classes) or len(QUANTILES)
    found = [{"name": output, "datatype": "FP32", "shape": [-1, width]}]
    if schema.classes:
        found.append({"name": "class", "datatype": "BYTES", "shape": [-1]})
    return [*found, {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]}]


def read_rows(tensors: Sequence[Tensor], schema: Schema, max_rows: int) -> Rows:
    """Return the rows of a request.

    Raises:
        Refused: 413 for too many, 422 for tensors that the model does not take.
    """
    too_many(tensors[0].shape[0], max_rows, "inputs")
    if isinstance(schema, TableSchema) and [t.name for t in tensors] != [ROW]:
        named = {tensor.name: _column(tensor) for tensor in tensors}
        if len({*map(len, named.values())}) > 1:
            raise invalid("must be of equal lengths", field="inputs.shape")
        return rows(table.from_columns(named, schema, "inputs"), schema)
    wanted = {"image": "image", "table": ROW, "text": "text"}[schema.kind]
    if len(tensors) != 1 or tensors[0].name != wanted:
        raise invalid("the model takes one tensor", field="inputs.name", remedy=f"name it {wanted}")
    if isinstance(schema, ImageSchema):
        return _images(tensors[0], schema)
    if isinstance(schema, TableSchema):
        return _coded(tensors[0], schema)
    if tensors[0].datatype != "BYTES":
        raise invalid("must be BYTES", field="inputs.datatype")
    return rows(text.texts(_column(tensors[0]), "inputs.data"), schema)


def _images(tensor: Tensor, schema: ImageSchema) -> Rows:
    if tensor.datatype != "UINT8":
        raise invalid("must be UINT8", field="inputs.datatype", remedy="send pixels, 0 to 255")
    shape = tensor.shape[1:]
    if shape != schema.shape and not (schema.channels == 1 and (*shape, 1) == schema.shape):
        wanted = [-1, *schema.shape]
        raise invalid(f"must be {wanted}", field="inputs.shape")
    pixels = np.asarray(tensor.data, dtype=np.uint8).reshape(-1, *schema.shape)
    return Rows(pixels, pixels)


def _coded(tensor: Tensor, schema: TableSchema) -> Rows:
    if tensor.datatype not in DTYPES:
        raise invalid("must be numbers", field="inputs.datatype")
    if len(tensor.shape) != 2 or tensor.shape[1] != len(schema.columns):
        raise invalid(f"must be [-1, {len(schema.columns)}]", field="inputs.shape")
    array = np.asarray(tensor.data, dtype=np.float64).reshape(tensor.shape)
    return Rows(binary.coded(array, schema), array)


def _column(tensor: Tensor) -> list[Any]:
    """Return a column's values as JSON has them: NaN as None."""
    if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] != 1):
        raise invalid("must be [-1] or [-1, 1]", field="inputs.shape")
    if isinstance(tensor.data, list):
        return tensor.data
    values: list[Any] = tensor.data.tolist()
    return [None if v != v else v for v in values]  # noqa: PLR0124 - NaN, of any kind of number
