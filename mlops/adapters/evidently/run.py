"""Evidently itself: reports run, parts of a page, the page put together, and what disagrees."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.adapters.files import replacing
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import pandas as pd

_PHONE = "<style>.MuiPaper-root{overflow-x:auto!important}</style>"  # else wide tables are cut off
TOLERANCE = 1e-9
"""Largest difference between Evidently's number and ours, of the value where that is above 1.

A column that is constant in the reference is divided by Evidently's least spread, 0.001: distances
of 1e8 come of it, whose last digits depend on the order in which numbers were added up.
"""


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        name: its key in `report.json`; its title on the page.
        widgets: Evidently's, of what is shown.
        metrics: Evidently's, all, as plain values.
    """

    name: str
    widgets: list[Any]
    metrics: list[dict[str, Any]]


def run(metrics: Sequence[Any], new: pd.DataFrame, old: pd.DataFrame, **definition: Any) -> Any:
    """Return Evidently's snapshot of metrics of two tables.

    Args:
        metrics: and presets.
        new: of the window.
        old: of the reference.
        definition: of the columns, as `DataDefinition` takes it.

    Raises:
        MonitorError: if Evidently fails, on whatever.
    """
    from evidently import DataDefinition, Dataset, Report

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's own, of litestar, numpy and scikit-learn
        try:
            told = DataDefinition(**definition)
            current, reference = (Dataset.from_pandas(t, told) for t in (new, old))
            return Report(list(metrics)).run(current, reference)
        except Exception as error:
            msg = f"Evidently failed: {type(error).__name__}: {error}"
            raise MonitorError(msg) from error


def same(one: float, other: float) -> bool:
    """Say whether two numbers are the same but for the rounding of their sums; NaN never is."""
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def agree(what: str, ours: float, theirs: float | None) -> None:
    """Hold a number of ours against Evidently's.

    Args:
        what: of which window.
        ours: as in the verdict.
        theirs: None where Evidently has none.

    Raises:
        MonitorError: if they differ: page and verdict must be the same thing.
    """
    if theirs is None or not same(ours, theirs):
        msg = (
            f"{what} is {ours!r} in our verdict and {theirs!r} in Evidently's report; "
            "do not trust either, report this as a defect"
        )
        raise MonitorError(msg)


def shown(name: str) -> str:
    """Return a name as it stands on the page: Evidently puts it into a script as it is.

    A name with `</script>` in it would end that script, and begin another.
    """
    return name.replace("<", "\u2039")


def distinct(names: Iterable[str], taken: Iterable[str]) -> tuple[str, ...]:
    """Return names as they stand on the page, none like another, nor like a stand-in of ours.

    Args:
        names: that users gave.
        taken: what stands for something else.
    """
    held, found = set(taken), list[str]()
    for name in map(shown, names):
        own = name
        while own in held:
            own += "'"
        held.add(own)
        found.append(own)
    return tuple(found)


def write_page(folder: Path, above: str, parts: Sequence[Part]) -> None:
    """Write `report.html` and `report.json`.

    Args:
        folder: of the window.
        above: HTML that stands before Evidently's.
        parts: Evidently's, in their order; none of a window without a sound row.
    """
    with replacing(folder / "report.html") as temporary:
        temporary.write_text(_html(above, parts), encoding="utf-8")
    told = {part.name: {"metrics": part.metrics} for part in parts}
    with replacing(folder / "report.json") as temporary:
        temporary.write_text(json.dumps(told, default=_plain), encoding="utf-8")


def _html(above: str, parts: Sequence[Part]) -> str:
    if not parts:
        head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        return f"<!doctype html><html><head>{head}</head><body>{above}</body></html>\n"
    from evidently.core.metric_types import render_widgets
    from evidently.legacy.renderers.html_widgets import group_widget

    titled = [group_widget(title=part.name.capitalize(), widgets=part.widgets) for part in parts]
    page = str(render_widgets(titled, as_iframe=False))
    return page.replace("<body>", f"<body>{_PHONE}{above}", 1)


def _plain(value: Any) -> Any:
    """Return a number of numpy or pandas as one of Python's; anything else as text."""
    return value.item() if hasattr(value, "item") else str(value)
