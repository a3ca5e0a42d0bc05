"""Look at one window: read its predictions, check them, compute its statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.baseline import pictures
from mlops.core.alarm import Verdict, judge
from mlops.core.drift import mix, moved, shares, statistics
from mlops.core.features import decode, fits
from mlops.core.joint import learn_joint
from mlops.core.quality import Arrivals, breaks, sound
from mlops.core.redacted import blank_rows
from mlops.core.schema import outputs
from mlops.core.sent import Sent, sent_rows
from mlops.core.usual import contents
from mlops.core.volume import Span
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa
    from numpy.typing import NDArray

    from mlops.adapters.baseline import Baseline
    from mlops.adapters.windows import Cut
    from mlops.core.columns import Columns
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
        sent: its rows as they came; None where its log has no features.
        redacted: columns of a table that it was not judged by.
    """

    verdict: Verdict
    columns: Columns | None
    shown: NDArray[np.uint8]
    sent: Sent | None
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
    features, answers, ids = _arrays(rows, baseline)
    came = Arrivals(
        wrong_size=len(rows) - len(ids),
        example_ids=[row.example_id for row in rows],
        span=Span(cut.start_s, cut.end_s, cut.version),
        earlier=earlier,
    )
    try:
        return look((features, answers, ids), came, baseline, thresholds)
    except MonitorError as error:
        raise MonitorError(f"window {cut.id}: {error}") from None


def look(
    decoded: tuple[NDArray[Any], NDArray[np.float32], Sequence[str]],
    came: Arrivals,
    baseline: Baseline,
    thresholds: Thresholds,
) -> Observation:
    """Check decoded rows and compute their verdict.

    Args:
        decoded: features (N, *shape) of the schema, answers (N, K), and identities, of the rows
            that are of the schema.
        came: how all rows came in.
        baseline: as of `observe`.
        thresholds: likewise.

    Raises:
        MonitorError: if the thresholds are of other columns.
    """
    features, answers, ids = decoded
    rows, fit = len(came.example_ids), sound(answers, regression=not baseline.schema.classes)
    shown = pictures(features, baseline.schema)
    sent = Sent(
        rows, came.wrong_size, int((~fit).sum()),
        contents(features, baseline.schema, baseline.usual),
        sent_rows(features, fit, ids, baseline.schema),
    )  # fmt: skip
    found = breaks(
        sent.contents, baseline.schema, baseline.usual, unsound=sent.unsound, arrivals=came
    )
    if fit.sum() < _LEAST:
        verdict = Verdict(rows, (), found, thresholds.calibrated)
        return Observation(verdict, None, shown, sent, baseline.redacted)
    if not fit.all():  # else nothing need be copied
        features, answers = features[fit], answers[fit]
    seen = baseline.sight.see(features, answers)
    if seen.all_names != thresholds.columns:
        msg = f"columns {seen.all_names}, thresholds for {thresholds.columns}; run: mlops register"
        raise MonitorError(msg)
    judged = judge(
        thresholds, statistics(baseline.reference, seen), shifts(baseline.columns, seen),
        len(seen), seen.named,
    )  # fmt: skip
    whole = replace(judged, rows=rows, breaks=found)
    return Observation(whole, seen, shown, sent, baseline.redacted)


def _unseen(hidden: int, rows: int, thresholds: Thresholds, baseline: Baseline) -> Observation:
    why = (
        f"unknown: no features were kept of {hidden} of {rows} predictions, so drift cannot be "
        "seen; set MLOPS_PAYLOADS=keep"
    )
    nothing = pictures(baseline.shown[:0], baseline.schema)
    verdict = Verdict(rows, (), (why,), thresholds.calibrated)
    return Observation(verdict, None, nothing, None, baseline.redacted)


def shifts(reference: Columns, window: Columns) -> NDArray[np.float64]:
    """Return each numeric column's change of mean, then the largest change of a class's share.

    Of a column of names it is the largest change of a name's share; of an embedding as one, how
    far its mean moved, in standard deviations.
    """
    found = window.values.mean(axis=0) - reference.values.mean(axis=0)
    for d in window.named_at:
        old, new = moved(mix(reference.values[:, d]), mix(window.values[:, d]))
        found[d] = _largest(new - old)
    joint = learn_joint(reference)
    together = [joint.distance(window.values) if joint else 0.0] if window.embedded_at else []
    return np.array([*found, *together, _largest(shares(window) - shares(reference))])


def _largest(by: NDArray[np.float64]) -> float:
    return float(by[np.abs(by).argmax()])


def _arrays(
    rows: Sequence[sa.Row[Any]], baseline: Baseline
) -> tuple[NDArray[Any], NDArray[np.float32], list[str]]:
    """Return features, answers and identities of the rows that are of the schema."""
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
    return features, answers, [row.example_id for row in right]
