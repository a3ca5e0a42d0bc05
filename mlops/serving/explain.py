"""`?explain=1`: what each part of one example did for its answer, by taking it away.

Occlusion (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
section 4.2): a part's attribution is the answer less the answer without the part. Of an image a
part is a patch, replaced by the image's mean colour; of a table a column, made missing; of a text
a run of words, left out. At most `PARTS` parts, in one batch, off the event loop and one request
at a time: an explanation costs some fifty predictions, whatever was sent. No torch is needed.
"""

from __future__ import annotations

import asyncio
import base64
import io
import re
import threading
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.features import arrays
from mlops.core.schema import QUANTILES, ImageSchema, TableSchema
from mlops.serving.reply import Refused, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlops.core.schema import TextSchema
    from mlops.serving.rows import Rows
    from mlops.serving.waiting import Scored

PARTS = 64
_SIDE = 7  # patches along each side of an image: 49, fine enough to see a garment's parts
_ZOOM_PIXELS = 224
_WORD = re.compile(r"\S+")
_TURN = threading.Lock()


def one_at_a_time(rows: Rows) -> None:
    """Check that one row was sent.

    Raises:
        Refused: 422 for more.
    """
    if len(rows.array) != 1:
        raise invalid("only one row at a time is explained", field="explain", remedy="send one row")


@contextmanager
def turn() -> Iterator[None]:
    """Hold this process' turn to explain, from before a row is scored: who is refused is no answer.

    Raises:
        Refused: 503 while another request is being explained in this process.
    """
    if not _TURN.acquire(blocking=False):
        raise Refused(
            503, "busy", "another answer is being explained", retry_s=1,
            remedy="try again, or without explain",
        )  # fmt: skip
    try:
        yield
    finally:
        _TURN.release()


async def explain(scored: Scored, rows: Rows, *, png: bool) -> dict[str, Any]:
    """Return the attribution of one row's answer by the model that gave it.

    For a caller whose `turn` it is.

    Args:
        scored: the answer.
        rows: one row.
        png: whether an image's attribution is drawn too, as a `data:` address.
    """
    return await asyncio.to_thread(_explain, scored, rows, png)


def _explain(scored: Scored, rows: Rows, png: bool) -> dict[str, Any]:  # noqa: FBT001 - run in a thread, by place
    schema = scored.model.schema
    base = scored.probabilities[0]
    target = int(base.argmax()) if schema.classes else len(QUANTILES) // 2
    told = {"class": schema.classes[target]} if schema.classes else {"output": "value"}
    head: dict[str, Any] = {"method": "occlusion", **told}

    def lost(batch: NDArray[Any]) -> NDArray[np.float64]:
        without = scored.model.predict(batch)[:, target].astype(np.float64)
        return np.round(float(base[target]) - without, 6)

    if isinstance(schema, ImageSchema):
        covered, down, across = _patched(rows.array[0])
        values = lost(covered).reshape(down, across)
        head |= {"replaced_by": "the image's mean colour", "values": values.tolist()}
        return head | ({"image": _drawn(rows.array[0], values)} if png else {})
    if isinstance(schema, TableSchema):
        without, groups = _without_columns(rows.array[0])
        names = [column.name for column in schema.columns]
        parts = zip(groups, lost(without).tolist(), strict=True)
        listed = [{"columns": names[a:b], "value": value} for (a, b), value in parts]
        return head | {"replaced_by": "a missing value", "parts": listed}
    batch, spans = _without_words(rows.values[0], schema)
    parts = zip(spans, lost(batch).tolist(), strict=True)
    listed = [{"start": a, "end": b, "value": value} for (a, b), value in parts]
    return head | {"replaced_by": "nothing", "parts": listed}


def _cuts(size: int, parts: int) -> list[tuple[int, int]]:
    """Return where `size` things are cut into at most so many runs of nearly equal lengths."""
    edges = np.linspace(0, size, min(size, parts) + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def _patched(image_HWC: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int, int]:
    """Return the image once per patch, that patch covered, and the patches down and across."""
    down, across = _cuts(image_HWC.shape[0], _SIDE), _cuts(image_HWC.shape[1], _SIDE)
    mean = image_HWC.reshape(-1, image_HWC.shape[2]).mean(axis=0).round().astype(np.uint8)
    batch = np.repeat(image_HWC[np.newaxis], len(down) * len(across), axis=0)
    for n, (top, bottom) in enumerate(down):
        for m, (left, right) in enumerate(across):
            batch[n * len(across) + m, top:bottom, left:right] = mean
    return batch, len(down), len(across)


def _without_columns(
    row: NDArray[np.float64],
) -> tuple[NDArray[np.float64], list[tuple[int, int]]]:
    groups = _cuts(len(row), PARTS)
    batch = np.repeat(row[np.newaxis], len(groups), axis=0)
    for n, (first, last) in enumerate(groups):
        batch[n, first:last] = np.nan
    return batch, groups


def _without_words(text: str, schema: TextSchema) -> tuple[NDArray[Any], list[tuple[int, int]]]:
    """Return the text once per run of words, without it, and where the runs stand in it.

    Only what the model reads is cut up; places count characters, as `text[start:end]` does.
    """
    seen = text.encode()[: schema.max_bytes].decode(errors="ignore")
    words = [match.span() for match in _WORD.finditer(seen)] or [(0, len(seen))]
    spans = [(words[a][0], words[b - 1][1]) for a, b in _cuts(len(words), PARTS)]
    return arrays([text[:a] + text[b:] for a, b in spans], schema), spans


def _drawn(image_HWC: NDArray[np.uint8], values: NDArray[np.float64]) -> str:
    """Return the image in grey, red where a patch spoke for the answer and blue where against."""
    from PIL import Image

    height, width = image_HWC.shape[:2]
    zoom = max(1, _ZOOM_PIXELS // max(height, width))
    size = (width * zoom, height * zoom)
    grey = Image.fromarray(image_HWC.mean(axis=2).astype(np.uint8)).resize(
        size, Image.Resampling.NEAREST
    )
    strength = values / max(float(np.abs(values).max()), 1e-9)
    heat = Image.fromarray(strength.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    signed = np.asarray(heat)[..., np.newaxis]
    colour = np.where(signed > 0, np.array([214.0, 39.0, 40.0]), np.array([31.0, 119.0, 180.0]))
    weight = 0.65 * np.abs(signed)
    mixed = (1.0 - weight) * np.asarray(grey)[..., np.newaxis] + weight * colour
    out = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
