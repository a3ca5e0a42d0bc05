"""Cut answered requests down to what the prediction log keeps: sampled, hashed, redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mlops.core.features import canonical, identities, identity_shape
from mlops.serving import metrics
from mlops.serving.block import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.prediction import Given
    from mlops.core.schema import Schema
    from mlops.serving.redaction import Redaction

_T = TypeVar("_T")
_SPAN = float(16**8)
_DRAWN = 8  # hex digits at the end of an id: part of a keyed hash, so as good as drawn by lot


class Answered(NamedTuple):
    """One answered request, as the request path leaves it.

    Attributes:
        ids: one per row.
        at_s: when, seconds since 1970.
        version: the model version that answered.
        entities: one per row; None for no row having one.
        values: of the rows, see `mlops.core.features`.
        schema: of the model that answered.
        probabilities: float32, (N, classes).
        latency_s: from arrival to answer.
        shadow_of: ids of the served predictions that a shadow looked at; None if these were served.
    """

    ids: Sequence[str]
    at_s: float
    version: str
    entities: Sequence[str | None] | None
    values: Any
    schema: Schema
    probabilities: NDArray[np.float32]
    latency_s: float
    shadow_of: Sequence[str] | None = None


class Cutter:
    """Makes the log's blocks of answered requests; runs off the request path.

    Args:
        keep: whether features are kept.
        redaction: fields to be made unreadable; None for none.
        sample: share of the predictions that are kept, drawn by id.
    """

    def __init__(self, keep: bool, redaction: Redaction | None, sample: float) -> None:  # noqa: FBT001
        self._keep = keep and not (redaction and redaction.features)
        self._redaction, self._sample = redaction, sample

    def records(self, items: Sequence[Answered | Sequence[Given]]) -> list[Block | Given]:
        """Return the blocks of answered requests, and labels and scores as they are, in order."""
        records: list[Block | Given] = []
        for item in items:
            if not isinstance(item, Answered):
                records += item
            elif (block := self.cut(item)) is not None:
                records.append(block)
        return records

    def cut(self, answered: Answered) -> Block | None:
        """Return what is kept of an answered request; None if chance takes no row of it."""
        ids, at_s, version, entities, values, schema, scores, latency_s, shadow_of = answered
        contents = canonical(values, schema)
        if self._sample < 1.0:
            drawn = [n for n, name in enumerate(shadow_of or ids) if self._drawn(name)]
            metrics.LOG_SAMPLED_OUT.inc(len(ids) - len(drawn))
            if not drawn:
                return None
            ids, contents, scores = _at(drawn, ids), _at(drawn, contents), scores[drawn]
            entities = entities and _at(drawn, entities)
            shadow_of = shadow_of and _at(drawn, shadow_of)
        if entities and self._redaction:
            entities = [name and self._redaction.entity(name) for name in entities]
        probabilities = scores.astype("<f4", copy=False).tobytes()
        keep = self._keep and shadow_of is None
        return Block(
            ids, at_s, version, latency_s, entities, shadow_of,
            None if keep else identities(contents, schema), identity_shape(schema),
            [*map(len, contents)] if keep else None, b"".join(contents) if keep else b"",
            probabilities,
        )  # fmt: skip

    def _drawn(self, identity: str) -> bool:
        return int(identity[-_DRAWN:], 16) < self._sample * _SPAN


def _at(places: Sequence[int], column: Sequence[_T]) -> list[_T]:
    return [column[n] for n in places]
