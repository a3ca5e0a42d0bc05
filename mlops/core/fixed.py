"""A window against a reference that stays: slow drift cannot drag it along as champions change.

It is reported and never an alarm: after a model has adapted it would alarm for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.core.alert import ColumnChange
from mlops.core.words import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.core.alarm import ColumnVerdict

_TOP = 3


@dataclass(frozen=True)
class Fixed:
    """A window's inputs against the fixed reference.

    Attributes:
        version: whose reference it is.
        beyond: input columns beyond that version's thresholds.
        of: input columns compared.
        columns: the strongest of those beyond, with their change in words.
        inputs: every column compared; empty of windows judged before these were stored.
    """

    version: str
    beyond: int
    of: int
    columns: tuple[ColumnChange, ...]
    inputs: tuple[ColumnVerdict, ...] = ()

    def __str__(self) -> str:
        """Return it in words, on one line."""
        head = f"Against the fixed reference, version {self.version}'s: "
        if not self.beyond:
            return f"{head}none of {self.of} input columns beyond its threshold"
        shown = "; ".join(f"{c.column}: {c.words}" for c in self.columns)
        return f"{head}{self.beyond} of {self.of} input columns beyond their thresholds ({shown})"


def summed_up(version: str, inputs: Sequence[ColumnVerdict], means: dict[str, float]) -> Fixed:
    """Say how far inputs are from the fixed reference.

    Args:
        version: whose reference it is.
        inputs: verdicts on the columns of the input, by that version's thresholds.
        means: of the reference's columns.
    """
    over = sorted((c for c in inputs if c.drifted), key=lambda c: -c.value / max(c.threshold, 1e-9))
    return Fixed(
        version=version, beyond=len(over), of=len(inputs),
        columns=tuple(
            ColumnChange(c.column, c.method, c.value, c.threshold,
                         in_words(c, means.get(c.column, 0.0)))
            for c in over[:_TOP]
        ),
        inputs=tuple(inputs),
    )  # fmt: skip
