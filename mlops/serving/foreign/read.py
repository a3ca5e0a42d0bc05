"""Bodies for a model from elsewhere: strict JSON, CSV, Parquet, Arrow → what MLflow makes of it.

Nothing but sizes is checked here: the model's signature checks the rest, in MLflow's own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.serving import columnar, parse
from mlops.serving.frame import too_many
from mlops.serving.payload import FORMATS
from mlops.serving.readers import FORM, IMAGES
from mlops.serving.reply import Refused, invalid, malformed
from mlops.serving.request import media_type

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops.adapters.foreign import ForeignModel
    from mlops.serving.request import Scope

KINDS = ("application/json", "text/csv", *columnar.KINDS)


@dataclass(frozen=True, slots=True)
class Sent:
    """What one request holds.

    Attributes:
        content: one of MLflow's formats; None for anything but JSON.
        csv: the text of a CSV.
        batches: of Parquet or Arrow.
        params: of the call, as MLflow has them.
        single: whether one row was sent as such, not as a list of one.
    """

    content: dict[str, Any] | None = None
    csv: str = ""
    batches: list[pa.RecordBatch] | None = None
    params: dict[str, Any] | None = None
    single: bool = False

    def data(self, model: ForeignModel) -> Any:
        """Return what the model takes; slow, for MLflow parses it."""
        if self.batches is not None:
            return model.read_batches(self.batches)
        return model.read_csv(self.csv) if self.content is None else model.read_json(self.content)


def body_kind(scope: Scope) -> str:
    """Return the media type of a body.

    Raises:
        Refused: 415 for one that is not read.
    """
    kind = media_type(scope)
    if kind in IMAGES or kind == FORM:
        raise Refused(
            415, "unsupported_type", "pictures are not decoded for a model from elsewhere: its "
            "signature does not say how they become its numbers",
            remedy='decode it yourself, and send its numbers as a tensor (/v2/models/NAME/infer) '
            'or as {"inputs": [image, …]}',
        )  # fmt: skip
    if kind not in KINDS:
        raise Refused(415, "unsupported_type", "this Content-Type is not read",
                      remedy=f"send {' or '.join(KINDS)}")  # fmt: skip
    return kind


def invoking(body: bytes, kind: str, max_rows: int) -> Sent:
    """Read a body of `/invocations`.

    Raises:
        Refused: 400 unless exactly one format key stands there, 413 or 422 for its size.
    """
    if kind != "application/json":
        return _frame(body, kind, max_rows)
    content = parse.parse(body).content
    params = content.pop("params", None)
    if len(content) != 1 or next(iter(content)) not in FORMATS:
        raise malformed(f"the object must have exactly one of the keys {', '.join(FORMATS)}",
                        remedy='send {"inputs": [row, …]}')  # fmt: skip
    if not isinstance(params, dict | None):
        raise invalid("must be an object", field="params")
    name, value = next(iter(content.items()))
    _count(value.get("data") if name == "dataframe_split" and isinstance(value, dict) else value,
           name, max_rows)  # fmt: skip
    return Sent(content, params=params)


def predicting(body: bytes, kind: str, names: list[str], max_rows: int) -> Sent:
    """Read a body of `/predict`: one row under `row`, or many under `rows`.

    Args:
        body: as it came.
        kind: its media type.
        names: of the model's columns, for rows that are lists; none if it takes tensors.
        max_rows: of one request.

    Raises:
        Refused: 413, or 422 for anything else.
    """
    if kind != "application/json":
        return _frame(body, kind, max_rows)
    content = parse.parse(body).content
    single = set(content) == {"row"}
    if not single and set(content) != {"rows"}:
        raise invalid('the object must hold "row", or "rows"', remedy='send {"rows": [row, …]}')
    rows = [content["row"]] if single else content["rows"]
    _count(rows, "row" if single else "rows", max_rows)
    if not names:
        return Sent({"inputs": rows}, single=single)
    if all(isinstance(row, dict) for row in rows):
        return Sent({"dataframe_records": rows}, single=single)
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise invalid(f"every row must be an object, or a list of {len(names)} values",
                      field="row" if single else "rows")  # fmt: skip
    return Sent({"dataframe_split": {"columns": names, "data": rows}}, single=single)


def _frame(body: bytes, kind: str, max_rows: int) -> Sent:
    """Read rows under named columns; both doors take them."""
    if kind in columnar.KINDS:
        return Sent(batches=columnar.record_batches(body, kind, max_rows))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise malformed("the CSV is not UTF-8", remedy="save it as UTF-8") from None
    too_many(text.count("\n") - 1, max_rows, "csv")  # at least so many lines below the names
    return Sent(csv=text)


def _count(value: Any, field: str, max_rows: int) -> None:
    """Check that there are rows and not too many, whatever they are."""
    parts = list(value.values()) if isinstance(value, dict) else [value]
    lengths = [len(part) if isinstance(part, list) else 1 for part in parts]
    if not parts or not all(lengths) or value is None:
        raise invalid("must hold at least one row", field=field)
    too_many(max(lengths), max_rows, field)
