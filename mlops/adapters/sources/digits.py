"""Source `digits`: 1,797 handwritten digits of 8 × 8 pixels that come with scikit-learn.

E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.sources.base import Examples
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.data import DataSection

_FULL = 16.0  # the data set counts ink in 4 x 4 blocks of bits


def load(section: DataSection, root: Path) -> Examples:  # noqa: ARG001 - the sources' one signature
    """Return the digits as uint8 of shape (1797, 8, 8, 1), scaled from 0…16 to 0…255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255.0 / _FULL)).astype(np.uint8)[..., None]
    count = len(images)
    return Examples(
        schema=ImageSchema(tuple(str(n) for n in range(10)), 8, 8, 1),
        values=images,
        labels=bunch.target.astype(np.int64),
        entities=tuple(f"digits-{row:04d}" for row in range(count)),
        observed_s=np.full(count, np.nan),
    )
