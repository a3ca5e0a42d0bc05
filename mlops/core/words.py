"""How a column moved, in units that a person knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.core.columns import PREDICTED
from mlops.core.drift import JENSENSHANNON
from mlops.core.embedding import TOGETHER, is_beyond, is_embedding
from mlops.core.relations import GIVEN
from mlops.core.vocabulary import UNKNOWN_WORDS

if TYPE_CHECKING:
    from mlops.core.alarm import ColumnVerdict

_MORE_LESS = {
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrast", "less contrast"),
    "sharpness": ("sharper", "blurrier"),
    "noise": ("noisier", "less noisy"),
    "coverage": ("more bright pixels", "fewer bright pixels"),
    "saturation": ("more colourful", "paler"),
    "length": ("longer", "shorter"),
    "words": ("more words", "fewer words"),
    "word_length": ("longer words", "shorter words"),
    "digits": ("more digits", "fewer digits"),
    "capitals": ("more capitals", "fewer capitals"),
    "marks": ("more punctuation", "less punctuation"),
    "foreign": ("more characters beyond ASCII", "fewer characters beyond ASCII"),
    "distinct_words": ("more varied words", "more repeated words"),
    UNKNOWN_WORDS: ("more words that it never read", "fewer words that it never read"),
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
    if verdict.method == JENSENSHANNON:
        what = "class" if verdict.column == PREDICTED else "of its values"
        return f"the share of one {what} moved by {abs(verdict.shift) * 100:.0f} points"
    if verdict.column.endswith(GIVEN):
        return _given(verdict)
    if verdict.column == TOGETHER:
        return (
            f"the model's picture of its input moved by {verdict.shift:.2f} sd in the direction "
            "that tells it best from the reference"
        )
    if is_embedding(verdict.column):
        return _embedded(verdict, reference_mean)
    if verdict.column == "slant":
        return f"strokes lean differently (slant {verdict.shift:+.2f}): rotated or sheared?"
    return _amount(verdict, reference_mean)


def _amount(verdict: ColumnVerdict, reference_mean: float) -> str:
    more, less = _MORE_LESS.get(verdict.column, ("more", "less"))
    which = more if verdict.shift > 0 else less
    if abs(reference_mean) < 1e-9:
        return f"{which} than the reference ({verdict.shift:+.3g})"
    part = abs(verdict.shift / reference_mean)
    if part < _SMALL:
        return "spread differently around the same mean"
    return f"{part:.0%} {which} than the reference".replace("%", " %")


def _embedded(verdict: ColumnVerdict, reference_mean: float) -> str:
    """Say how far the model's own picture of its input moved, along a direction or beyond all."""
    if is_beyond(verdict.column):
        part = verdict.shift / max(reference_mean, 1e-9)
        if abs(part) < _SMALL:
            return "the model's picture of its input is spread differently"
        which = "farther from" if part > 0 else "closer to"
        found = f"the model's picture of its input lies {abs(part):.0%} {which} what it was"
        return found.replace("%", " %") + (": a new kind of input?" if part > 0 else "")
    if abs(verdict.shift) < _SMALL_SD:
        return "the model's picture of its input is spread differently around the same mean"
    return f"the model's picture of its input moved by {abs(verdict.shift):.2f} sd"


def _given(verdict: ColumnVerdict) -> str:
    """Say how a column left its relation to the others, in its residual's standard deviations."""
    name = verdict.column.removesuffix(GIVEN)
    name = f"the model's picture of its input ({name})" if is_embedding(name) else name
    if abs(verdict.shift) < _SMALL_SD:
        return f"{name} no longer follows from the other columns as it did"
    way = "higher" if verdict.shift > 0 else "lower"
    return f"{name} is {abs(verdict.shift):.2f} sd {way} than the other columns let expect"
