"""Step `prepare`: the snapshot → arrays ready for training, the gate and the monitor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters import snapshot
from mlops.adapters.files import digest_path, read_json, replacing, write_json
from mlops.adapters.snapshot import Rows, write_rows
from mlops.adapters.weighing import write_weights
from mlops.core import features
from mlops.core.example import key_hash, side
from mlops.core.grouping import split_keys
from mlops.core.partition import SplitRows, partition
from mlops.core.statistics import measure
from mlops.core.training_window import Window, choose
from mlops.errors import CheckFailed, DataError
from mlops.params.base import View
from mlops.params.holdout import HoldoutSection
from mlops.params.split import SplitSection
from mlops.params.training_window import TrainingWindowSection
from mlops.site import Report, Site

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PARTS = ("train", "validation", "test", "recent", "reference")
_NEEDED = ("train", "validation", "test")


class PrepareParams(View):
    """What `prepare` may see."""

    split: SplitSection
    holdout: HoldoutSection
    training_window: TrainingWindowSection


def prepare(params: PrepareParams, site: Site) -> Report:
    """Write the five parts, the keys that were seen, and `split.json`.

    The training window thins out `train` alone. `seen` keeps the keys of the rows that it left
    out: the gate takes them for known, which can only make it stricter.

    Raises:
        CheckFailed: if a side is empty or of one class.
        DataError: if the snapshot was not validated.
    """
    _need_checks(site)
    rows, sides = _rows(params.split, site)
    dealt = partition(
        SplitRows(
            side=sides, labelled=rows.labelled, production=rows.production,
            observed_s=rows.observed_s, key=rows.key, active=rows.label_source == "active",
        ),
        recent_share=params.holdout.recent_share, gap_s=params.holdout.gap_s,
        reference_rows=params.holdout.reference_rows,
    )  # fmt: skip
    window = Window(**params.training_window.model_dump())
    may = rows.take(dealt.train)
    chosen = choose(window, may.observed_s, may.production, may.key)
    dealt = replace(dealt, train=dealt.train[chosen.index])
    parts = {name: rows.take(getattr(dealt, name)) for name in _PARTS}
    for name in _NEEDED:
        _need_classes(name, parts[name], len(rows))
    folder = site.out(site.layout.prepared)
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        write_rows(folder / f"{name}.npz", part)
    if window.policy == "weighted":
        write_weights(folder, chosen.weight)
    with replacing(folder / "seen.npy") as temporary, temporary.open("wb") as stream:
        np.save(stream, dealt.seen, allow_pickle=False)
    counts = {name: len(part) for name, part in parts.items()}
    schema = snapshot.read_schema(site.layout.snapshot)
    statistics = measure(parts["train"].features, parts["train"].label, schema)
    write_json(folder / "split.json", {
        "schema": read_json(site.layout.snapshot / "schema.json"),
        "split": params.split.model_dump(), **statistics.plain(),
        "trained_until_s": dealt.trained_until_s, "cutoff_s": dealt.cutoff_s, "counts": counts,
        **({} if window.policy == "all" else {"training_window": chosen.words}),
    })  # fmt: skip
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    trained = "" if window.policy == "all" else f"; to train: {chosen.words}"
    return Report(summary=f"rows: {summary}{trained}", facts=dict(counts))


def _need_checks(site: Site) -> None:
    """Refuse a snapshot that nothing has checked, or that changed after it was checked."""
    path = site.layout.checked
    checked = read_json(path) if path.is_file() else {}
    if checked.get("snapshot") != digest_path(site.layout.snapshot):
        what = "is of another snapshot" if checked else "is missing"
        msg = f"{path} {what}: data/snapshot has not been checked; run: mlops validate"
        raise DataError(msg)


def _rows(split: SplitSection, site: Site) -> tuple[Rows, NDArray[np.str_]]:
    """Return every row of the snapshot and the side it stands on."""
    folder = site.layout.snapshot
    schema = snapshot.read_schema(folder)
    table = snapshot.read_shards(folder, schema)
    if table.num_rows == 0:
        msg = f"{folder}: holds no examples; run: mlops ingest"
        raise CheckFailed(msg)
    names = ("example_id", "entity", "group", "observed_at", "label", "label_source", "origin")
    column = {name: table.column(name).to_pylist() for name in names}
    keys = split_keys(column["entity"], column["group"])
    times = [np.nan if at is None else at.timestamp() for at in column["observed_at"]]
    rows = Rows(
        features=features.arrays(snapshot.values(table, schema), schema),
        label=_labels(column["label"], classes=len(schema.classes)),
        example_id=np.array(column["example_id"], np.str_),
        key=np.array([key_hash(key) for key in keys], np.uint64),
        observed_s=np.array(times, np.float64),
        production=np.array([origin == "production" for origin in column["origin"]], np.bool_),
        label_source=np.array([source or "" for source in column["label_source"]], np.str_),
    )
    sides = [
        side(key, salt=split.salt, validation=split.validation, test=split.test) for key in keys
    ]
    return rows, np.array(sides, np.str_)


def _labels(labels: list[Any], *, classes: int) -> NDArray[Any]:
    """Return labels as `Rows` holds them."""
    if not classes:
        return np.array([np.nan if label is None else label for label in labels], np.float64)
    return np.array([-1 if label is None else label for label in labels], np.int64)


def _need_classes(name: str, part: Rows, total: int) -> None:
    """Refuse a side on which nothing can be learnt or judged: of one class, or of one number."""
    classes = np.unique(part.label)
    if len(classes) >= 2:
        return
    kind = "class" if part.label.dtype.kind == "i" else "value"
    what = "no labelled rows" if len(part) == 0 else f"rows of one {kind} only ({classes[0]})"
    msg = (
        f"data/snapshot: the {name} side has {what} among {total} examples; "
        f"add labelled data of other {kind}{'es' if kind == 'class' else 's'}, or raise that "
        "side's share in params.yaml: split"
    )
    raise CheckFailed(msg)
