"""A version's reference and its calibrated thresholds, as files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import read_json, sha256, write_json
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, Thresholds, calibrate
from mlops.core.columns import Columns, blank, columns
from mlops.core.drift import Reference, presort
from mlops.core.quality import sound
from mlops.errors import DataError, MonitorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site

_FILE = "thresholds.json"
_MEASURE = 1  # raise it when a column or a statistic changes: kept thresholds are then void
_SHOWN = 6
_MIN_LABELS = 30


@dataclass(frozen=True)
class Baseline:
    """What windows of a version are compared with.

    Attributes:
        columns: of the reference rows.
        reference: the same, presorted.
        accuracy: of the version on them; None with fewer than 30 labels.
        blank_share: share of one-coloured images.
        shape: of one image: (height, width, channels).
        shown: up to six images, uint8 (N, H, W, C), for the mail.
    """

    columns: Columns
    reference: Reference
    accuracy: float | None
    blank_share: float
    shape: tuple[int, int, int]
    shown: NDArray[np.uint8]


def read_baseline(folder: Path) -> Baseline:
    """Read `reference.npz` of a model folder.

    Raises:
        MonitorError: if it is missing, damaged or empty: unknown is not healthy.
    """
    path = folder / "reference.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            image, probabilities = stored["features"], stored["probabilities"]
            label = stored["label"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        msg = f"{path}: no usable reference ({error}); run: mlops evaluate, mlops register"
        raise MonitorError(msg) from None
    fit = sound(probabilities) if probabilities.ndim == 2 else np.zeros(0, dtype=bool)
    if image.ndim != 4 or len(fit) != len(image) or fit.sum() < 2:
        msg = f"{path}: {int(fit.sum())} usable rows of {len(image)}; run: mlops evaluate"
        raise MonitorError(msg)
    known = (label >= 0) & fit
    right = probabilities[known].argmax(axis=1) == label[known]
    rows = columns(image[fit], probabilities[fit])
    return Baseline(
        columns=rows,
        reference=presort(rows),
        accuracy=float(right.mean()) if len(right) >= _MIN_LABELS else None,
        blank_share=float(blank(image).mean()),
        shape=tuple(image.shape[1:]),
        shown=image[:_SHOWN],
    )


def rules(monitoring: MonitoringSection) -> Rules:
    """Return what `params.yaml` asks of the calibration."""
    m = monitoring
    return Rules(
        window_rows=m.window_rows, false_alarms=m.false_alarms, per_windows=m.per_windows,
        min_effect=m.min_effect, replicates=m.replicates, seed=m.seed,
        rule=Rule(m.raise_k, m.raise_n, m.clear_after),
    )  # fmt: skip


def write_thresholds(folder: Path, monitoring: MonitoringSection) -> Thresholds:
    """Calibrate on `reference.npz` of a folder and write `thresholds.json` beside it.

    Raises:
        MonitorError: if the reference is unusable.
    """
    return _calibrated(folder, folder / _FILE, monitoring)


def thresholds_for(site: Site, folder: Path, monitoring: MonitoringSection) -> Thresholds:
    """Return a version's thresholds; calibrate anew if they were made for other rules.

    What is made anew is kept in `.mlops/work/`, for the version's own files are sealed.

    Raises:
        MonitorError: if the reference is unusable.
    """
    digest = sha256(folder / "reference.npz") if (folder / "reference.npz").is_file() else ""
    kept = site.layout.work / "thresholds" / f"{digest[:32]}.json"
    for path in (folder / _FILE, kept):
        found = _read(path, digest, rules(monitoring))
        if found is not None:
            return found
    return _calibrated(folder, kept, monitoring)


def _calibrated(folder: Path, path: Path, monitoring: MonitoringSection) -> Thresholds:
    wanted = rules(monitoring)
    made = calibrate(read_baseline(folder).columns, wanted)
    reference = sha256(folder / "reference.npz")
    write_json(path, {**_head(reference, wanted), "thresholds": asdict(made)})
    return made


def _read(path: Path, digest: str, wanted: Rules) -> Thresholds | None:
    """Return kept thresholds if they were made of this reference by these rules."""
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except DataError:
        return None  # damaged: as good as absent, they are calibrated anew
    if any(content.get(name) != value for name, value in _head(digest, wanted).items()):
        return None
    stored: Any = content.get("thresholds")
    columns_of, limits = tuple(stored["columns"]), tuple(stored["limits"])
    return Thresholds(**{**stored, "columns": columns_of, "limits": limits})


def _head(reference: str, wanted: Rules) -> dict[str, object]:
    return {"measure": _MEASURE, "reference": reference, "rules": asdict(wanted)}
