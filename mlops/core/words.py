"""How a column moved, in units that a person knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.relations import GIVEN

if TYPE_CHECKING:
    from mlops.core.alarm import ColumnVerdict

_MORE_LESS = {
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "sharpness": ("sharper", "blurrier"),
    "noise": ("noisier", "less noisy"),
    "coverage": ("more bright pixels", "fewer bright pixels"),
    "saturation": ("more colourful", "paler"),
    "confidence": ("more confident predictions", "less confident predictions"),
    "entropy": ("more uncertain predictions", "less uncertain predictions"),
}
_SMALL = 0.005
_SMALL_SD = 0.05


def in_words(verdict: ColumnVerdict, reference_mean: float) -> str:
    """Say how a column moved: `18 % darker than the reference`.

    Args:
        verdict: the column in the window.
        reference_mean: the column's mean in the reference, in its own units.
    """
    if verdict.column == "predicted":
        return f"the share of one class moved by {abs(verdict.shift) * 100:.0f} points"
    if verdict.column.endswith(GIVEN):
        return _given(verdict)
    if verdict.column == "slant":
        return f"strokes lean differently (slant {verdict.shift:+.2f}): rotated or sheared?"
    more, less = _MORE_LESS.get(verdict.column, ("more", "less"))
    which = more if verdict.shift > 0 else less
    if abs(reference_mean) < 1e-9:
        return f"{which} than the reference ({verdict.shift:+.3g})"
    part = abs(verdict.shift / reference_mean)
    if part < _SMALL:
        return "spread differently around the same mean"
    return f"{part:.0%} {which} than the reference".replace("%", " %")


def _given(verdict: ColumnVerdict) -> str:
    """Say how a column left its relation to the others, in its residual's standard deviations."""
    name = verdict.column.removesuffix(GIVEN)
    if abs(verdict.shift) < _SMALL_SD:
        return f"{name} no longer follows from the other columns as it did"
    way = "higher" if verdict.shift > 0 else "lower"
    return f"{name} is {abs(verdict.shift):.2f} sd {way} than the other columns let expect"
