"""A version's calibrated thresholds, as files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops.adapters.baseline import read_baseline
from mlops.adapters.embedding import FILE as EMBEDDING
from mlops.adapters.files import digest, read_json, sha256, write_json
from mlops.core.alarm import Rule
from mlops.core.calibration import Rules, calibrate
from mlops.core.continuous import SHARE, Detector, gathering
from mlops.core.thresholds import Thresholds
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.params.monitoring import MonitoringSection
    from mlops.site import Site

_FILE = "thresholds.json"
_MEASURE = 7  # raise it when a column, a statistic or the drawing changes: it voids what is kept


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
    site: Site,
    folder: Path,
    monitoring: MonitoringSection,
    pace_minutes: float | None = None,
    redacted: tuple[str, ...] = (),
) -> Thresholds:
    """Return a version's thresholds; calibrate anew if they were made for other rules.

    A budget per year depends on how many windows a year has, which is known once some have come;
    what a version's windows lack, once they do. What is made anew is kept in `.mlops/work/`, for
    the version's own files are sealed.

    Args:
        site: where it is kept.
        folder: of the version.
        monitoring: the section.
        pace_minutes: minutes that a window takes, as seen.
        redacted: columns of a table that windows lack.

    Raises:
        MonitorError: if the reference is unusable.
    """
    source = _source(folder, redacted)
    kept = site.layout.work / "thresholds" / f"{source[:32]}.json"
    for path in (folder / _FILE, kept):
        found = _read(path, source, rules(monitoring, pace_minutes))
        if found is not None:
            return found
    return _calibrated(folder, kept, rules(monitoring, pace_minutes), redacted)


def _calibrated(
    folder: Path, path: Path, wanted: Rules, redacted: tuple[str, ...] = ()
) -> Thresholds:
    baseline = read_baseline(folder, redacted)
    made = calibrate(baseline.columns, wanted, in_order=baseline.in_order, key=baseline.key)
    write_json(path, {**_head(_source(folder, redacted), wanted), "thresholds": asdict(made)})
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


def _source(folder: Path, redacted: tuple[str, ...]) -> str:
    """Return the digest of what the reference's columns are made of."""
    paths = [folder / name for name in ("reference.npz", EMBEDDING)]
    made_of = {path.name: sha256(path) for path in paths if path.is_file()}
    if redacted:
        made_of["redacted"] = json.dumps(redacted)
    return digest(made_of)


def _head(reference: str, wanted: Rules) -> dict[str, object]:
    return {"measure": _MEASURE, "reference": reference, "rules": asdict(wanted)}
