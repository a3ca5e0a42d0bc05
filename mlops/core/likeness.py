"""Which known corruption a window of pictures looks like, how strong, and in how many of them.

Each corruption at each severity is tried on pictures of the reference; what that does to the
columns is its signature. A signature is made of means over rows, so that a window of which a share
is corrupted shows that share of it: the nearest is found by least squares, share by share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.columns import looks
from mlops.core.corruption import NAMES, SEVERITIES, CorruptionName, corrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.schema import ImageSchema

SAMPLE_ROWS = 200
"""Pictures that the corruptions are tried on."""
_EXPLAINED = 0.8  # of the window's change; what explains less is not named
_SEED = 0


@dataclass(frozen=True)
class Likeness:
    """What a window looks like.

    Attributes:
        name: of the corruption.
        severity: 1 to 5.
        share: of the window's pictures, in (0, 1].
    """

    name: CorruptionName
    severity: int
    share: float

    @property
    def words(self) -> str:
        """The likeness in words."""
        part = f" in about {100 * self.share:.0f} % of the pictures" if self.share < 0.9 else ""
        return f"looks like {self.name}, severity {self.severity}{part}"


@dataclass(frozen=True)
class Library:
    """Signatures of the known corruptions on a version's pictures.

    Attributes:
        names: the D columns of what pictures look like.
        centre: float64, (D,): means of the clean pictures.
        spread: float64, (D,): their standard deviations.
        clean: float64, (2 D,): their moments.
        unit: float64, (2 D,): standard deviation of a single picture's moments.
        entries: name and severity of each signature.
        signatures: float64, (L, 2 D), in units of `unit`.
    """

    names: tuple[str, ...]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    clean: NDArray[np.float64]
    unit: NDArray[np.float64]
    entries: tuple[tuple[CorruptionName, int], ...]
    signatures: NDArray[np.float64]

    def match(self, rows: Columns) -> Likeness | None:
        """Return what a window looks like; nothing where no corruption explains its change."""
        at = [rows.names.index(name) for name in self.names]
        moments = _moments(rows.values[:, at], self.centre, self.spread).mean(axis=0)
        change = (moments - self.clean) / self.unit
        size = np.maximum((self.signatures**2).sum(axis=1), 1e-12)
        share = np.clip(self.signatures @ change / size, 0.0, 1.0)
        left = ((change - share[:, None] * self.signatures) ** 2).sum(axis=1)
        best = int(left.argmin())
        if left[best] > (1 - _EXPLAINED) * (change**2).sum() or share[best] <= 0.0:
            return None
        return Likeness(*self.entries[best], float(share[best]))


def learn_library(images_NHWC: NDArray[np.uint8], schema: ImageSchema) -> Library:
    """Return the signatures of every corruption on clean pictures.

    Args:
        images_NHWC: at least 2 of them; the first `SAMPLE_ROWS` are used.
        schema: of the pictures.
    """
    some = images_NHWC[:SAMPLE_ROWS]
    names, clean = looks(some, schema)
    centre, spread = clean.mean(axis=0), np.maximum(clean.std(axis=0), 1e-3)
    moments = _moments(clean, centre, spread)
    mean, unit = moments.mean(axis=0), np.maximum(moments.std(axis=0), 1e-3)
    entries = tuple((name, severity) for name in NAMES for severity in SEVERITIES)
    changed = []
    for name, severity in entries:
        bad = corrupt(some, name, severity, np.random.default_rng(_SEED))
        changed.append(_moments(looks(bad, schema)[1], centre, spread).mean(axis=0))
    return Library(names, centre, spread, mean, unit, entries, (np.array(changed) - mean) / unit)


def _moments(
    value_ND: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where each row stands in each column, and how far out; float64, (N, 2 D).

    Logarithms: a strong corruption of few rows must not pass for a weak one of many.
    """
    z = (value_ND - centre) / spread
    out = np.log1p(np.abs(z))
    return np.concatenate([np.sign(z) * out, out], axis=1)
