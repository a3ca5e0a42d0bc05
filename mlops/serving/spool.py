"""Spool segments: files of predictions, labels and scores that are whole or absent.

Layout: magic, then per record a little-endian length, JSON, and the bytes that JSON cannot hold;
last a BLAKE2b digest of all before it. A record is a label, a score, or the rows of one request.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from mlops.adapters import files
from mlops.core.prediction import Label, Prediction, Score
from mlops.errors import DataError
from mlops.serving.block import Block

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops.core.prediction import Given

MAGIC = b"MLSPOOL1"
SUFFIX = ".seg"
_DIGEST_BYTES = 16
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Segment:
    """What one segment holds, in the order of arrival."""

    predictions: list[Prediction]
    labels: list[Label]
    scores: list[Score]


def write(folder: Path, content: bytes, after_ns: int = 0) -> Path:
    """Write one segment, synced to disk; its name sorts by time.

    Args:
        folder: the spool.
        content: of `encode`.
        after_ns: place of the segment before it, so that a clock that jumps back changes no order.

    Raises:
        OSError: if the disk refuses it; then no segment exists.
    """
    place_ns = max(time.time_ns(), after_ns + 1)
    path = folder / f"{place_ns:020d}-{os.getpid()}{SUFFIX}"
    files.write_bytes(path, content)
    return path


def place_ns(path: Path) -> int:
    """Return a segment's place in the order, from its name: nanoseconds since 1970, or later."""
    head = path.name.partition("-")[0]
    return int(head) if head.isdigit() else 0


def read(path: Path) -> Segment:
    """Read one segment.

    Raises:
        DataError: if its bytes are damaged.
    """
    return decode(path.read_bytes(), str(path))


def waiting(folder: Path) -> list[Path]:
    """Return the segments that wait for the database, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def size_bytes(folder: Path) -> int:
    """Return how many bytes wait for the database; a spool that is not there yet has none."""
    total = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # written out meanwhile
            total += path.stat().st_size
    return total


def encode(records: Sequence[Block | Given]) -> bytes:
    """Return the bytes of a segment."""
    parts = [MAGIC]
    for record in records:
        head: list[Any]
        tail: tuple[bytes, ...] = ()
        if isinstance(record, Block):
            head = ["b", *record.head()]
            tail = (record.features, record.probabilities)
        elif isinstance(record, Score):
            head = ["s", record.prediction_id, record.score, record.at_s]
        else:
            head = ["l", record.prediction_id, record.label, record.label_source, record.at_s]
        text = orjson.dumps(head)
        parts += (_LENGTH.pack(len(text)), text, *tail)
    body = b"".join(parts)
    return body + _digest(body)


def decode(content: bytes, name: str) -> Segment:
    """Read the bytes of a segment.

    Raises:
        DataError: if they are damaged; `name` says where they came from.
    """
    body, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if not body.startswith(MAGIC) or _digest(body) != digest:
        msg = f"{name}: damaged spool segment; its predictions cannot be read"
        raise DataError(msg)
    segment = Segment([], [], [])
    at = len(MAGIC)
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        kind, *head = orjson.loads(body[at : at + length])
        at += length
        if kind == "b":
            block, at = Block.read(head, body, at)
            segment.predictions.extend(block.rows())
        elif kind == "l":
            segment.labels.append(Label(*head))
        elif kind == "s":
            segment.scores.append(Score(*head))
        else:
            row, at = _row_of_before(head, body, at)
            segment.predictions.append(row)
    return segment


def _row_of_before(head: Sequence[Any], body: bytes, at: int) -> tuple[Prediction, int]:
    """Read one prediction of a release that wrote each alone, at first without `shadow_of`."""
    identity, at_s, version, example, entity, latency_s, sent, scores, *rest = head
    middle = at + max(sent, 0)
    end = middle + scores
    features = None if sent < 0 else body[at:middle]
    shadow_of = rest[0] if rest else None
    return Prediction(identity, at_s, version, example, entity, features, body[middle:end],
                      latency_s, shadow_of), end  # fmt: skip


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
