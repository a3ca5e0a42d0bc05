"""The model card as files: gathered from what the steps left, written into the version's folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import dvc, files
from mlops.adapters.model_files import CARD, read_table
from mlops.core import card_text
from mlops.core.canonical import from_json, to_json
from mlops.core.card import Card, RowCount, Score, SliceScore
from mlops.core.schema import parse_schema, table_columns
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.card import CardSection
    from mlops.site import Site

JSON, MARKDOWN = "model_card.json", "model_card.md"
SNAPSHOT = "data/snapshot"
_MEASURED = (
    ("robustness", "robustness.csv"), ("fairness", "fairness.csv"),
    ("explanations", "explanations.png"),
)  # fmt: skip


@dataclass(frozen=True)
class Stated:
    """What the parameter file says for the card.

    Attributes:
        project: registered-model name.
        source: name of the data source.
        words: section `card`.
        target: name of the column with the labels; none where labels are no column.
    """

    project: str
    source: str
    words: CardSection
    target: str | None = None


def gather(site: Site, stated: Stated) -> Card:
    """Return the card of the candidate.

    Raises:
        DataError: if a file of `prepare`, `train` or `evaluate` is missing or lacks a key.
    """
    evaluation = site.layout.evaluation
    model = files.read_json(site.layout.candidate / CARD)
    intervals = _json(evaluation / "intervals.json")
    until = model.get("trained_until_s")
    try:
        schema = parse_schema(model.get("schema"), str(site.layout.candidate / CARD))
    except DataError as error:
        msg = f"{error}: schema is missing or damaged; run: mlops train"
        raise DataError(msg) from None
    return Card(
        project=stated.project,
        intended_use=stated.words.intended_use,
        licence=stated.words.licence,
        stated_limits=stated.words.limits,
        source=stated.source,
        snapshot=dvc.locked_md5s(site.layout.root).get(SNAPSHOT, ""),
        network=str(model.get("network", "unknown")),
        classes=schema.classes,
        shape=schema.shape,
        trained_until_s=float(until) if isinstance(until, int | float) else None,
        rows=_rows(site),
        confidence=float(intervals["confidence"]),
        scores=_scores(intervals["metrics"]),
        slices=tuple(_slice(row) for row in _table(evaluation / "slices.csv")),
        measured=tuple(name for name, file in _MEASURED if (evaluation / file).is_file()),
        kind=schema.kind,
        columns=tuple(column.name for column in table_columns(schema)),
        target=stated.target or "",
        start=start_words(model.get("start")),
        window=str(files.read_json(site.layout.prepared / "split.json").get("training_window", "")),
    )


def write(folder: Path, card: Card) -> None:
    """Write `model_card.json` and `model_card.md` into a folder."""
    files.write_text(folder / JSON, to_json(card) + "\n")
    files.write_text(folder / MARKDOWN, card_text.markdown(card))


def read(folder: Path) -> Card | None:
    """Read the card of a version's folder; nothing where it was registered without one.

    Raises:
        DataError: if it is there and is no card.
    """
    path = folder / JSON
    return from_json(Card, path.read_bytes()) if path.is_file() else None


def start_words(found: Any) -> str:
    """Return how training began, in words; empty where the parameters left no choice.

    Args:
        found: `start` of a candidate's `model.json`; nothing if it is not there.
    """
    return f"{found['kind']}; {found['why']}" if isinstance(found, dict) else ""


def _rows(site: Site) -> tuple[RowCount, ...]:
    path = site.layout.prepared / "split.json"
    counts = files.read_json(path).get("counts")
    if not isinstance(counts, dict):
        msg = f"{path}: counts is missing; run: mlops prepare"
        raise DataError(msg)
    reference = site.layout.evaluation / "reference.npz"
    if not reference.is_file():
        msg = f"{reference}: no such file; run: mlops evaluate"
        raise DataError(msg)
    with np.load(reference, allow_pickle=False) as held:
        known = {**counts, "reference": len(held["label"])}
    return tuple(RowCount(name, int(n)) for name, n in known.items())


def _scores(metrics: Any) -> tuple[Score, ...]:
    """Return the metrics that have an interval; one that the rows cannot answer has none."""
    parts = {name: [m[part] for part in ("value", "low", "high")] for name, m in metrics.items()}
    return tuple(Score(name, *map(float, m)) for name, m in parts.items() if None not in m)


def _slice(row: dict[str, str]) -> SliceScore:
    measure = "mae" if "mae" in row else "accuracy"
    accuracy, low, high = (float(row[n]) if row[n] else None for n in (measure, "low", "high"))
    return SliceScore(
        row["rows"], row["slice"], row["value"], int(row["n"]), accuracy, low, high
    )  # fmt: skip


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        msg = f"{path}: no such file; run: mlops evaluate"
        raise DataError(msg)
    return files.read_json(path)


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        msg = f"{path}: no such file; run: mlops evaluate"
        raise DataError(msg)
    return read_table(path)
