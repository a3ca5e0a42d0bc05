"""The rows of one request: as they were written, and as the model sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.core.features import arrays
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import Schema


class Rows(NamedTuple):
    """Checked rows of one request.

    Attributes:
        values: as `mlops.core.features` says, for the prediction log.
        array: (N, *schema.shape) in schema.dtype, for the model.
        entities: one per row; None for no row having one.
        single: whether one row was sent as such, not as a list of one.
    """

    values: Any
    array: NDArray[Any]
    entities: Sequence[str | None] | None = None
    single: bool = False


def rows(
    values: Any,
    schema: Schema,
    entities: Sequence[str | None] | None = None,
    *,
    single: bool = False,
) -> Rows:
    """Return values with the array that a model takes; images are their own."""
    array = values if isinstance(schema, ImageSchema) else arrays(values, schema)
    return Rows(values, array, entities, single)
