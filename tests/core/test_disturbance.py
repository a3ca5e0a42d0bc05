"""What happens to rows and texts on their way: how much, how often, and to nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.core.disturbance import disturb, disturb_mix, names
from mlops.core.schema import Column, TableSchema, TextSchema

TABLE = TableSchema(
    ("a", "b"),
    (Column("n", "number"), Column("half", "number"), Column("c", "category", ("x", "y", "z"))),
)
TEXT = TextSchema(("a", "b"), 64)
ROWS = 4000


def rows() -> np.ndarray:
    rng = np.random.default_rng(0)
    half = np.where(rng.random(ROWS) < 0.5, np.nan, rng.normal(100.0, 2.0, ROWS))
    return np.column_stack([rng.normal(0.0, 3.0, ROWS), half, rng.integers(0, 3, ROWS)])


def texts() -> np.ndarray:
    line = b"The quick brown fox, 42 of them, jumps.".ljust(64, b"\0")
    return np.frombuffer(line * 500, dtype=np.uint8).reshape(500, 64)


def test_noise_is_a_share_of_each_columns_own_spread_and_names_have_none() -> None:
    given = rows()
    changed = disturb(given, TABLE, "noise", 3, np.random.default_rng(1))
    by = changed - given
    assert by[:, 0].std() == pytest.approx(0.2 * 3.0, rel=0.05)
    # Half of its values are missing: the rest is no wider for that.
    assert np.nanstd(by[:, 1]) == pytest.approx(0.2 * 2.0, rel=0.05)
    assert np.array_equal(np.isnan(changed), np.isnan(given))
    assert not by[:, 2].any()


def test_a_column_without_a_value_stays_so() -> None:
    given = np.full((5, 3), np.nan)
    for name in names(TABLE):
        assert np.isnan(disturb(given, TABLE, name, 5, np.random.default_rng(1))).all()


@pytest.mark.parametrize(("severity", "share"), [(1, 0.02), (5, 0.4)])
def test_values_go_missing_or_come_from_other_rows(severity: int, share: float) -> None:
    given = rows()
    gone = disturb(given, TABLE, "missing", severity, np.random.default_rng(1))
    assert np.isnan(gone[:, 0]).mean() == pytest.approx(share, abs=0.02)
    swapped = disturb(given, TABLE, "swap", severity, np.random.default_rng(1))
    moved = swapped[:, 0] != given[:, 0]
    assert moved.mean() == pytest.approx(share, abs=0.02)
    assert np.isin(swapped[:, 0], given[:, 0]).all()
    assert set(np.unique(swapped[:, 2])) == {0.0, 1.0, 2.0}


@pytest.mark.parametrize("name", names(TEXT))
def test_letters_alone_change(name: str) -> None:
    given = texts()
    changed = disturb(given, TEXT, name, 5, np.random.default_rng(1))
    assert changed.shape == given.shape
    assert changed.dtype == np.uint8
    assert (changed != given).any(axis=1).mean() > 0.9
    letters = np.frombuffer(bytes(range(97, 123)) + bytes(range(65, 91)), dtype=np.uint8)
    for before, after in zip(given, changed, strict=True):
        rest = [row[(row > 0) & ~np.isin(row, letters)].tobytes() for row in (before, after)]
        assert rest[0] == rest[1]
        if name == "swaps":
            assert np.array_equal(np.sort(before), np.sort(after))
        if name == "drops":
            assert not after[int((after > 0).sum()) :].any()


@pytest.mark.parametrize(("schema", "given"), [(TABLE, rows()), (TEXT, texts())])
def test_equal_chance_gives_equal_copies_and_leaves_the_original(
    schema: TableSchema | TextSchema, given: np.ndarray
) -> None:
    before = given.copy()
    one, two = (disturb_mix(given, schema, 3, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, two, equal_nan=schema is TABLE)
    assert np.array_equal(given, before, equal_nan=schema is TABLE)
    assert not np.array_equal(one, given, equal_nan=schema is TABLE)
    assert disturb(given[:0], schema, names(schema)[0], 1, np.random.default_rng(0)).shape[0] == 0
    with pytest.raises(ValueError, match=r"one of .* at 1 to 5"):
        disturb(given, schema, "fog", 1, np.random.default_rng(0))
