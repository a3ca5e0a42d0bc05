"""Predictions, labels and scores as they travel: server, spool, database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LabelSource = Literal["random", "active", "user"]
LABEL_SOURCES: tuple[LabelSource, ...] = get_args(LabelSource)
"""How a row came to be labelled: drawn at random, chosen by a rule, or volunteered by a user."""

SCORES = (0.0, 1.0)
"""The range of a score."""

MAX_ENTITY = 200
REDACTED = "redacted-"
"""How an entity begins that was made unreadable before it was logged."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of one model version.

    Attributes:
        id: unique, sortable by time.
        at_s: when it was made, seconds since 1970.
        version: the model version that made it.
        example_id: `core.example.example_id` of its features.
        entity: what the caller says it belongs to, if anything.
        features: canonical bytes, of `mlops.core.features.canonical`; None when payloads are not
            kept.
        probabilities: float32, little-endian bytes, one per class; of a regression the quantiles
            of `mlops.core.schema.QUANTILES`.
        latency_s: from the whole request's arrival to the model's answer; of a shadow's, the
            model's own time.
        shadow_of: the prediction that was served, if this one only looked on; None if served.
        redacted: columns of a table that the model saw and that are missing in `features`, for
            nobody may read them; `example_id` is without them, too.
    """

    id: str
    at_s: float
    version: str
    example_id: str
    entity: str | None
    features: bytes | None
    probabilities: bytes
    latency_s: float
    shadow_of: str | None = None
    redacted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """One label for one prediction; the newest wins.

    Attributes:
        prediction_id: what it labels.
        label: index into the schema's classes; of a regression the number.
        label_source: how the row was chosen for labelling.
        at_s: when it was given, seconds since 1970.
    """

    prediction_id: str
    label: float
    label_source: LabelSource
    at_s: float


@dataclass(frozen=True, slots=True)
class Score:
    """How good somebody found one answer; the newest counts.

    It is no label: nothing learns from it and no gate sees it.

    Attributes:
        prediction_id: whose answer.
        score: from `SCORES[0]`, useless, to `SCORES[1]`, as good as can be.
        at_s: when it was given, seconds since 1970.
    """

    prediction_id: str
    score: float
    at_s: float


Given = Label | Score
"""What people give back to a prediction."""


@dataclass(frozen=True, slots=True)
class Logged:
    """A prediction as the database holds it.

    Attributes:
        seq: its place in the log; grows in the order of insertion.
        prediction: the row itself.
        scores: float32, (classes,): its probabilities as numbers.
    """

    seq: int
    prediction: Prediction
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A logged prediction with its newest label.

    Attributes:
        logged: the prediction.
        label: the newest label.
        label_seqs: places of the label rows that this one stands for, the newest last.
    """

    logged: Logged
    label: Label
    label_seqs: tuple[int, ...]
