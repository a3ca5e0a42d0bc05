"""The rows of answered requests as the spool holds them: column by column, not one by one.

What a row costs in the worker it costs the requests, for an interpreter runs one thread at a time.
So rows are made, and their features hashed, where a segment is read.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.core.example import example_id
from mlops.core.prediction import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence


_PLAIN = 9
"""So many columns of a block JSON can hold."""


class Block(NamedTuple):
    """N rows that one model version answered.

    Attributes:
        version: the model version.
        ids: one per row.
        at_s: when, seconds since 1970, one per row.
        latency_s: from arrival to answer, one per row.
        entities: one per row; None for no row having one.
        shadow_of: ids of the served predictions; None if these were served.
        examples: `example_id` of each row; None: of the kept features, when they are read.
        shape: that `example_id` is given, see `mlops.core.features.identity_shape`.
        sizes: bytes of each row's features; None if they are not kept.
        features: canonical bytes, one row after the other.
        probabilities: float32, little-endian, (N, classes) as bytes.
        redacted: columns of a table that are missing because nobody may read them.
    """

    version: str
    ids: Sequence[str]
    at_s: Sequence[float]
    latency_s: Sequence[float]
    entities: Sequence[str | None] | None
    shadow_of: Sequence[str] | None
    examples: Sequence[str] | None
    shape: Sequence[int | str]
    sizes: Sequence[int] | None
    features: bytes
    probabilities: bytes
    redacted: Sequence[str] = ()

    def head(self) -> list[Any]:
        """Return what JSON can hold: the first columns, how long the probabilities are, the rest.

        The rest is left out where nothing is redacted: the release before has no such place.
        """
        rest = [[*self.redacted]] if self.redacted else []
        return [*self[:_PLAIN], len(self.probabilities), *rest]

    @classmethod
    def read(cls, head: Sequence[Any], body: bytes, at: int) -> tuple[Block, int]:
        """Return a block and where the next one begins.

        Args:
            head: of `head`.
            body: holds features and probabilities from `at` on.
            at: place of the first byte.
        """
        columns, (length, *rest) = head[:_PLAIN], head[_PLAIN:]
        middle = at + sum(columns[-1] or ())
        end = middle + length
        bytes_of = (body[at:middle], body[middle:end])
        return cls._make([*columns, *bytes_of, *(rest or [()])]), end

    def rows(self) -> list[Prediction]:
        """Return the rows one by one."""
        count = len(self.ids)
        nobody = [None] * count
        contents: list[bytes | None] = [*nobody]
        examples = self.examples
        if self.sizes is not None:
            kept = [self.features[a:b] for a, b in pairwise(accumulate(self.sizes, initial=0))]
            examples = examples or [example_id(content, self.shape) for content in kept]
            contents = [*kept]
        width, redacted = len(self.probabilities) // count, tuple(self.redacted)
        columns = zip(
            self.ids, self.at_s, examples or (), self.entities or nobody, contents,
            range(0, count * width, width), self.latency_s, self.shadow_of or nobody, strict=True,
        )  # fmt: skip
        return [
            Prediction(
                identity, at_s, self.version, example, entity, content,
                self.probabilities[start : start + width], latency_s, shadowed, redacted,
            )
            for identity, at_s, example, entity, content, start, latency_s, shadowed in columns
        ]  # fmt: skip
