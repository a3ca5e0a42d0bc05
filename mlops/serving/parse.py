"""JSON bodies → uint8 images: strict about types, shapes, ranges, keys."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from mlops.core.prediction import MAX_ENTITY
from mlops.serving.reply import Refused, invalid, malformed
from mlops.serving.tensor import array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

FORMATS = ("instances", "inputs", "dataframe_split", "dataframe_records")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed JSON object.

    Attributes:
        content: its keys and values.
        plain: no text and no truth value stands anywhere except as a key, so that arrays need
            not be searched for them.
    """

    content: dict[str, Any]
    plain: bool


def parse(body: bytes) -> Body:
    """Parse a JSON object; NaN, infinities, deep nesting and duplicate keys are refused.

    Raises:
        Refused: 400 naming the place, never the content.
    """
    content = _decode(body)
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise malformed(f"the body is a {kind}, not an object", remedy='send {"inputs": …}')
    # orjson lets the last duplicate win. Counting keys in the bytes finds suspects fast.
    if body.count(b":") != len(content) or b"\\" in body:
        _refuse_duplicates(body)
    only_keys = body.count(b'"') == 2 * len(content)
    return Body(content, only_keys and b"true" not in body and b"false" not in body)


def objects(body: bytes, max_items: int) -> list[dict[str, Any]]:
    """Parse one JSON object or a list of them.

    Raises:
        Refused: 400 for anything else, 413 for too many.
    """
    content = _decode(body)
    items = content if isinstance(content, list) else [content]
    if len(items) > max_items:
        raise Refused(413, "too_many_rows", f"{len(items)} objects, at most {max_items}")
    if not items or not all(isinstance(item, dict) for item in items):
        raise malformed("the body must be an object or a list of at least one object")
    _refuse_duplicates(body)
    return items


def scoring(body: Body, schema: ImageSchema, max_rows: int) -> NDArray[np.uint8]:
    """Read a body in MLflow's scoring protocol (`mlflow.pyfunc.scoring_server`).

    Raises:
        Refused: 400 unless exactly one format key stands there, 422 as `array` does.
    """
    keys = [key for key in body.content if key != "params"]
    if len(keys) != 1 or keys[0] not in FORMATS:
        raise malformed(
            f"the object must have exactly one of the keys {', '.join(FORMATS)}",
            remedy='send {"inputs": [image, …]}',
        )
    name = keys[0]
    value = body.content[name]
    if name == "dataframe_split":
        value = _split(value)
    elif name == "dataframe_records" or (name == "instances" and _records(value)):
        value = _rows(value, name)
    elif name == "inputs" and isinstance(value, dict):
        value = _only(value, name)
    return array(value, schema, max_rows, plain=body.plain, field=name)


def images(
    body: Body, schema: ImageSchema, max_rows: int
) -> tuple[NDArray[np.uint8], list[str | None], bool]:
    """Read a body of `/predict`.

    Returns:
        uint8 images (N, H, W, C), one entity per image, and whether one single image was sent.

    Raises:
        Refused: 422 for unknown keys, or as `array` does.
    """
    content = body.content
    single = "image" in content
    known = {"image", "entity"} if single else {"images", "entities"}
    if (not single and "images" not in content) or set(content) - known:
        raise invalid(
            'the object must hold "image" and perhaps "entity", or "images" and perhaps "entities"'
        )
    field = "image" if single else "images"
    value = [content["image"]] if single else content["images"]
    pixels = array(value, schema, max_rows, plain=body.plain, field=field)
    given = [content.get("entity")] if single else content.get("entities", [None] * len(pixels))
    if not isinstance(given, list) or len(given) != len(pixels):
        raise invalid("must be a list as long as images", field="entities")
    return pixels, [entity(one) for one in given], single


def entity(value: Any) -> str | None:
    """Check what a caller says that an image belongs to.

    Raises:
        Refused: 422 unless it is missing or a short text without control characters.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ENTITY or _CONTROL.search(value):
        raise invalid(f"must be text of 1 to {MAX_ENTITY} printable characters", field="entity")
    return value


def _decode(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise malformed(f"not JSON: {error.msg} (byte {error.pos})", remedy="send JSON") from None


def _records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _split(value: Any) -> Any:
    field = "dataframe_split"
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        raise invalid('must hold "columns" and "data"', field=field)
    columns, data = value.get("columns", []), value["data"]
    if not isinstance(columns, list) or set(value) - {"columns", "data", "index"}:
        raise invalid('must hold "columns", "data" and perhaps "index"', field=field)
    names = [name for name in columns if isinstance(name, str | int)]
    if len(names) != len(columns) or len(set(names)) != len(names):
        raise invalid("columns must be distinct names", field=field)
    if any(not isinstance(row, list) or len(row) != len(columns) for row in data):
        raise invalid("each row must have one value per column", field=field)
    return [row[0] for row in data] if len(columns) == 1 else data


def _rows(value: Any, field: str) -> Any:
    if not _records(value) or not all(isinstance(row, dict) for row in value):
        raise invalid("must be a list of objects", field=field)
    names = list(value[0])
    if not names or any(row.keys() != value[0].keys() for row in value):
        raise invalid("every row must have the same columns", field=field)
    if len(names) == 1:
        return [row[names[0]] for row in value]
    return [[row[name] for name in names] for row in value]


def _only(value: dict[str, Any], field: str) -> Any:
    if len(value) != 1:
        raise invalid("must name the model's one input", field=field)
    return next(iter(value.values()))


def _refuse_duplicates(body: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise malformed("a key stands twice in one object", remedy="keep one of the two")

    try:
        json.loads(body, object_pairs_hook=unique)
    except RecursionError:
        raise malformed("nested too deeply") from None
    except ValueError:
        raise malformed("not JSON") from None
