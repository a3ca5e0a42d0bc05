"""The suite of data checks in Great Expectations' words: what a snapshot must satisfy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.core.appearance import COLUMN
from mlops.core.schema import ImageSchema, TableSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.schema import Schema
    from mlops.params.checks import ChecksSection

_YEAR_2000_S = 946_684_800.0
_LARGEST = 1.7e308  # float64's own limit, which JSON can hold
_GARBLED, _CUT = 0.01, 0.05  # shares of texts
_DIM = 32  # an image set whose brightest pixel is darker was scaled to 0…1 or 0…16, not 0…255


def expectations(schema: Schema, checks: ChecksSection) -> list[Any]:
    """Return the expectations; each has its name, in the project's words, in `meta["name"]`.

    Args:
        schema: what features and labels should be.
        checks: the limits.
    """
    import great_expectations.expectations as gxe

    return [
        *_identity(gxe),
        *_labels(gxe, schema, checks),
        *_features(gxe, schema, checks),
        _only(
            gxe,
            "duplicate",
            "few base rows are near-copies",
            values=[False],
            most=checks.max_duplicate_share,
        ),
        *_split(gxe, checks),
        *_times(gxe),
    ]


def _identity(gxe: Any) -> Iterator[Any]:
    yield gxe.ExpectColumnValuesToMatchRegex(
        column="example_id", regex="^[0-9a-f]{32}$", meta={"name": "example ids are hashes"}
    )
    yield gxe.ExpectColumnValuesToBeUnique(
        column="example_id", meta={"name": "example ids are unique"}
    )
    yield _only(gxe, "intact", "bytes match their example id", values=[True])
    yield gxe.ExpectColumnValuesToNotBeNull(
        column="split_key", meta={"name": "every row has a split key"}
    )
    yield _only(gxe, "origin", "origins are known", values=["base", "production"])
    yield _only(
        gxe, "label_source", "label sources are known",
        values=["source", "random", "active", "user"],
    )  # fmt: skip


def _labels(gxe: Any, schema: Schema, checks: ChecksSection) -> Iterator[Any]:
    yield gxe.ExpectTableRowCountToBeBetween(
        min_value=checks.min_rows, meta={"name": "there are enough rows"}
    )
    yield from _classes(gxe, schema, checks) if schema.classes else _targets(gxe)
    yield gxe.ExpectColumnValuesToNotBeNull(
        column="label", mostly=1.0 - checks.max_unlabelled_share,
        meta={"name": "enough rows are labelled"},
    )  # fmt: skip
    yield _only(
        gxe, "conflict", "equal features have equal labels", values=[False],
        most=checks.max_conflict_share,
    )  # fmt: skip


def _classes(gxe: Any, schema: Schema, checks: ChecksSection) -> Iterator[Any]:
    yield _only(gxe, "label", "labels are known", values=list(schema.classes))
    yield gxe.ExpectColumnDistinctValuesToContainSet(
        column="label", value_set=list(schema.classes), meta={"name": "every class has rows"}
    )
    yield gxe.ExpectColumnValuesToBeBetween(
        column="class_share", min_value=checks.min_class_share,
        meta={"name": "no class is too rare"},
    )  # fmt: skip


def _targets(gxe: Any) -> Iterator[Any]:
    yield gxe.ExpectColumnValuesToBeBetween(
        column="label", min_value=-_LARGEST, max_value=_LARGEST,
        meta={"name": "targets are finite"},
    )  # fmt: skip
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(
        column="label", min_value=2, meta={"name": "the target varies"}
    )


def _features(gxe: Any, schema: Schema, checks: ChecksSection) -> Iterator[Any]:
    if isinstance(schema, ImageSchema):
        yield from _images(gxe, schema, checks)
        return
    yield _only(
        gxe, "empty", "examples are not empty", values=[False], most=checks.max_constant_share
    )
    if isinstance(schema, TableSchema):
        yield from _table(gxe, schema, checks)
    else:
        yield from _texts(gxe)


def _table(gxe: Any, schema: TableSchema, checks: ChecksSection) -> Iterator[Any]:
    """Expect of each column what its kind allows; what only looks odd is a warning."""
    for column in schema.columns:
        name, where = f"{COLUMN}{column.name}", f"of {column.name}"
        yield gxe.ExpectColumnToExist(column=name, meta={"name": f"{column.name} is there"})
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=name, mostly=1.0 - checks.max_missing_share,
            meta={"name": f"enough values {where}"},
        )  # fmt: skip
        yield gxe.ExpectColumnUniqueValueCountToBeBetween(
            column=name, min_value=2, severity="warning", meta={"name": f"values {where} vary"}
        )
        if column.kind == "category":
            yield _only(gxe, name, f"categories {where} are known", values=list(column.categories))
            continue
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=-_LARGEST, max_value=_LARGEST,
            meta={"name": f"values {where} are finite"},
        )  # fmt: skip
    yield _only(
        gxe, "novel", "production values lie within those of the base rows", values=[False],
        most=checks.max_novel_share, severity="warning",
    )  # fmt: skip


def _texts(gxe: Any) -> Iterator[Any]:
    yield _only(
        gxe, "garbled", "texts are soundly encoded", values=[False], most=_GARBLED
    )  # fmt: skip
    yield _only(
        gxe, "cut", "texts fit into data.max_bytes", values=[False], most=_CUT, severity="warning"
    )


def _images(gxe: Any, schema: ImageSchema, checks: ChecksSection) -> Iterator[Any]:
    yield _only(gxe, "size_bytes", "images have the schema's size", values=[schema.size_bytes])
    yield _only(
        gxe, "constant", "images are not one flat colour", values=[False],
        most=checks.max_constant_share,
    )  # fmt: skip
    yield gxe.ExpectColumnMaxToBeBetween(
        column="high", min_value=_DIM, severity="warning",
        meta={"name": "pixels use the range 0 to 255"},
    )  # fmt: skip
    yield gxe.ExpectColumnValuesToBeBetween(
        column="mean", min_value=2, max_value=253, mostly=0.99, severity="warning",
        meta={"name": "images are neither black nor white"},
    )  # fmt: skip


def _split(gxe: Any, checks: ChecksSection) -> Iterator[Any]:
    yield gxe.ExpectColumnDistinctValuesToEqualSet(
        column="side", value_set=["train", "validation", "test"],
        meta={"name": "every side of the split has rows"},
    )  # fmt: skip
    yield _only(gxe, "key_sides", "no split key stands on two sides", values=[1])
    yield _only(
        gxe, "leaked", "few held-out rows have near-copies in training", values=[False],
        most=checks.max_duplicate_share,
    )  # fmt: skip


def _times(gxe: Any) -> Iterator[Any]:
    yield _only(gxe, "future", "nothing was observed in the future", values=[False])
    yield gxe.ExpectColumnValuesToBeBetween(
        column="observed_s", min_value=_YEAR_2000_S, severity="warning",
        meta={"name": "times are later than the year 2000"},
    )  # fmt: skip
    yield _only(gxe, "untimed", "production rows have times", values=[False])


def _only(
    gxe: Any, column: str, name: str, *, values: list[Any], most: float = 0.0,
    severity: str = "critical",
) -> Any:  # fmt: skip
    """Expect nothing but `values` in a column, except in a share of at most `most`."""
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=values, mostly=1.0 - most, meta={"name": name}, severity=severity
    )
