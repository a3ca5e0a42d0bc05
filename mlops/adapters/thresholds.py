"""A version's reference and its calibrated thresholds, as files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.embedding import FILE as EMBEDDING
from mlops.adapters.files import digest, read_json, sha256, write_json
from mlops.adapters.sight import Sight, learn
from mlops.adapters.snapshot import has_label
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, calibrate
from mlops.core.continuous import SHARE, Detector, gathering
from mlops.core.drift import Reference, presort
from mlops.core.grouping import entity_keys
from mlops.core.likeness import SAMPLE_ROWS, Library, learn_library
from mlops.core.quality import hits, sound
from mlops.core.schema import ImageSchema, parse_schema
from mlops.core.thresholds import Thresholds
from mlops.core.usual import Usual, usual
from mlops.errors import DataError, MonitorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.core.columns import Columns
    from mlops.core.schema import Schema
    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site

_FILE = "thresholds.json"
_MEASURE = 6  # raise it when a column, a statistic or the drawing changes: it voids what is kept
_SHOWN = 6
_MIN_LABELS = 30


@dataclass(frozen=True)
class Baseline:
    """What windows of a version are compared with.

    Attributes:
        columns: of the reference rows.
        sight: that windows are seen by.
        in_order: whether the rows stand in the order of time.
        key: uint64, (N,): equal for rows of one entity.
        reference: the same, presorted.
        right: (N,): 1 where the version was right, 0 where it was not, NaN without a label; a
            regression is right where the target lies between its outer quantiles.
        accuracy: share of right answers; None with fewer than 30 labels.
        labels: of those rows.
        usual: what they hold, that windows must not break with.
        schema: of the version.
        shown: up to six images, uint8 (N, H, W, C), for the mail; none of other kinds.
        sample: of the examples, that known corruptions are tried on.
    """

    columns: Columns
    sight: Sight
    in_order: bool
    key: NDArray[np.uint64]
    reference: Reference
    right: NDArray[np.float64]
    accuracy: float | None
    labels: int
    usual: Usual
    schema: Schema
    shown: NDArray[np.uint8]
    sample: NDArray[Any]

    @cached_property
    def likenesses(self) -> Library | None:
        """What known corruptions would do to its pictures; nothing of other kinds."""
        if not isinstance(self.schema, ImageSchema):
            return None
        return learn_library(self.sample, self.schema)


def read_baseline(folder: Path) -> Baseline:
    """Read `reference.npz` of a model folder.

    Raises:
        MonitorError: if it is missing, damaged or empty: unknown is not healthy.
    """
    path = folder / "reference.npz"
    try:
        model = folder / "model.json"
        schema = parse_schema(read_json(model).get("schema"), str(model))
        with np.load(path, allow_pickle=False) as stored:
            features, answers = stored["features"], stored["probabilities"]
            label = stored["label"]
            times = stored["observed_s"] if "observed_s" in stored else np.full(len(label), np.nan)
            key = stored["key"] if "key" in stored else np.arange(len(label), dtype=np.uint64)
    except (OSError, ValueError, KeyError, EOFError, DataError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    fit = np.zeros(0, dtype=bool)
    if answers.ndim == 2:
        fit = sound(answers, regression=not schema.classes)
    if features.shape[1:] != schema.shape or len(fit) != len(features) or fit.sum() < 2:
        msg = f"{path}: {int(fit.sum())} usable rows of {len(features)}; run: mlops evaluate"
        raise MonitorError(msg)
    known = has_label(label) & fit
    right = np.full(len(label), np.nan)
    right[known] = hits(label[known], answers[known], regression=not schema.classes)
    in_order = bool(np.isfinite(times).all())
    order = np.argsort(times, kind="stable")
    order = order[fit[order]]
    key = entity_keys(key[order], features[order], schema)
    sight, rows = _learned(features[order], answers[order], key, schema, folder)
    return Baseline(
        columns=rows,
        sight=sight,
        in_order=in_order,
        key=key,
        reference=presort(rows),
        right=right[order],
        accuracy=float(right[known].mean()) if known.sum() >= _MIN_LABELS else None,
        labels=int(known.sum()),
        usual=usual(features, schema),
        schema=schema,
        shown=pictures(features, schema),
        sample=features[np.linspace(0, len(features) - 1, SAMPLE_ROWS).astype(np.int64)],
    )


def _learned(
    features: NDArray[Any],
    answers: NDArray[np.float32],
    key: NDArray[np.uint64],
    schema: Schema,
    folder: Path,
) -> tuple[Sight, Columns]:
    try:
        return learn(features, answers, key, schema, folder)
    except DataError as error:
        raise MonitorError(str(error)) from None


def pictures(features: NDArray[Any], schema: Schema) -> NDArray[np.uint8]:
    """Return the first six images for a mail; none where the examples are no images."""
    if isinstance(schema, ImageSchema):
        return features[:_SHOWN]
    return np.zeros((0, 1, 1, 1), dtype=np.uint8)


def rules(monitoring: MonitoringSection, pace_minutes: float | None = None) -> Rules:
    """Return what `params.yaml` asks of the calibration.

    Args:
        monitoring: the section.
        pace_minutes: minutes that a window takes, as seen; `window_minutes` before that is known.
    """
    m = monitoring
    minutes = m.window_minutes if pace_minutes is None else min(pace_minutes, m.window_minutes)
    return Rules(
        window_rows=m.window_rows,
        false_alarms=m.budget.count * (1 - SHARE if m.continuous else 1.0),
        per_windows=m.budget.per_windows(minutes),
        min_effect=m.min_effect, replicates=m.replicates, seed=m.seed,
        rule=Rule(m.raise_k, m.raise_n, m.clear_after),
    )  # fmt: skip


def detector(monitoring: MonitoringSection, pace_minutes: float | None = None) -> Detector | None:
    """Return what `params.yaml` asks of evidence that adds up over windows; None for nothing."""
    if not monitoring.continuous:
        return None
    return gathering(rules(monitoring, pace_minutes).rate)


def write_thresholds(folder: Path, monitoring: MonitoringSection) -> Thresholds:
    """Calibrate on `reference.npz` of a folder and write `thresholds.json` beside it.

    Raises:
        MonitorError: if the reference is unusable.
    """
    return _calibrated(folder, folder / _FILE, rules(monitoring))


def thresholds_for(
    site: Site, folder: Path, monitoring: MonitoringSection, pace_minutes: float | None = None
) -> Thresholds:
    """Return a version's thresholds; calibrate anew if they were made for other rules.

    A budget per year depends on how many windows a year has, which is known once some have come.
    What is made anew is kept in `.mlops/work/`, for the version's own files are sealed.

    Raises:
        MonitorError: if the reference is unusable.
    """
    source = _source(folder)
    kept = site.layout.work / "thresholds" / f"{source[:32]}.json"
    for path in (folder / _FILE, kept):
        found = _read(path, source, rules(monitoring, pace_minutes))
        if found is not None:
            return found
    return _calibrated(folder, kept, rules(monitoring, pace_minutes))


def _calibrated(folder: Path, path: Path, wanted: Rules) -> Thresholds:
    baseline = read_baseline(folder)
    made = calibrate(baseline.columns, wanted, in_order=baseline.in_order, key=baseline.key)
    write_json(path, {**_head(_source(folder), wanted), "thresholds": asdict(made)})
    return made


def _read(path: Path, source: str, wanted: Rules) -> Thresholds | None:
    """Return kept thresholds if they were made of this reference by these rules."""
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except DataError:
        return None  # damaged: as good as absent, they are calibrated anew
    if any(content.get(name) != value for name, value in _head(source, wanted).items()):
        return None
    stored: Any = content.get("thresholds")
    lists = {name: tuple(stored[name]) for name in ("columns", "limits", "means", "tail")}
    return Thresholds(**{**stored, **lists})


def _source(folder: Path) -> str:
    """Return the digest of what the reference's columns are made of."""
    paths = [folder / name for name in ("reference.npz", EMBEDDING)]
    return digest({path.name: sha256(path) for path in paths if path.is_file()})


def _head(reference: str, wanted: Rules) -> dict[str, object]:
    return {"measure": _MEASURE, "reference": reference, "rules": asdict(wanted)}
