"""What a window's page says of the fixed reference: its distances beside those that may alarm."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mlops.core.alarm import Verdict

if TYPE_CHECKING:
    from mlops.core.alarm import ColumnVerdict
    from mlops.core.columns import Columns
    from mlops.core.fixed import Fixed

STYLE = "font:14px/1.5 sans-serif;max-width:1100px;margin:24px auto;padding:0 24px"
"""Of what stands above Evidently's page."""
_HEAD = ("column", "distance", "own reference", "threshold", "fixed reference", "threshold")


@dataclass(frozen=True)
class Beside:
    """A window against the fixed reference.

    Attributes:
        told: what was stored with the window.
        reference: the input columns of that reference; None where its version is gone.
    """

    told: Fixed
    reference: Columns | None

    @property
    def verdict(self) -> Verdict:
        """The distances as a verdict, that Evidently's can be held against."""
        return Verdict(0, self.told.inputs, (), calibrated=False)

    def section(self, own: Verdict) -> str:
        """Return the part of the page, as HTML.

        Args:
            own: against the version's own reference.
        """
        words = f"{escape(str(self.told))}. It reports only: alarms are the own reference's."
        title = '<h2 style="font-size:18px">Two baselines</h2>'
        return f'<section style="{STYLE}">{title}<p>{words}</p>{self._table(own)}</section>'

    def _table(self, own: Verdict) -> str:
        if self.reference is None:
            return "<p>Its version is gone, so Evidently could not compute the distances again.</p>"
        known = {c.column: c for c in own.columns}
        rows = [_row(known.get(c.column), c) for c in self.told.inputs]
        head = "".join(f'<th align="left">{name}</th>' for name in _HEAD)
        return f'<table cellpadding="6"><tr>{head}</tr>{"".join(rows)}</table>'


def _row(own: ColumnVerdict | None, fixed: ColumnVerdict) -> str:
    cells = [escape(fixed.column), fixed.method]
    for found in (own, fixed):
        cells += ["–", "–"] if found is None else [_value(found), f"{found.threshold:.6g}"]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _value(found: ColumnVerdict) -> str:
    value = f"{found.value:.6g}"
    return f"<strong>{value}</strong>" if found.drifted else value
