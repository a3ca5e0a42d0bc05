"""Cut answered requests down to what the prediction log keeps: sampled, hashed, redacted."""

from __future__ import annotations

from itertools import chain, groupby, repeat
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from mlops.core.features import canonical, identities, identity_shape, together
from mlops.serving import metrics
from mlops.serving.block import Block
from mlops.serving.ids import is_drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.prediction import Given
    from mlops.core.schema import Schema
    from mlops.serving.redaction import Redaction

_SCORES = attrgetter("probabilities")


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
        redaction: of fields and columns; None for none.
        sample: share of the predictions that are kept, drawn by id.
    """

    def __init__(self, keep: bool, redaction: Redaction | None, sample: float) -> None:  # noqa: FBT001 - the log passes them by place
        self._keep = keep and not (redaction and redaction.features)
        self._redaction, self._sample = redaction, sample

    def records(self, items: Sequence[Answered | Sequence[Given]]) -> list[Block | Given]:
        """Return the blocks of answered requests, and labels and scores as they are, in order."""
        records: list[Block | Given] = []
        for kind, alike in groupby(items, key=_kind):
            if kind is None:
                records += chain.from_iterable(x for x in alike if not isinstance(x, Answered))
                continue
            block = self.cut(cast("list[Answered]", [*alike]))
            if block is not None:
                records.append(block)
        return records

    def cut(self, alike: Sequence[Answered]) -> Block | None:
        """Return what is kept of requests of one version; None if chance takes no row of them."""
        version, schema, served = alike[0].version, alike[0].schema, alike[0].shadow_of is None
        columns = _joined(alike, schema, self._redaction)
        scores = np.concatenate([*map(_SCORES, alike)]).astype("<f4", copy=False)
        if self._sample < 1.0:
            drawn = [n for n, name in enumerate(columns[-1]) if is_drawn(name, self._sample)]
            metrics.LOG_SAMPLED_OUT.inc(len(scores) - len(drawn))
            if not drawn:
                return None
            columns = tuple([column[n] for n in drawn] for column in columns)
            scores = scores[drawn]
        ids, at_s, latency_s, entities, contents, originals = columns
        keep, redaction = self._keep and served, self._redaction
        examples = None if keep else identities(contents, schema)
        if redaction:
            entities = [name and redaction.entity(name) for name in entities]
            examples = examples and [*map(redaction.example, examples)]
        return Block(
            version, ids, at_s, latency_s, entities if any(entities) else None,
            None if served else originals, examples,
            identity_shape(schema), [*map(len, contents)] if keep else None,
            b"".join(contents) if keep else b"", scores.tobytes(),
            redaction.columns(schema) if redaction else (),
        )  # fmt: skip


def _kind(item: Answered | Sequence[Given]) -> tuple[str, Schema, bool] | None:
    """Return what the rows of one block have in common; None for what is no answer."""
    if not isinstance(item, Answered):
        return None
    return item.version, item.schema, item.shadow_of is None


def _joined(
    alike: Sequence[Answered], schema: Schema, redaction: Redaction | None
) -> tuple[list[Any], ...]:
    """Return ids, times, latencies, entities, canonical bytes and served ids, one per row each."""
    # Turned on their side in C: nothing here is done once per request if that can be helped.
    ids, at_s, _, named, values, _, _, latency_s, shadow_of = zip(*alike, strict=True)
    rows = [*map(len, ids)]
    every = [*chain.from_iterable(ids)]
    entities: list[str | None] = [None] * len(every)
    if any(named):
        entities = [
            name for mine, n in zip(named, rows, strict=True) for name in mine or [None] * n
        ]
    examples = together(values, schema)
    return (
        every,
        [*chain.from_iterable(map(repeat, at_s, rows))],
        [*chain.from_iterable(map(repeat, latency_s, rows))],
        entities,
        canonical(redaction.blank(examples, schema) if redaction else examples, schema),
        [*chain.from_iterable(filter(None, shadow_of))] or every,
    )
