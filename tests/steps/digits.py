"""A tiny `data/prepared/` of real digits, as step `prepare` would write it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.datasets import load_digits

from mlops.adapters.files import write_json
from mlops.adapters.snapshot import Rows, write_rows
from mlops.core.example import key_hash
from mlops.core.features import canonical, identities
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = [str(n) for n in range(10)]


def rows(start: int, stop: int) -> Rows:
    """Return digits number `start` to `stop`."""
    found = load_digits()
    image = (found.images[start:stop, ..., None] * 15.9375).round().astype(np.uint8)
    n = len(image)
    schema = ImageSchema(tuple(CLASSES), 8, 8, 1)
    ids = identities(canonical(image, schema), schema)
    return Rows(
        features=image, label=found.target[start:stop].astype(np.int64), example_id=np.array(ids),
        key=np.array([key_hash(i) for i in ids], dtype=np.uint64),
        observed_s=np.full(n, np.nan), production=np.zeros(n, dtype=bool),
        label_source=np.array(["source"] * n),
    )  # fmt: skip


def write_prepared(folder: Path, *, recent: int = 60) -> None:
    """Write all files of `data/prepared/`: 400 rows to train, 120 to validate, 200 to test."""
    train, validation, test = rows(0, 400), rows(400, 520), rows(520, 720)
    late = rows(720, 720 + recent)
    late = replace(
        late,
        production=np.ones(recent, dtype=bool),
        observed_s=1e9 + np.arange(recent, dtype=np.float64),
    )
    for name, part in (
        ("train", train), ("validation", validation), ("test", test), ("recent", late),
        ("reference", test),
    ):  # fmt: skip
        write_rows(folder / f"{name}.npz", part)
    np.save(folder / "seen.npy", np.sort(np.concatenate([train.key, validation.key])))
    pixels = train.features / 255.0
    write_json(folder / "split.json", {
        "schema": {"kind": "image", "classes": CLASSES, "height": 8, "width": 8, "channels": 1},
        "split": {"salt": "1", "validation": 0.15, "test": 0.25},
        "mean": [float(pixels.mean())], "std": [float(pixels.std())],
        "trained_until_s": None, "cutoff_s": None, "counts": {},
    })  # fmt: skip
