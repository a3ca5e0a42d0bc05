"""JSON bodies, strictly: no NaN, no infinity, no duplicate keys, no deep nesting."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from mlops.core.prediction import MAX_ENTITY
from mlops.serving.reply import Refused, invalid, malformed

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
