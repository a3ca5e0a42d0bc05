"""The file in which labels come back: read strictly, every mistake with its line."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from mlops.core.schema import LARGEST
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HEAD = ("number", "prediction_id", "file", "label")
MAX_BYTES = 16 << 20


def value_of(name: str, classes: Sequence[str], where: str) -> float:
    """Return a class's index, or of a regression the number.

    Raises:
        DataError: if it is neither.
    """
    if not classes:
        try:
            value = float(name)
        except ValueError:
            value = float("nan")
        if not abs(value) <= LARGEST:  # nor if it is NaN
            raise DataError(f"{where}: label = {name[:40]!r} is no number; write one, as in 3.5")
        return value
    if name not in classes:
        known = ", ".join(classes[:20])
        raise DataError(f"{where}: label = {name[:40]!r} is no class; write one of: {known}")
    return classes.index(name)


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the lines of a file with their numbers.

    Raises:
        DataError: if it is too large, no UTF-8 text or not the table that was given out.
    """
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            msg = f"{path}: larger than {MAX_BYTES >> 20} MiB; import it in parts"
            raise DataError(msg)
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: unreadable ({error}); save it as CSV in UTF-8"
        raise DataError(msg) from None
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        msg = f"{path}:{reader.line_num}: no CSV ({error}); save it as CSV in UTF-8"
        raise DataError(msg) from None
    if not rows or tuple(rows[0][1][: len(HEAD)]) != HEAD:
        msg = f"{path}:1: does not begin with {','.join(HEAD)}; keep the first line as given out"
        raise DataError(msg)
    width = len(rows[0][1])
    for line, row in rows[1:]:
        if len(row) != width:
            msg = f"{path}:{line}: {len(row)} fields instead of {width}; put commas in quotes"
            raise DataError(msg)
    return rows[1:]
