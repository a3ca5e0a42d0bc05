"""The labelling file: a CSV, the images as files, and contact sheets with the CSV's numbers."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.files import replacing
from mlops.adapters.labelling_file import HEAD
from mlops.core.features import fits
from mlops.core.schema import ImageSchema, TableSchema, TextSchema
from mlops.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PIL.Image import Image

    from mlops.adapters.labelling import Task
    from mlops.core.schema import Schema

_TILE, _GAP, _CAPTION = 96, 10, 16
_PER_ROW, _ROWS = 8, 10


def refuse_taken(folder: Path) -> None:
    """Refuse a folder that holds a labelling file: labels filled in are never written over.

    Raises:
        UsageError: if it does.
    """
    path = folder / "labels.csv"
    if path.exists():
        msg = f"{path}: is there already; import it (mlops label import), or name another folder"
        raise UsageError(msg)


def write_sheet(folder: Path, tasks: Sequence[Task], schema: Schema) -> Path:
    """Write `labels.csv` into a folder and return its path; images lie in `images/` beside it."""
    path = folder / "labels.csv"
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(schema, ImageSchema):
        _write_images(folder, tasks, schema)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([*HEAD, *_columns(schema)])
        for number, task in enumerate(tasks, 1):
            file = _name(number) if isinstance(schema, ImageSchema) else ""
            writer.writerow([number, task.prediction_id, file, "", *_shown(task, schema)])
    return path


def _columns(schema: Schema) -> tuple[str, ...]:
    if isinstance(schema, TableSchema):
        return tuple(_cell(column.name) for column in schema.columns)
    return ("text",) if isinstance(schema, TextSchema) else ()


def _shown(task: Task, schema: Schema) -> list[str | float]:
    """Return what a labeller sees of an example that is no image."""
    features = task.features
    if isinstance(schema, ImageSchema):
        return []
    if not fits(features, schema):
        return ["(of another schema)"] * len(_columns(schema))
    if isinstance(schema, TextSchema):
        return [_cell(features.decode())]
    row = dict(zip((column.name for column in schema.columns), json.loads(features), strict=True))
    row |= {name: "(redacted)" for name in task.redacted if name in row}
    return ["" if v is None else _cell(v) if isinstance(v, str) else v for v in row.values()]


def _cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def _name(number: int) -> str:
    return f"images/{number:05d}.png"


def _write_images(folder: Path, tasks: Sequence[Task], schema: ImageSchema) -> None:
    (folder / "images").mkdir(exist_ok=True)
    tiles = []
    for number, task in enumerate(tasks, 1):
        picture = _picture(task.features, schema)
        with replacing(folder / _name(number)) as temporary:
            picture.save(temporary, "PNG")
        tiles.append(picture)
    each = _PER_ROW * _ROWS
    for page, start in enumerate(range(0, len(tiles), each), 1):
        with replacing(folder / f"sheet-{page:03d}.png") as temporary:
            _contact(tiles[start : start + each], start + 1).save(temporary, "PNG")


def _picture(features: bytes, schema: ImageSchema) -> Image:
    from PIL import Image

    if len(features) != schema.size_bytes:  # of another schema; a person sees that it is odd
        return Image.new("L", (schema.width, schema.height))
    pixels = np.frombuffer(features, dtype=np.uint8).reshape(schema.shape)
    return Image.fromarray(pixels if schema.channels == 3 else pixels[:, :, 0])


def _contact(tiles: Sequence[Image], first: int) -> Image:
    from PIL import Image, ImageDraw

    step = _TILE + _GAP
    rows = -(-len(tiles) // _PER_ROW)
    canvas = Image.new("RGB", (_PER_ROW * step + _GAP, rows * (step + _CAPTION) + _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for n, tile in enumerate(tiles):
        scale = max(_TILE // max(tile.size), 1)
        size = (min(tile.width * scale, _TILE), min(tile.height * scale, _TILE))
        left, top = _GAP + n % _PER_ROW * step, _GAP + n // _PER_ROW * (step + _CAPTION)
        canvas.paste(tile.convert("RGB").resize(size, Image.Resampling.NEAREST), (left, top))
        draw.text((left, top + _TILE + 2), str(first + n), fill="black")
    return canvas
