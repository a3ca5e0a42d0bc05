"""Look at every row of a snapshot: figures and flags that data checks are made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.example import example_id, side
from mlops.core.grouping import split_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlops.core.schema import ImageSchema

_BATCH = 4096


@dataclass(frozen=True)
class SnapshotColumns:
    """The columns of a snapshot, as plain sequences of equal length.

    Attributes:
        example_id: identity.
        entity: what the image shows, None where not declared.
        group: near-duplicate group.
        observed_s: float64, seconds since 1970; NaN where there is no time.
        image: canonical bytes.
        label: index into the classes; None where there is none.
        label_source: how the row was chosen for labelling; None where unlabelled.
        origin: `base` or `production`.
    """

    example_id: Sequence[str]
    entity: Sequence[str | None]
    group: Sequence[str]
    observed_s: NDArray[np.float64]
    image: Sequence[bytes]
    label: Sequence[int | None]
    label_source: Sequence[str | None]
    origin: Sequence[str]


@dataclass(frozen=True)
class Inspection:
    """One entry per row; None where a check does not apply to the row.

    Attributes:
        split_key: entity, else group.
        side: train, validation or test.
        label: name of the class; `#17` for an index outside the schema.
        class_share: share of the labelled rows that have this row's label.
        size_bytes: bytes of the image.
        mean: of the pixels, 0 to 255; None for images of the wrong size, as the next three.
        std: standard deviation of the pixels.
        high: brightest pixel.
        constant: whether the image is one flat colour.
        intact: whether the bytes hash to `example_id`.
        duplicate: for base rows, whether the near-duplicate group holds another base row, other
            than of the same declared entity. Production repeats itself by nature.
        leaked: for rows of validation and test, whether the group holds a training row too.
        key_sides: on how many sides the split key stands; anything but 1 is a broken split.
        conflict: for base rows, whether the source gave these features two labels.
    """

    split_key: list[str]
    side: list[str]
    label: list[str | None]
    class_share: list[float | None]
    size_bytes: list[int]
    mean: list[float | None]
    std: list[float | None]
    high: list[int | None]
    constant: list[bool | None]
    intact: list[bool]
    duplicate: list[bool | None]
    leaked: list[bool | None]
    key_sides: list[int]
    conflict: list[bool | None]


def inspect(
    rows: SnapshotColumns,
    schema: ImageSchema,
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
    labels = [_name(label, schema) for label in rows.label]
    counts = Counter(label for label in labels if label is not None)
    labelled = max(1, counts.total())
    sides_of_group, sides_of_key = _sides(rows.group, sides), _sides(keys, sides)
    mean, std, high, constant = _pixels(rows.image, schema)
    return Inspection(
        split_key=keys,
        side=list(sides),
        label=labels,
        class_share=[None if name is None else counts[name] / labelled for name in labels],
        size_bytes=[len(image) for image in rows.image],
        mean=mean,
        std=std,
        high=high,
        constant=constant,
        intact=[
            example_id(image, schema.shape) == name
            for name, image in zip(rows.example_id, rows.image, strict=True)
        ],
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
    )


def _name(label: int | None, schema: ImageSchema) -> str | None:
    if label is None:
        return None
    return schema.classes[label] if 0 <= label < len(schema.classes) else f"#{label}"


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


def _pixels(
    images: Sequence[bytes], schema: ImageSchema
) -> tuple[list[float | None], list[float | None], list[int | None], list[bool | None]]:
    """Return mean, standard deviation, maximum and flatness; None for images of a wrong size."""
    mean: list[float | None] = [None] * len(images)
    std: list[float | None] = [None] * len(images)
    high: list[int | None] = [None] * len(images)
    constant: list[bool | None] = [None] * len(images)
    sound = [row for row, image in enumerate(images) if len(image) == schema.size_bytes]
    for start in range(0, len(sound), _BATCH):
        rows = sound[start : start + _BATCH]
        joined = np.frombuffer(b"".join(images[row] for row in rows), np.uint8)
        # Flat means flat in every channel: a red square is constant too.
        x_NPC = joined.reshape(len(rows), -1, schema.channels)
        flat = (x_NPC == x_NPC[:, :1]).all(axis=(1, 2))
        x_NP = joined.reshape(len(rows), -1)
        figures = (x_NP.mean(axis=1), x_NP.std(axis=1), x_NP.max(axis=1), flat)
        for row, a, b, c, d in zip(rows, *(f.tolist() for f in figures), strict=True):
            mean[row], std[row], high[row], constant[row] = a, b, c, d
    return mean, std, high, constant
