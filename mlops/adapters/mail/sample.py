"""A made-up alert for each stage: what `mlops mail preview` and the tests show."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlops.core.alert import Alert, ColumnChange
from mlops.core.realised import Realised

if TYPE_CHECKING:
    from mlops.core.alert import Stage

_TEXTS: dict[Stage, tuple[str, str, str, str]] = {
    "detected": (
        "Yes: 2 of the last 3 windows are in alarm. Noise alone does this once in 500 windows.",
        "Accuracy fell from 97 % to 71 %. Measured on 120 labels chosen at random.",
        "A retrain has started; its decision comes here.",
        "No. If the gate refuses the new version, this thread says why.",
    ),
    "retrained": (
        "Yes: 4 windows in alarm.",
        "Accuracy fell from 97 % to 71 %. Measured on 300 labels chosen at random.",
        "A retrain has started. Its decision comes in this thread.",
        "No.",
    ),
    "digest": (
        "12 windows were judged, 2 in alarm.",
        "1 shift cost no accuracy.",
        "Nothing: it is only logged.",
        "No.",
    ),
    "promoted": (
        "Yes: 6 windows in alarm before the retrain.",
        "Accuracy rises from 71 % to 95 %. Measured on the same 240 rows, the newest ones.",
        "Version 2 is in service. The incident closes after 2 quiet windows.",
        "No. To undo it: mlops rollback",
    ),
    "refused": (
        "Yes: 6 windows in alarm, and counting.",
        "Accuracy stays at 71 %. The new version scores 69 % on the same rows.",
        "Version 1 stays; next retrain from 15:10.",
        "No. If the next version is refused too, this thread will ask you to look.",
    ),
    "needs you": (
        "Yes: 31 % of the images are blank.",
        "Accuracy is unknown; retraining is blocked. Broken data would teach the model nonsense.",
        "Nothing happens until the input is repaired.",
        "Yes: repair the camera feed. Then run: mlops monitor",
    ),
    "resolved": (
        "It was: 6 windows in alarm over 41 minutes.",
        "Accuracy is back at 95 %. It was 71 % at worst.",
        "Nothing: version 2 stays in service.",
        "No.",
    ),
}


_SO_FAR = Realised(620, 14, 3, 1, 0, 0.62, 2, 0)
_KINDS: dict[Stage, str] = {"digest": "digest", "needs you": "quality"}
_CHANGES = (
    ("brightness", "wasserstein", 1.84, 0.31, "38 % darker than the reference", 2e-9),
    ("contrast", "wasserstein", 0.92, 0.28, "half the contrast", 3e-7),
    ("predicted class", "jensenshannon", 0.24, 0.19, "8 comes twice as often", 0.004),
    ("sharpness", "wasserstein", 0.11, 0.27, "as in the reference", 0.61),
)
_TRAILS = (
    (0.4, 0.6, 0.5, 0.3, 0.7, 0.5, 1.4, 2.2, 3.9, 5.1, 5.9),
    (0.7, 0.4, 0.5, 0.6, 0.4, 0.5, 0.9, 1.2, 2.0, 2.8, 3.3),
    (0.5, 0.8, 0.6, 0.5, 0.6, 0.4, 0.8, 0.9, 0.9, 1.1, 1.3),
    (0.3, 0.2, 0.3, 0.4, 0.3, 0.2, 0.4, 0.3, 0.4, 0.3, 0.35),
)
"""Statistics in thresholds over the last windows, for the small pictures."""


def sample(stage: Stage, at_s: float) -> Alert:
    """Return a made-up alert of the digits model, with twelve synthetic 8×8 images."""
    real, how_bad, next_step, act = _TEXTS[stage]
    reference = _strokes(np.random.default_rng(7))
    broken = stage == "needs you"
    made = Alert(
        project="digits", incident="inc-20260105-120000-brightness",
        kind=_KINDS.get(stage, "drift"), cause="blank images" if broken else "brightness",
        stage=stage, state="retraining started" if stage == "detected" else "",
        severity={"needs you": 5, "detected": 3}.get(stage, 2), version="1",
        at_s=at_s, real=real, how_bad=how_bad, next_step=next_step, act=act,
        columns=tuple(
            ColumnChange(*change, trail)
            for change, trail in zip(_CHANGES, _TRAILS, strict=True)
        ),
        links=(
            ("Evidently report of this window", "http://127.0.0.1:8001/windows/w-14/report.html"),
            ("Version 1 in MLflow", "http://127.0.0.1:5000/#/models/digits/versions/1"),
            ("The run of the monitor", "http://127.0.0.1:4200/runs"),
        ),
        silence="mlops silence inc-20260105-120000-brightness 24h",
        why_you="You got this because MLOPS_MAIL_TO names you for the model digits.",
        notes=(_SO_FAR.note,),
        reference=reference, current=(reference * 0.55 + 20).astype(np.uint8),
    )  # fmt: skip
    if stage != "digest":
        return made
    return replace(
        made, incident="digest-2026-01-05", cause="2026-01-05", state="1 incidents", columns=(),
        links=(), reference=reference[:0], current=reference[:0], silence="mlops incidents --all",
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
