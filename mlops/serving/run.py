"""Run one batch: the champion's rows and the challenger's, each in one call of its model.

Pure of the event loop, so that a slow model may run in a thread. What a challenger fails to
answer, the champion answers: a canary costs its share of the users nothing but the time.
"""

from __future__ import annotations

import time
from itertools import accumulate, pairwise, repeat
from typing import TYPE_CHECKING

import numpy as np
import structlog

from mlops.serving import metrics
from mlops.serving.reply import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.serving.model import Model
    from mlops.serving.split import Arm

    Images = NDArray[np.uint8]
    Outcome = NDArray[np.float32] | Exception
    Ran = tuple[Model, Outcome]
    """The model that answered one request, and its float32 (N, classes), or why it could not."""

_SMOOTHING = 0.1


def run(
    images: list[Images], arms: Sequence[Arm], champion: Model, challenger: Model | None
) -> list[Ran]:
    """Return, for every request of a batch in order, who answered and what.

    Args:
        images: of every request, uint8 (N, H, W, C).
        arms: of every request, whose turn it is.
        champion: the model in service.
        challenger: the canary's; None if there is none.
    """
    if challenger is None:
        return [*zip(repeat(champion), _answers(champion, images), strict=False)]
    ran: list[Ran | None] = [None] * len(images)
    sides: tuple[tuple[Arm, Model], ...] = (("challenger", challenger), ("champion", champion))
    for arm, model in sides:
        mine = [n for n, whose in enumerate(arms) if whose == arm]
        for n, outcome in zip(mine, _counted(arm, model, [images[n] for n in mine]), strict=True):
            ran[n] = (model, outcome)
    for n, (model, outcome) in enumerate(found for found in ran if found):
        if model is challenger and isinstance(outcome, Exception):
            ran[n] = (champion, _answers(champion, [images[n]])[0])
    return [found for found in ran if found]


def _counted(arm: Arm, model: Model, images: list[Images]) -> list[Outcome]:
    """Answer one side's requests, and count for the canary's test who failed."""
    if not images:
        return []
    outcomes = _answers(model, images)
    failed = sum(isinstance(outcome, Exception) for outcome in outcomes)
    metrics.ARM_REQUESTS.labels(arm, "failed").inc(failed)
    metrics.ARM_REQUESTS.labels(arm, "answered").inc(len(outcomes) - failed)
    return outcomes


def _answers(model: Model, images: list[Images]) -> list[Outcome]:
    """Run a model once on many requests; on trouble once on each, to spare the innocent."""
    started = time.perf_counter()
    try:
        scores = model.predict(images[0] if len(images) == 1 else np.concatenate(images))
    except Exception as error:  # noqa: BLE001 - every waiting request must hear of it
        if len(images) > 1:
            return [outcome for one in images for outcome in _answers(model, [one])]
        metrics.MODEL_FAILURES.inc()
        structlog.get_logger().exception("the model failed", version=model.version)
        return [error]
    spent_s = time.perf_counter() - started
    row_s = spent_s / max(len(scores), 1)
    # A moment in which another process had the processor says nothing of the model.
    model.row_s += _SMOOTHING * (min(row_s, 2.0 * model.row_s) - model.row_s)
    whole = bool(np.isfinite(scores).all())
    ends = accumulate(map(len, images), initial=0)
    parts = [scores[start:end] for start, end in pairwise(ends)]
    if whole:
        return [*parts]
    return [part if np.isfinite(part).all() else _not_finite(model) for part in parts]


def _not_finite(model: Model) -> Refused:
    metrics.MODEL_FAILURES.inc()
    structlog.get_logger().error("the model's answer is not finite", version=model.version)
    return Refused(
        500, "model_failed", "the model's answer is not finite", remedy="send other rows"
    )
