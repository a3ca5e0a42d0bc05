"""The world outside: real images that no model has seen, later through a worse camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.sources.base import load as load_source
from mlops.core.corruption import corrupt_mix
from mlops.core.example import reserved
from mlops.errors import ParamsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.corruption import CorruptionName
    from mlops.params.data import DataSection

SHIFT: tuple[CorruptionName, ...] = ("blur", "noise", "contrast", "rotation")
"""What becomes of the images: every one meets one of these."""

SEVERITY = 3


@dataclass(frozen=True)
class Batch:
    """Images on their way to the server.

    Attributes:
        images: uint8, (N, H, W, C).
        labels: int64, (N,): the truth, which the server learns late or never.
        entities: what each image is of.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    entities: tuple[str, ...]


class World:
    """Draws traffic from the reserved groups of a source: rows that are in no snapshot."""

    def __init__(self, data: DataSection, root: Path, seed: int) -> None:
        """Read the source and keep its reserved rows only.

        Raises:
            ParamsError: if the demo has no such images to send.
        """
        everything = load_source(data, root)
        if everything.schema.kind != "image":
            msg = f'params.yaml: data.source = "{data.source}" gives no images; the demo needs them'
            raise ParamsError(f"{msg}; with your own data start: mlops up")
        keys = [entity or f"row-{i}" for i, entity in enumerate(everything.entities)]
        kept = [i for i, key in enumerate(keys) if reserved(key, share=data.reserve)]
        if not kept:
            msg = (
                f"params.yaml: data.reserve = {data.reserve} keeps no rows as traffic for the demo"
            )
            raise ParamsError(f"{msg}; write 0.35")
        self.images = everything.values[kept]
        self.labels = everything.labels[kept]
        self.entities = [keys[i] for i in kept]
        self.classes = everything.schema.classes
        self._random = np.random.default_rng(seed)
        self.shifted = False

    def draw(self, rows: int) -> Batch:
        """Return some images; since `shifted`, each through one corruption of `SHIFT`."""
        index = self._random.choice(len(self.labels), rows, replace=rows > len(self.labels))
        images = self.images[index]
        if self.shifted:
            images = corrupt_mix(images, SHIFT, SEVERITY, self._random)
        entities = tuple(self.entities[i] for i in index)
        return Batch(images, self.labels[index], entities)
