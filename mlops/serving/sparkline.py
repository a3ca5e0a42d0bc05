"""Rate and latency of the last minutes as inline SVG: no script, no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.serving.pulse import SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.serving.pulse import Beat

_STEP_S = 5
_WIDTH, _HEIGHT, _TOP = 600, 90, 4


def chart(beat: Beat) -> str:
    """Return two pictures: requests per second, and half and 99 % of the latencies."""
    starts = range(0, SECONDS, _STEP_S)
    rates = [float(beat.requests[at : at + _STEP_S].sum()) / _STEP_S for at in starts]
    middle, slow = ([_part(beat, at).quantile_ms(share) for at in starts] for share in (0.5, 0.99))
    return _picture("Requests per second, last 5 minutes", "/s", [(rates, "line")]) + _picture(
        "Latency in ms, last 5 minutes: half (whole line), 99 % (dashed)",
        " ms",
        [(middle, "line"), (slow, "line slow")],
    )


def _part(beat: Beat, at: int) -> Beat:
    part = slice(at, at + _STEP_S)
    return type(beat)(beat.requests[part], beat.errors[part], beat.bins[part])


def _picture(title: str, unit: str, lines: list[tuple[Sequence[float | None], str]]) -> str:
    top = max((v for line, _ in lines for v in line if v is not None), default=0.0) or 1.0
    drawn = "".join(f'<path class="{kind}" d="{_path(line, top)}"/>' for line, kind in lines)
    bottom = _HEIGHT - 1
    return (
        f"<figure><figcaption>{title}; top: {top:.3g}{unit}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{bottom}" y2="{bottom}"/>{drawn}'
        "</svg></figure>"
    )


def _path(values: Sequence[float | None], top: float) -> str:
    """Return the path through known values; it breaks where nothing is known."""
    parts: list[str] = []
    across = _WIDTH / max(len(values) - 1, 1)
    pen = "M"
    for n, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        height = (_HEIGHT - 1) - value / top * (_HEIGHT - 1 - _TOP)
        parts.append(f"{pen}{n * across:.1f} {height:.1f}")
        if pen == "M":  # a point without neighbours is still seen
            parts.append("h1")
        pen = "L"
    return "".join(parts)
