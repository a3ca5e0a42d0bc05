"""The page of one incident: what happened when, its curves, and what was decided. One HTML file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters.effect import capital, measure, not_measured
from mlops.adapters.files import write_text
from mlops.adapters.incident import ACCURACY
from mlops.adapters.incident_story import tell
from mlops.core import wording
from mlops.core.amounts import number
from mlops.core.estimate import MEAN_ERROR, basis

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.adapters.incident_story import Story
    from mlops.adapters.windows import Window
    from mlops.site import Site

WIDTH, HEIGHT = 640.0, 150.0
_TOP_CURVES = 3
_LEAST = 0.1  # thresholds; what lies below is drawn at the edge


@dataclass(frozen=True)
class Curve:
    """One line of a picture.

    Attributes:
        name: what it shows.
        points: `x,y` pairs in pixels, as SVG wants them; one text per unbroken piece.
        dots: single points, (x, y).
    """

    name: str
    points: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Picture:
    """A small chart over windows.

    Attributes:
        title: what it shows, with its unit.
        curves: its lines.
        level: height of the line that matters, in pixels, with its name; nothing for none.
        ends: lowest and highest value, as text.
        shaded: horizontal spans of alarming windows: x and width.
        band: an area's outline as SVG wants it; empty for none.
    """

    title: str
    curves: tuple[Curve, ...]
    level: tuple[float, str] | None
    ends: tuple[str, str]
    shaded: tuple[tuple[float, float], ...]
    band: str = ""


def page_path(site: Site, incident: str) -> Path:
    """Return where an incident's page lies; ids are ours, but never trusted to be a path."""
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in incident).lstrip(".")
    return site.layout.incidents / f"{name}.html"


def write_page(site: Site, engine: sa.Engine, project: str, incident: str) -> Path:
    """Write an incident's page anew and return its path.

    Raises:
        Unknown: if there is no such incident.
    """
    path = page_path(site, incident)
    write_text(path, render(tell(engine, project, incident)))
    return path


def render(story: Story) -> str:
    """Return the page as HTML; every text in it may hold anything, and stays text."""
    from mlops.adapters.mail.compose import environment

    decisions = [(d, wording.questions(d)) for d in story.decisions]
    held = story.incident
    quiet = held.cause == ACCURACY and all(c.value < c.threshold for c in held.body.columns)
    unmeasured = capital(not_measured(held))
    values = {"story": story, "held": held, "quiet": quiet, "decisions": decisions, "time": _time,
              "pictures": _pictures(story), "measure": measure(held), "number": number,
              "unmeasured": unmeasured, "width": WIDTH, "height": HEIGHT}  # fmt: skip
    return environment().get_template("incident.html").render(values)


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _pictures(story: Story) -> tuple[Picture, ...]:
    if not story.windows:
        return ()
    drift = _drift(story) if story.incident.body.columns else None
    return tuple(one for one in (drift, _accuracy(story), _error(story)) if one)


def _drift(story: Story) -> Picture:
    names = [change.column for change in story.incident.body.columns[:_TOP_CURVES]]
    ratios = {name: [_ratio(window, name) for window in story.windows] for name in names}
    most = max([2.0, *(v for line in ratios.values() for v in line if v is not None)])
    low, top = math.log10(_LEAST), math.log10(most)
    curves = tuple(
        _curve(name, [v and math.log10(v) for v in line], low, top) for name, line in ratios.items()
    )
    level = (_y(0.0, low, top), "alarm")
    title = "Distance from the reference, in thresholds, on a logarithmic scale"
    return Picture(title, curves, level, (f"{_LEAST:g}", f"{most:.2g}"), _shaded(story.windows))


def _accuracy(story: Story) -> Picture | None:
    shown = [w.correct / w.labelled if w.labelled else None for w in story.windows]
    told = [w.estimate for w in story.windows]
    guessed = [e.value if e else None for e in told]
    ends = [end for e in told if e for end in (e.low, e.high)]
    known = [v for v in (*shown, *guessed, *ends) if v is not None]
    if not known:
        return None
    reference = story.incident.body.reference_accuracy
    low = max(min([*known, reference if reference is not None else 1.0]) - 0.02, 0.0)
    curves = (_curve("measured", shown, low, 1.0), _curve("estimate", guessed, low, 1.0))
    level = (_y(reference, low, 1.0), "reference") if reference is not None else None
    band = _band([(e.low, e.high) if e else None for e in told], low, 1.0)
    ends_text = (f"{low:.0%}", "100%")
    name = measure(story.incident)
    title = f"{capital(name)}, as measured and as estimated {basis(name)}"
    return Picture(title, curves, level, ends_text, _shaded(story.windows), band)


def _error(story: Story) -> Picture | None:
    """Return the mean absolute error of a regression; a band without an end fills the picture."""
    told = [w.error_estimate for w in story.windows]
    highs = [e.high for e in told if e]
    values = [*(w.error for w in story.windows), *(e.value for e in told if e), *highs]
    top = max((v for v in values if v is not None), default=0.0)
    if top <= 0.0:  # nothing is known, or a model is never wrong
        return None
    shown = [None if w.error is None else w.error / top for w in story.windows]
    guessed = [e.value / top if e else None for e in told]
    curves = (_curve("measured", shown, 0.0, 1.0), _curve("estimate", guessed, 0.0, 1.0))
    ends = [(e.low / top, 1.0 if e.high is None else e.high / top) if e else None for e in told]
    title = f"{capital(MEAN_ERROR)}, in the target's unit, as measured and as estimated"
    band = _band(ends, 0.0, 1.0)
    return Picture(title, curves, None, ("0", number(top)), _shaded(story.windows), band)


def _band(ends: Sequence[tuple[float, float] | None], low: float, high: float) -> str:
    """Return the outline of intervals, lower and upper ends, as SVG wants it."""
    places = [(x, pair) for x, pair in zip(_xs(len(ends)), ends, strict=True) if pair]
    outline = [(x, top) for x, (_, top) in places]
    outline += [(x, bottom) for x, (bottom, _) in reversed(places)]
    return " ".join(f"{x:.1f},{_y(v, low, high):.1f}" for x, v in outline)


def _ratio(window: Window, name: str) -> float | None:
    for column in window.verdict.columns:
        if column.column == name:
            return max(column.value / max(column.threshold, 1e-9), _LEAST)
    return None


def _curve(name: str, values: Sequence[float | None], low: float, high: float) -> Curve:
    pieces: list[list[str]] = [[]]
    dots: list[tuple[float, float]] = []
    for x, value in zip(_xs(len(values)), values, strict=True):
        if value is None:
            pieces.append([])
            continue
        y = _y(value, low, high)
        pieces[-1].append(f"{x:.1f},{y:.1f}")
        dots.append((round(x, 1), round(y, 1)))
    return Curve(name, tuple(" ".join(piece) for piece in pieces if len(piece) > 1), tuple(dots))


def _xs(count: int) -> list[float]:
    step = WIDTH / max(count, 1)
    return [step * (n + 0.5) for n in range(count)]


def _y(value: float, low: float, high: float) -> float:
    part = (value - low) / max(high - low, 1e-9)
    return HEIGHT * (1 - min(max(part, 0.0), 1.0))


def _shaded(found: Sequence[Window]) -> tuple[tuple[float, float], ...]:
    step = WIDTH / max(len(found), 1)
    return tuple(
        (round(n * step, 1), round(step, 1)) for n, w in enumerate(found) if w.verdict.alarm
    )
