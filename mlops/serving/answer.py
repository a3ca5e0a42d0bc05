"""What a caller is told of each row: class and probabilities, or a number and its interval."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mlops.core.schema import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.schema import Schema

_HEADER_IDS = 16


def named(
    schema: Schema, outputs: NDArray[np.float32], ids: Sequence[str], top_k: int | None = None
) -> list[dict[str, Any]]:
    """Return one answer per row.

    Args:
        schema: of the model that answered.
        outputs: float32 (N, classes), or (N, quantiles) for regression.
        ids: one per row.
        top_k: most classes to be told, the likeliest first; None: all, in the schema's order.
    """
    one = partial(_class, schema.classes, top_k) if schema.classes else _number
    return [*map(one, outputs.tolist(), ids)]


def headers(version: str, ids: Sequence[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return version and ids as headers; of many rows only the first few, the body has all."""
    return (
        (b"x-model-version", version.encode()),
        (b"x-prediction-id", ",".join(ids[:_HEADER_IDS]).encode()),
    )


def _class(
    classes: Sequence[str], top_k: int | None, scores: Sequence[float], identity: str
) -> dict[str, Any]:
    highest = max(scores)
    best = scores.index(highest)
    told = zip(classes, scores, strict=True)
    if top_k is not None:
        told = sorted(told, key=lambda pair: -pair[1])[:top_k]  # type: ignore[assignment]
    return {
        "prediction_id": identity, "class": classes[best], "label": best,
        "probability": highest, "probabilities": dict(told),
    }  # fmt: skip


def _number(quantiles: Sequence[float], identity: str) -> dict[str, Any]:
    named = {f"{level:g}": value for level, value in zip(QUANTILES, quantiles, strict=True)}
    middle = quantiles[len(quantiles) // 2]
    return {"prediction_id": identity, "value": middle, "quantiles": named}
