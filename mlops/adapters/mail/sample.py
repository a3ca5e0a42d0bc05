"""A made-up incident at each stage: what `mlops mail preview` and the tests show.

The incident is made up, its mails are not: their words are those that `monitor` would send.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.adapters.aftermath import Aftermath, figure
from mlops.adapters.alerts import PICTURED, worded
from mlops.adapters.incident import ACCURACY, Findings, Incident
from mlops.adapters.window import Cut, Window
from mlops.core.alarm import ColumnVerdict, Verdict
from mlops.core.alert import Alert, ColumnChange, Figure
from mlops.core.decision import Decision, Evidence, Metric, Version
from mlops.core.decision import Verdict as Judged
from mlops.core.realised import Realised

if TYPE_CHECKING:
    from mlops.core.alert import Stage

_SO_FAR = Realised(
    windows=620, alarming=14, counted=612, incidents=3, false_incidents=1, unmeasured=0, overdue=0,
    breaks=1, budget=0.61, retrains=2, false_retrains=0,
)  # fmt: skip
_ID = "drift-digits-1-9"
_CHANGES = (
    ("brightness", "wasserstein", 1.84, 0.31, "38 % darker than the reference", 2e-9),
    ("contrast", "wasserstein", 0.92, 0.28, "39 % less contrast than the reference", 3e-7),
    ("predicted", "jensenshannon", 0.24, 0.19, "the share of one class moved by 14 points", 0.004),
    ("sharpness", "wasserstein", 0.11, 0.27, "spread differently around the same mean", 0.61),
)
_TRAILS = (
    (0.4, 0.6, 0.5, 0.3, 0.7, 0.5, 1.4, 2.2, 3.9, 5.1, 5.9),
    (0.7, 0.4, 0.5, 0.6, 0.4, 0.5, 0.9, 1.2, 2.0, 2.8, 3.3),
    (0.5, 0.8, 0.6, 0.5, 0.6, 0.4, 0.8, 0.9, 0.9, 1.1, 1.3),
    (0.3, 0.2, 0.3, 0.4, 0.3, 0.2, 0.4, 0.3, 0.4, 0.3, 0.35),
)
"""Statistics in thresholds over the last windows, for the small pictures."""
_SINCE = (0.5, 0.3, 0.4)
"""And of the windows since version 2 serves."""
_QUIET = (0.12, 0.09, 0.08, 0.1)
"""The same columns' statistics once version 2 serves."""
_BROKEN = "blank: 31% of the images hold nothing; 1% in the reference"
_RIGHT = {"before": (582, 600), "during": (171, 240), "after": (143, 150)}


def sample(stage: Stage, at_s: float, *, loss: bool = False) -> Alert:
    """Return the alert of a made-up incident of the digits model, with synthetic 8×8 images.

    Args:
        stage: of the incident.
        at_s: when, seconds since 1970.
        loss: whether labels opened it, while the inputs look as before.
    """
    if stage == "digest":
        return _digest(at_s)
    held = _incident(stage, at_s)
    later = _SINCE if stage == "resolved" else ()
    if loss and held.kind == "drift":
        held = _lost(held)
    if stage == "overdue":
        body = replace(held.body, unmeasured_s=at_s - 2e5, unmeasured_labels=321)
        held = replace(held, body=body)
    made = worded(held, stage, _aftermath(stage, at_s), at_s=at_s)
    reference = _strokes(np.random.default_rng(7))[: 6 if stage in PICTURED else 0]
    return replace(
        made,
        columns=tuple(
            replace(c, trail=_TRAILS[-1] if loss else (*t, *later))
            for c, t in zip(made.columns, _TRAILS, strict=True)
        ),
        links=(
            ("Evidently report of window digits-1-10, with these distances",
             "http://127.0.0.1:8001/digits-1-10/report.html"),
            ("Version 1 in MLflow", "http://127.0.0.1:5000/#/models/digits/versions/1"),
            ("The run in Prefect", "http://127.0.0.1:4200/runs"),
        ),
        notes=(_SO_FAR.note,), reference=reference,
        current=reference if loss else (reference * 0.55 + 20).astype(np.uint8),
    )  # fmt: skip


def _incident(stage: Stage, at_s: float) -> Incident:
    broken, over = stage == "needs you", stage == "resolved"
    right, labels = _RIGHT["during"]
    body = Findings(
        windows=tuple(f"digits-1-{n}" for n in range(9, 15)), shown="digits-1-10",
        since_seq=801, opened_seq=1000,
        columns=tuple(ColumnChange(*change) for change in _CHANGES),
        breaks=(_BROKEN,) if broken else (), severity=5 if broken else 3,
        labelled=labels, accuracy=right / labels, reference_accuracy=0.97,
        triage="quality" if broken else "costly", trigger="granted",
        advice=f"the data is broken, so retraining is blocked: {_BROKEN}" if broken else
        f"accuracy 71.2% on {labels} labelled predictions, 97.0% on the reference: a loss beyond "
        "the margin of 3.0%",
        shifts=() if broken else ("covariate shift: the inputs moved: brightness, contrast",),
    )  # fmt: skip
    return Incident(
        id=_ID, project="digits", kind="quality" if broken else "drift",
        cause="blank images" if broken else "brightness", version="1",
        state="resolved" if over else "open", opened_s=at_s - 41 * 60, updated_s=at_s,
        resolved_s=at_s if over else None, body=body,
    )  # fmt: skip


def _lost(held: Incident) -> Incident:
    """Return the incident as one of accuracy, where the inputs look as before."""
    where, reference = "240 labels of digits-1-9 to digits-1-14", "97.0% on 600 of the reference"
    body = replace(
        held.body, lossy=held.state == "open",
        columns=tuple(
            replace(c, value=now, words="spread differently around the same mean", p=None)
            for c, now in zip(held.body.columns, _QUIET, strict=True)
        ),
        shifts=("concept shift: labels contradict answers to inputs that look as before",),
        loss=f"accuracy 71.2% (65.2% to 76.6%) on {where}, {reference}: a loss beyond the margin "
        "of 3.0%",
        back="" if held.state == "open" else "accuracy 95.3% (90.7% to 97.7%) on 150 labels of "
        "digits-2-1 to digits-2-3, 96.1% on 600 of the reference: within the margin of 3.0%",
    )  # fmt: skip
    return replace(held, id="accuracy-digits-1-14", cause=ACCURACY, body=body)


def _aftermath(stage: Stage, at_s: float) -> Aftermath:
    during = figure("during it", [_RIGHT["during"]])
    if stage in ("detected", "measured", "retrained", "needs you", "overdue"):
        before = Figure("before it", 0.97, words="on the reference")
        return Aftermath("1", "retrained", at_s - 9e6, figures=(before, during))
    columns = tuple(
        ColumnVerdict(name, method, now, limit, drifted=False, shift=0.0)
        for (name, method, _, limit, *_), now in zip(_CHANGES, _QUIET, strict=True)
    )
    cut = Cut("digits", "2", 3, 1701, 1800, 100, at_s - 60, at_s)
    closing = Window(cut, Verdict(100, columns, (), calibrated=True), 0, 0, "pending", None)
    told = (figure("before it", [_RIGHT["before"]]), during)
    after = (figure("with version 2", [_RIGHT["after"]]),)
    over = stage == "resolved"
    return Aftermath(
        "2", "retrained", at_s - 6 * 60, _decision(stage, at_s),
        closing=closing if over else None, figures=(*told, *after) if over else told,
    )  # fmt: skip


def _decision(stage: Stage, at_s: float) -> Decision:
    candidate = 0.69 if stage == "refused" else 0.95
    evidence = Evidence(recent_rows=240, recent_excluded=0, base_rows=180, base_excluded=0)
    why = "recent accuracy is higher by 23.8 pp: at least 18.1 pp"
    if stage == "refused":
        why = "recent accuracy is lower by 2.2 pp: a loss beyond the margin is not ruled out"
    return Decision(
        id="0f3a6c1d", project="digits", at_s=at_s, actor="train", reason="drift: brightness",
        incident=_ID, candidate=Version("2", "", ""), champion=Version("1", "", ""),
        data_digest="", params_digest="", commit="",
        verdict=Judged(
            "reject" if stage == "refused" else "promote", (why,), (),
            (Metric("recent accuracy", candidate, 0.712),), evidence, 0,
        ),
    )  # fmt: skip


def _digest(at_s: float) -> Alert:
    none = np.zeros((0, 8, 8, 1), np.uint8)
    return Alert(
        project="digits", incident="digest-2026-01-05", kind="digest", cause="2026-01-05",
        stage="digest", severity=2, version="1", at_s=at_s,
        real="12 windows were judged, 2 in alarm.", how_bad="1 of 1 incidents cost no accuracy.",
        next_step="Nothing: they are only logged.", act="No.", columns=(), links=(),
        silence="mlops incidents --all",
        why_you="params.yaml: mail.digest_hour of digits asks for it; MLOPS_MAIL_TO names you.",
        reference=none, current=none, state="1 incidents", notes=(_SO_FAR.note,),
        also=("drift-digits-1-14: brightness; harmless, resolved",),
    )  # fmt: skip


def _strokes(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return six 8×8 images, uint8 (6, 8, 8, 1), of ring-like strokes."""
    y, x = np.mgrid[0:8, 0:8] - 3.5
    images = []
    for _ in range(6):
        stretch, radius, shift = rng.uniform(0.7, 1.4), rng.uniform(1.6, 2.8), rng.uniform(-1, 1)
        distance = np.abs(np.hypot((x - shift * y / 4) * stretch, y) - radius)
        images.append(255 * np.clip(1.3 - distance, 0, 1))
    return np.stack(images)[..., None].astype(np.uint8)
