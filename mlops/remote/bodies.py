"""What is asked → one HTTP request; files are opened here, arrays become raw bytes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mlops.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlops.remote.answers import Feedback

    Image = bytes | str | Path | NDArray[np.uint8]
    Images = NDArray[np.uint8] | Iterable[Image]

JSON = "application/json"
RAW = "application/octet-stream"
MAX_BYTES = 64 << 20  # no server of ours takes more; a video by mistake is not read whole
ROWS = 256
"""Most rows of one request: the server's own limits are above it for any but huge examples."""

_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))


class Options(TypedDict, total=False):
    """What may be said beside an example.

    Attributes:
        entity: what an image belongs to.
        explain: whether attributions are wanted too.
        top_k: how many classes are wanted.
    """

    entity: str
    explain: bool
    top_k: int


@dataclass(frozen=True)
class Ask:
    """One HTTP request.

    Attributes:
        method: `GET` or `POST`.
        path: of the route.
        content: the body; empty for none.
        kind: its media type.
        query: names and values behind the path.
        repeatable: whether it may be sent again when nobody knows if it was carried out.
    """

    method: str
    path: str
    content: bytes = b""
    kind: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the body needs."""
        return {"content-type": self.kind} if self.kind else {}


def image(given: bytes | str | Path, asked: Mapping[str, str]) -> Ask:
    """Ask about one image file, given as its bytes or its path.

    Raises:
        DataError: if it cannot be read, or is neither PNG, JPEG nor WebP.
    """
    content = given if isinstance(given, bytes) else _read(Path(given))
    kind = next((kind for magic, kind in _MAGIC if content.startswith(magic)), "")
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    if not kind:
        where = "the image" if isinstance(given, bytes) else str(given)
        msg = f"{where}: neither PNG, JPEG nor WebP; convert it, or send an array"
        raise DataError(msg)
    return Ask("POST", "/predict", content, kind, asked, repeatable=False)


def pixels(array_NHWC: Any, asked: Mapping[str, str]) -> Ask:
    """Ask about a NumPy array of uint8 images, (H, W, C) or (N, H, W, C).

    Raises:
        UsageError: if it is no such array.
    """
    if str(array_NHWC.dtype) != "uint8" or array_NHWC.ndim not in (3, 4) or not array_NHWC.size:
        shape = "x".join(str(n) for n in array_NHWC.shape)
        msg = f"the array is {array_NHWC.dtype} {shape}; send uint8 (H, W, C) or (N, H, W, C)"
        raise UsageError(msg)
    return Ask("POST", "/predict", array_NHWC.tobytes(), RAW, asked, repeatable=False)


def images(given: Any, asked: Mapping[str, str]) -> Iterator[Ask]:
    """Ask about many images: one array, in requests of `ROWS`, or files, one each.

    Raises:
        DataError: as `image`.
        UsageError: as `pixels`.
    """
    if hasattr(given, "dtype"):
        for start in range(0, max(1, len(given)), ROWS):
            yield pixels(given[start : start + ROWS], asked)
        return
    for one in given:
        yield pixels(one, asked) if hasattr(one, "dtype") else image(one, asked)


def query(**options: Unpack[Options]) -> dict[str, str]:
    """Return the query of a request for predictions.

    Raises:
        UsageError: if `top_k` is below 1.
    """
    top_k = options.get("top_k")
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k = {top_k}: must be at least 1")
    found = {
        "entity": options.get("entity", ""), "explain": "1" if options.get("explain") else "",
        "top_k": "" if top_k is None else str(top_k),
    }  # fmt: skip
    return {name: value for name, value in found.items() if value}


def rows(given: Sequence[Mapping[str, Any]], asked: Mapping[str, str]) -> Iterator[Ask]:
    """Ask about rows of a table; a missing value is None or NaN.

    Raises:
        UsageError: if there are none, or a value is neither text, number nor truth value.
    """
    for part in _parts(given, "rows"):
        plain = [{name: _plain(name, value) for name, value in row.items()} for row in part]
        yield Ask("POST", "/predict", _json({"rows": plain}), JSON, asked, repeatable=False)


def texts(given: Sequence[str], asked: Mapping[str, str]) -> Iterator[Ask]:
    """Ask about texts.

    Raises:
        UsageError: if there are none, or one is no text.
    """
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise UsageError("texts must be a list of texts")
    for part in _parts(given, "texts"):
        yield Ask("POST", "/predict", _json({"texts": part}), JSON, asked, repeatable=False)


def feedback(given: Sequence[Feedback]) -> Iterator[Ask]:
    """Send labels and scores; the newest counts once, so repeating it changes nothing.

    Raises:
        UsageError: if there are none.
    """
    for part in _parts(given, "labels"):
        yield Ask("POST", "/feedback", _json([one.plain() for one in part]), JSON)


def logged(prediction_id: str) -> Ask:
    """Look a prediction up.

    Raises:
        UsageError: if the id is none.
    """
    if not (prediction_id.isascii() and prediction_id.isalnum()):
        msg = f"{prediction_id[:80]!r} is no prediction id; it stands in the answer of predict"
        raise UsageError(msg)
    return Ask("GET", f"/predictions/{prediction_id}")


def _parts(given: Sequence[Any], what: str) -> Iterator[list[Any]]:
    if not given:
        raise UsageError(f"no {what}: send at least one")
    for start in range(0, len(given), ROWS):
        yield list(given[start : start + ROWS])


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path}: larger than {MAX_BYTES >> 20} MiB; send a smaller file"
            raise DataError(msg)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    if not content:
        raise DataError(f"{path}: the file is empty")
    return content


def _plain(name: str, value: Any) -> Any:
    """Return a cell as JSON knows it; NumPy's scalars become Python's."""
    value = value.item() if hasattr(value, "item") and not isinstance(value, str) else value
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    msg = f"column {name}: a {type(value).__name__} is neither text nor number"
    raise UsageError(msg)


def _json(content: object) -> bytes:
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError) as error:
        raise UsageError(f"cannot be sent as JSON: {error}") from None
