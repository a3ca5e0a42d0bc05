"""Look at every row of a snapshot: figures and flags that data checks are made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.core.appearance import appearance
from mlops.core.example import side
from mlops.core.features import canonical, identities
from mlops.core.grouping import split_keys
from mlops.core.schema import ImageSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from mlops.core.schema import Schema


@dataclass(frozen=True)
class SnapshotColumns:
    """The columns of a snapshot, as plain sequences of equal length.

    Attributes:
        example_id: identity.
        entity: what the row is about, None where not declared.
        group: near-duplicate group.
        observed_s: float64, seconds since 1970; NaN where there is no time.
        values: features, as in `mlops.core.features`; of images canonical bytes, of any length.
        label: index into the classes, or a number; None where there is none.
        label_source: how the row was chosen for labelling; None where unlabelled.
        origin: `base` or `production`.
    """

    example_id: Sequence[str]
    entity: Sequence[str | None]
    group: Sequence[str]
    observed_s: NDArray[np.float64]
    values: Any
    label: Sequence[float | None]
    label_source: Sequence[str | None]
    origin: Sequence[str]


@dataclass(frozen=True)
class Inspection:
    """One entry per row; None where a check does not apply to the row.

    Attributes:
        split_key: entity, else group.
        side: train, validation or test.
        label: name of the class, `#17` for an index outside the schema; of a regression the number.
        class_share: share of the labelled rows that have this row's label; None for a regression.
        intact: whether the bytes hash to `example_id`.
        duplicate: for base rows, whether the near-duplicate group holds another base row, other
            than of the same declared entity. Production repeats itself by nature.
        leaked: for rows of validation and test, whether the group holds a training row too.
        key_sides: on how many sides the split key stands; anything but 1 is a broken split.
        conflict: for base rows, whether the source gave these features two labels.
        looks: by name, what the features look like: see `mlops.core.appearance`.
    """

    split_key: list[str]
    side: list[str]
    label: list[str | None] | list[float | None]
    class_share: list[float | None]
    intact: list[bool]
    duplicate: list[bool | None]
    leaked: list[bool | None]
    key_sides: list[int]
    conflict: list[bool | None]
    looks: dict[str, Sequence[Any]]

    def table(self) -> dict[str, Sequence[Any]]:
        """Return every column by its name."""
        own = {name: value for name, value in vars(self).items() if name != "looks"}
        return {**own, **self.looks}


def inspect(
    rows: SnapshotColumns,
    schema: Schema,
    conflicting: frozenset[str],
    *,
    salt: str,
    validation: float,
    test: float,
) -> Inspection:
    """Inspect every row.

    Args:
        rows: the snapshot.
        schema: what its images and labels should be.
        conflicting: ids of base examples that came with two labels.
        salt: of the split, as the next two.
        validation: share of split keys.
        test: share of split keys.
    """
    keys = split_keys(rows.entity, rows.group)
    sides = [side(key, salt=salt, validation=validation, test=test) for key in keys]
    labels: list[Any] = [_name(label, schema) for label in rows.label]
    counts = Counter(label for label in labels if label is not None)
    whole = isinstance(schema, ImageSchema)
    ids = identities(rows.values if whole else canonical(rows.values, schema), schema)
    labelled = max(1, counts.total())
    sides_of_group, sides_of_key = _sides(rows.group, sides), _sides(keys, sides)
    return Inspection(
        split_key=keys,
        side=list(sides),
        label=labels,
        class_share=[
            None if name is None or not schema.classes else counts[name] / labelled
            for name in labels
        ],
        intact=[one == name for one, name in zip(ids, rows.example_id, strict=True)],
        duplicate=_duplicates(rows),
        leaked=[
            None if where == "train" else "train" in sides_of_group[group]
            for group, where in zip(rows.group, sides, strict=True)
        ],
        key_sides=[len(sides_of_key[key]) for key in keys],
        conflict=[
            name in conflicting if origin == "base" else None
            for name, origin in zip(rows.example_id, rows.origin, strict=True)
        ],
        looks=appearance(rows.values, schema, rows.origin),
    )


def _name(label: float | None, schema: Schema) -> str | float | None:
    if label is None or not schema.classes:
        return label
    index = int(label)
    return schema.classes[index] if 0 <= index < len(schema.classes) else f"#{index}"


def _sides(keys: Sequence[str], sides: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for key, where in zip(keys, sides, strict=True):
        found[key].add(where)
    return found


def _duplicates(rows: SnapshotColumns) -> list[bool | None]:
    base = [origin == "base" for origin in rows.origin]
    pairs = list(zip(rows.group, rows.entity, strict=True))
    in_group = Counter(group for group, own in zip(rows.group, base, strict=True) if own)
    of_entity = Counter(pair for pair, own in zip(pairs, base, strict=True) if own)
    return [
        in_group[pair[0]] > (1 if pair[1] is None else of_entity[pair]) if own else None
        for pair, own in zip(pairs, base, strict=True)
    ]
