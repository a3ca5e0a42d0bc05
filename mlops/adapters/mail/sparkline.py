"""A column's last windows as a tiny picture: the line, the threshold, the alarms."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 120, 28
_SCALE = 3  # drawn larger and shrunk: Pillow's lines have no smooth edges
_HIGHEST = 6.0
# Middle tones on nothing: they show on a white page and on a black one.
_LINE, _LEVEL, _ALARM = (110, 130, 160, 255), (150, 150, 150, 170), (226, 106, 30, 255)


def sparkline(ratios: Sequence[float]) -> bytes:
    """Return a PNG, twice 120×28 pixels, of a statistic in thresholds, the oldest left.

    Args:
        ratios: at least one; above 1 is an alarm.
    """
    from PIL import Image, ImageDraw

    wide, high, pad = 2 * WIDTH * _SCALE, 2 * HEIGHT * _SCALE, 6 * _SCALE
    shown = [min(max(ratio, 0.0), _HIGHEST) for ratio in ratios]
    top = max(1.4, *shown) if len(shown) > 1 else max(1.4, shown[0])
    canvas = Image.new("RGBA", (wide, high), (0, 0, 0, 0))
    draw = ImageDraw.Draw(canvas)

    def y(ratio: float) -> float:
        return high - pad - (high - 2 * pad) * ratio / top

    step = (wide - 2 * pad) / max(len(shown) - 1, 1)
    points = [(pad + n * step, y(ratio)) for n, ratio in enumerate(shown)]
    for start in range(pad, wide - pad, 10 * _SCALE):
        draw.line([(start, y(1.0)), (start + 5 * _SCALE, y(1.0))], fill=_LEVEL, width=_SCALE)
    if len(points) > 1:
        draw.line(points, fill=_LINE, width=4 * _SCALE // 2, joint="curve")
    for (x, at), ratio in zip(points, shown, strict=True):
        if ratio >= 1.0 or (x, at) == points[-1]:
            size = (3 if ratio >= 1.0 else 2) * _SCALE
            colour = _ALARM if ratio >= 1.0 else _LINE
            draw.ellipse([x - size, at - size, x + size, at + size], fill=colour)
    out = io.BytesIO()
    small = canvas.resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.LANCZOS)
    small.save(out, "PNG", optimize=True)
    return out.getvalue()
