"""Cut answered requests into rows of the prediction log: sampled, hashed, redacted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.features import canonical, identities
from mlops.core.prediction import Prediction
from mlops.serving import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.prediction import Given
    from mlops.core.schema import Schema
    from mlops.serving.redaction import Redaction

_SPAN = float(16**8)
_DRAWN = 8  # hex digits at the end of an id: part of a keyed hash, so as good as drawn by lot


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered request, as the request path leaves it: arrays are cut into rows later.

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
    """Makes rows of answered requests; runs off the request path.

    Args:
        keep: whether features are kept.
        redaction: fields to be made unreadable; None for none.
        sample: share of the predictions that are kept, drawn by id.
    """

    def __init__(self, keep: bool, redaction: Redaction | None, sample: float) -> None:  # noqa: FBT001
        self._keep, self._redaction, self._sample = keep, redaction, sample

    def records(self, items: Sequence[Answered | Sequence[Given]]) -> list[Prediction | Given]:
        """Return the rows of answered requests, and labels and scores as they are, in order."""
        records: list[Prediction | Given] = []
        for item in items:
            records += self._rows(item) if isinstance(item, Answered) else item
        return records

    def _rows(self, answered: Answered) -> list[Prediction]:
        contents = canonical(answered.values, answered.schema)
        examples = identities(contents, answered.schema)
        entities = answered.entities or [None] * len(answered.ids)
        served = answered.shadow_of or answered.ids
        scores = answered.probabilities.astype("<f4", copy=False)
        rows = []
        for n, identity in enumerate(answered.ids):
            if not self._drawn(served[n]):
                continue
            kept = contents[n] if self._keep and answered.shadow_of is None else None
            row = Prediction(
                identity, answered.at_s, answered.version, examples[n],
                entities[n], kept, scores[n].tobytes(), answered.latency_s,
                None if answered.shadow_of is None else served[n],
            )  # fmt: skip
            rows.append(self._redaction.redact(row) if self._redaction else row)
        if len(rows) < len(answered.ids):
            metrics.LOG_SAMPLED_OUT.inc(len(answered.ids) - len(rows))
        return rows

    def _drawn(self, identity: str) -> bool:
        if self._sample >= 1.0:
            return True
        return int(identity[-_DRAWN:], 16) < self._sample * _SPAN
