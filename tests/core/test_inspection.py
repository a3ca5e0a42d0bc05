from __future__ import annotations

from typing import Any

import numpy as np

from mlops.core.example import side
from mlops.core.inspection import Inspection, SnapshotColumns, inspect
from tests.examples import SCHEMA, base_rows, production_rows


def _inspect(rows: list[dict[str, Any]], conflicting: frozenset[str] = frozenset()) -> Inspection:
    names = ("example_id", "entity", "group", "label", "label_source", "origin")
    columns = {name: [row[name] for row in rows] for name in names}
    times = np.array([np.nan if (at := r["observed_at"]) is None else at.timestamp() for r in rows])
    values = [row["image"] for row in rows]
    return inspect(
        SnapshotColumns(observed_s=times, values=values, **columns), SCHEMA, conflicting,
        salt="1", validation=0.2, test=0.3,
    )  # fmt: skip


def test_sound_rows_raise_no_flag() -> None:
    found = _inspect(base_rows(30))
    assert set(found.intact) == {True}
    assert set(found.duplicate) == {False}
    assert set(found.key_sides) == {1}
    assert set(found.class_share) == {1 / 3}
    assert found.label[:3] == list(SCHEMA.classes)


def test_labels_outside_the_schema_and_missing_ones_are_told_apart() -> None:
    rows = base_rows(3)
    rows[0]["label"], rows[1]["label"] = 17, None
    found = _inspect(rows)
    assert found.label == ["#17", None, "none"]
    assert found.class_share == [0.5, None, 0.5]


def test_damaged_bytes_are_seen_and_images_of_a_wrong_size_have_no_figures() -> None:
    rows = base_rows(3)
    rows[1]["image"] = b"short"
    found = _inspect(rows)
    assert found.intact == [True, False, True]
    assert found.looks["size_bytes"] == [36, 5, 36]
    assert found.looks["mean"][1] is None
    assert found.looks["constant"] == [False, None, False]


def test_a_flat_image_is_constant_and_has_its_figures() -> None:
    rows = base_rows(2)
    rows[0]["image"] = bytes([9]) * 36
    found = _inspect(rows)
    assert (
        found.looks["constant"],
        found.looks["mean"][0],
        found.looks["std"][0],
        found.looks["high"][0],
    ) == ([True, False], 9, 0, 9)


def test_near_copies_count_unless_they_are_of_one_entity_or_of_production() -> None:
    rows = base_rows(5)
    for row, entity in zip(rows, (None, None, "a", "a", "b"), strict=True):
        row["entity"] = entity
    rows[1]["group"] = rows[0]["group"]
    rows[3]["group"] = rows[2]["group"]
    copies = production_rows(1, group=rows[4]["group"])
    assert _inspect([*rows, *copies]).duplicate == [True, True, False, False, False, None]


def test_a_held_out_row_with_a_near_copy_in_training_has_leaked() -> None:
    sides = {e: side(e, salt="1", validation=0.2, test=0.3) for e in map(str, range(50))}
    trained = next(e for e, where in sides.items() if where == "train")
    held_out = next(e for e, where in sides.items() if where == "test")
    rows = base_rows(2)
    rows[0]["entity"], rows[1]["entity"] = trained, held_out
    assert _inspect(rows).leaked == [None, False]
    rows[1]["group"] = rows[0]["group"]
    assert _inspect(rows).leaked == [None, True]


def test_conflicts_are_a_matter_of_base_rows() -> None:
    rows = [*base_rows(2), *production_rows(1)]
    ids = frozenset({rows[1]["example_id"], rows[2]["example_id"]})
    assert _inspect(rows, ids).conflict == [False, True, None]
