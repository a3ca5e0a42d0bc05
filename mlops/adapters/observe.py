"""Look at one window: read its predictions, check them, compute its statistics, keep them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.baseline import pictures
from mlops.adapters.files import replacing, write_json
from mlops.adapters.windows import verdict_content
from mlops.core.alarm import Verdict, judge
from mlops.core.columns import Columns
from mlops.core.drift import mix, moved, shares, statistics
from mlops.core.features import decode, fits
from mlops.core.quality import Arrivals, breaks, sound
from mlops.core.redacted import blank_rows
from mlops.core.schema import outputs
from mlops.core.volume import Span
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Cut
    from mlops.core.thresholds import Thresholds

_SHOWN = 6
NO_IMAGES = np.zeros((0, 1, 1, 1), dtype=np.uint8)
"""Where there is no picture to show."""
_LEAST = 2  # rows from which a statistic can be computed at all


@dataclass(frozen=True)
class Observation:
    """What a window looks like.

    Attributes:
        verdict: its numbers against their thresholds.
        columns: its sound rows; None when hardly any is sound.
        shown: up to six of its images, uint8 (N, H, W, C), for the mail; none of other kinds.
        redacted: columns of a table that it was not judged by.
    """

    verdict: Verdict
    columns: Columns | None
    shown: NDArray[np.uint8]
    redacted: tuple[str, ...] = ()


def observe(
    rows: Sequence[sa.Row[Any]],
    cut: Cut,
    baseline: Baseline,
    thresholds: Thresholds,
    earlier: Sequence[Span],
) -> Observation:
    """Check a window's rows and compute its verdict.

    Args:
        rows: of `mlops.adapters.windows.read`.
        cut: where it lies.
        baseline: of the version that predicted, without what is redacted in any of the rows: so
            it is in all of them, and a row that was kept whole does not stand out.
        thresholds: of that version, likewise.
        earlier: the windows before, in the order in which they ended.

    Returns:
        What was seen. A window whose log lacks features is broken: what cannot be seen is not
        healthy, and is judged all the same, so that later windows are.

    Raises:
        MonitorError: if the thresholds are of other columns.
    """
    hidden = sum(row.features is None for row in rows)
    if hidden:
        return _unseen(hidden, len(rows), thresholds, baseline)
    features, answers, wrong_size = _arrays(rows, baseline)
    fit = sound(answers, regression=not baseline.schema.classes)
    shown = pictures(features, baseline.schema)
    found = breaks(
        features,
        baseline.schema,
        baseline.usual,
        unsound=int((~fit).sum()),
        arrivals=Arrivals(
            wrong_size=wrong_size,
            example_ids=[row.example_id for row in rows],
            span=Span(cut.start_s, cut.end_s, cut.version),
            earlier=earlier,
        ),
    )
    if fit.sum() < _LEAST:
        verdict = Verdict(len(rows), (), found, thresholds.calibrated)
        return Observation(verdict, None, shown, baseline.redacted)
    seen = baseline.sight.see(features[fit], answers[fit])
    if seen.all_names != thresholds.columns:
        msg = f"window {cut.id}: columns {seen.all_names}, thresholds for {thresholds.columns}"
        raise MonitorError(f"{msg}; run: mlops register")
    judged = judge(
        thresholds, statistics(baseline.reference, seen), shifts(baseline.columns, seen),
        len(seen), seen.named,
    )  # fmt: skip
    whole = replace(judged, rows=len(rows), breaks=found)
    return Observation(whole, seen, shown, baseline.redacted)


def _unseen(hidden: int, rows: int, thresholds: Thresholds, baseline: Baseline) -> Observation:
    why = (
        f"unknown: no features were kept of {hidden} of {rows} predictions, so drift cannot be "
        "seen; set MLOPS_PAYLOADS=keep"
    )
    nothing = pictures(baseline.shown[:0], baseline.schema)
    verdict = Verdict(rows, (), (why,), thresholds.calibrated)
    return Observation(verdict, None, nothing, baseline.redacted)


def shifts(reference: Columns, window: Columns) -> NDArray[np.float64]:
    """Return each numeric column's change of mean, then the largest change of a class's share.

    Of a column of names it is the largest change of a name's share.
    """
    found = window.values.mean(axis=0) - reference.values.mean(axis=0)
    for d in window.named_at:
        old, new = moved(mix(reference.values[:, d]), mix(window.values[:, d]))
        found[d] = _largest(new - old)
    return np.array([*found, _largest(shares(window) - shares(reference))])


def _largest(by: NDArray[np.float64]) -> float:
    return float(by[np.abs(by).argmax()])


def keep(folder: Path, cut: Cut, seen: Observation) -> None:
    """Write `verdict.json` and `window.npz`: the report is made later of these very numbers."""
    write_json(folder / "verdict.json", {
        "window": cut.id, "version": cut.version, "number": cut.number, "start_s": cut.start_s,
        "end_s": cut.end_s, "first_seq": cut.first_seq, "last_seq": cut.last_seq,
        "redacted": seen.redacted, **verdict_content(seen.verdict),
    })  # fmt: skip
    rows = seen.columns
    stored = {
        "shown": seen.shown,
        "names": np.array(rows.names if rows else (), dtype=np.str_),
        "values": rows.values if rows else np.zeros((0, 0)),
        "predicted": rows.predicted if rows else np.zeros(0, dtype=np.int64),
        "classes": np.array(rows.classes if rows else 0),
        "named": np.array(rows.named if rows else (), dtype=np.str_),
    }
    with replacing(folder / "window.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **stored)


def kept(folder: Path) -> tuple[Columns, NDArray[np.uint8]]:
    """Read what `keep` wrote: the columns and the shown images.

    Raises:
        MonitorError: if it is missing or damaged.
    """
    path = folder / "window.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = tuple(str(name) for name in stored["names"])
            classes = int(stored["classes"])
            named = tuple(map(str, stored["named"])) if "named" in stored else ()
            rows = Columns(names, stored["values"], stored["predicted"], classes, named)
            return rows, stored["shown"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        msg = f"{path}: unreadable ({error}); the window's report cannot be made"
        raise MonitorError(msg) from None


def _arrays(
    rows: Sequence[sa.Row[Any]], baseline: Baseline
) -> tuple[NDArray[Any], NDArray[np.float32], int]:
    """Return features and answers of the rows of the schema, and how many are of another."""
    schema = baseline.schema
    count = outputs(schema)
    right = [row for row in rows if fits(row.features, schema)]
    features = blank_rows(
        decode([row.features for row in right], schema), schema, baseline.redacted
    )
    answers = np.full((len(right), count), np.nan, dtype=np.float32)
    for at, row in enumerate(right):
        if len(row.probabilities) == 4 * count:
            answers[at] = np.frombuffer(row.probabilities, dtype="<f4")
    return features, answers, len(rows) - len(right)
