"""What a window's page says of the fixed reference: its distances beside those that may alarm."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mlops.adapters.evidently import words
from mlops.core.alarm import Verdict

if TYPE_CHECKING:
    from mlops.core.alarm import ColumnVerdict
    from mlops.core.columns import Columns
    from mlops.core.fixed import Fixed

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
        told = f"{self.told}. It reports only: alarms are the own reference's."
        return words.section("Two baselines", words.paragraph(told), self._table(own))

    def _table(self, own: Verdict) -> str:
        if self.reference is None:
            return "<p>Its version is gone, so Evidently could not compute the distances again.</p>"
        known = {c.column: c for c in own.columns}
        return words.table(_HEAD, [_row(known.get(c.column), c) for c in self.told.inputs])


def _row(own: ColumnVerdict | None, fixed: ColumnVerdict) -> list[str]:
    cells = [escape(fixed.column), fixed.method]
    for found in (own, fixed):
        cells += ["–", "–"] if found is None else [_value(found), f"{found.threshold:.6g}"]
    return cells


def _value(found: ColumnVerdict) -> str:
    value = f"{found.value:.6g}"
    return f"<strong>{value}</strong>" if found.drifted else value
