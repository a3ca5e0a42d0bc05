"""What a window's rows held as they came in: counted over all, and some of them to be shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.core.columns import blank
from mlops.core.schema import TableSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema
    from mlops.core.usual import Contents

PAGE_ROWS = 10_000
"""Rows of a window, and of its reference, that its page is made of at most."""


def evenly(count: int, most: int = PAGE_ROWS) -> NDArray[np.int64]:
    """Return the places of at most so many of `count` rows, evenly spread: the same every time."""
    shown = min(count, most)
    places: NDArray[np.int64] = np.arange(shown, dtype=np.int64) * count // max(shown, 1)
    return places


@dataclass(frozen=True)
class SentRows:
    """Rows of the schema, as they came.

    Attributes:
        features: of a table, float64 (S, C), NaN where there is no value; (S, 0) of other kinds.
        blank: bool (S,): whether the example holds nothing.
        sound: bool (S,): whether the answer is one, see `mlops.core.quality.sound`.
        copies: int64 (S,): how often the example came.
    """

    features: NDArray[np.float64]
    blank: NDArray[np.bool_]
    sound: NDArray[np.bool_]
    copies: NDArray[np.int64]

    def __len__(self) -> int:
        """Return S."""
        return len(self.sound)


@dataclass(frozen=True)
class Sent:
    """What a window's rows held as they came.

    Attributes:
        rows: of the window.
        wrong_size: whose features are not of the schema.
        unsound: of the schema, whose answers are none.
        contents: what those of the schema hold.
        shown: of the schema, at most `PAGE_ROWS`.
    """

    rows: int
    wrong_size: int
    unsound: int
    contents: Contents
    shown: SentRows

    @property
    def whole(self) -> bool:
        """Whether every row of the schema is shown."""
        return len(self.shown) == self.rows - self.wrong_size

    def recounted(self, held: Contents) -> Sent:
        """Return what the rows that are shown hold, as if there were no others.

        Args:
            held: their contents.
        """
        unsound = int((~self.shown.sound).sum())
        return replace(self, rows=held.rows, wrong_size=0, unsound=unsound, contents=held)


def sent_rows(
    features: NDArray[Any], sound_N: NDArray[np.bool_], example_ids: Sequence[str], schema: Schema
) -> SentRows:
    """Choose the rows that are shown.

    Args:
        features: (N, *shape) of the schema.
        sound_N: whether each answer is one.
        example_ids: identity of each row; equal ones are copies.
        schema: of the version.
    """
    at = evenly(len(features))
    chosen, times = features[at], Counter(example_ids)
    table = isinstance(schema, TableSchema)
    return SentRows(
        features=chosen if table else np.zeros((len(at), 0)),
        blank=blank(chosen) if len(at) else np.zeros(0, dtype=bool),
        sound=sound_N[at],
        copies=np.array([times[example_ids[n]] for n in at], dtype=np.int64),
    )
