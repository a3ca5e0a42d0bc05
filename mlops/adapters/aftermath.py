"""What became of an incident, read from the database: which version serves, what it is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlops.adapters import windows
from mlops.adapters.moves import effective
from mlops.adapters.verdicts import standing
from mlops.core.alert import Figure
from mlops.core.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlalchemy as sa

    from mlops.adapters.incidents import Incident
    from mlops.adapters.ledger import Entry
    from mlops.adapters.windows import Window
    from mlops.core.alert import ColumnChange
    from mlops.core.decision import Decision

_LOOKED = 500  # windows among which those before, during and after an incident are looked for
NOT_YET = "labels not here yet"
_COMING = {
    "decided": "retrained", "approved": "retrained and approved by a person",
    "rollback": "brought back by a person", "observed": "chosen by a person in MLflow",
}  # fmt: skip


@dataclass(frozen=True)
class Aftermath:
    """What became of an incident until a mail is written.

    Attributes:
        version: in service as it was closed, or now; empty where no window says.
        came: how that version came into service; empty where the ledger does not say.
        since_s: since when it is in service, seconds since 1970; 0 where the ledger does not say.
        decision: the newest one that the incident led to.
        closing: the window that closed it; None while it is open.
        figures: accuracy before, during and after it.
    """

    version: str = ""
    came: str = ""
    since_s: float = 0.0
    decision: Decision | None = None
    closing: Window | None = None
    figures: tuple[Figure, ...] = ()


def gather(connection: sa.Connection, entries: Sequence[Entry], held: Incident) -> Aftermath:
    """Read what became of an incident.

    Args:
        connection: an open transaction.
        entries: the ledger of its project.
        held: the incident.
    """
    found = windows.latest(connection, held.project, _LOOKED)
    end_seq = held.body.resolved_seq
    closing = next((w for w in found if end_seq and w.cut.last_seq == end_seq), None)
    moved = effective(entries)
    version = closing.cut.version if closing else (moved[-1].to_version if moved else "") or ""
    came = next((e for e in reversed(moved) if e.to_version == version), None)
    about = [e for e in entries if e.kind == "decided" and held.id in e.body]
    decisions = [d for e in about if (d := standing(entries, e)).incident == held.id]
    return Aftermath(
        version=version,
        came=_COMING.get(came.kind, "") if came else "",
        since_s=came.at_s if came else 0.0,
        decision=decisions[-1] if decisions else None,
        closing=closing,
        figures=_figures(held, found, version),
    )


def figure(when: str, counts: Iterable[tuple[int, int]], words: str = "") -> Figure:
    """Return accuracy over pairs of right and labelled answers, with Wilson's interval."""
    pairs = list(counts)
    right, labels = sum(r for r, _ in pairs), sum(n for _, n in pairs)
    if not labels:
        return Figure(when, None, words=words or NOT_YET)
    found = wilson(right, labels)
    return Figure(when, found.value, found.low, found.high, labels, words)


def compared(columns: tuple[ColumnChange, ...], closing: Window | None) -> tuple[ColumnChange, ...]:
    """Return columns with what the window that closed their incident says of them."""
    known = {c.column: c for c in closing.verdict.columns} if closing else {}
    return tuple(
        replace(c, now=known[c.column].value, now_threshold=known[c.column].threshold)
        if c.column in known else c
        for c in columns
    )  # fmt: skip


def _figures(held: Incident, found: Sequence[Window], version: str) -> tuple[Figure, ...]:
    """Measure before, during and after: in windows whose labels have all had their time."""
    body = held.body
    mine = [w for w in found if not w.verdict.breaks]
    first = next((w for w in mine if w.id in body.windows), None)
    old = first.cut.version if first else held.version
    before = [w for w in mine if w.cut.version == old and w.cut.last_seq < body.since_seq
              and w.id not in body.windows]  # fmt: skip
    told = [figure("before it", _counts(before))]
    if told[0].share is None and body.reference_accuracy is not None:
        told = [Figure("before it", body.reference_accuracy, words="on the reference")]
    during = [w for w in mine if w.id in body.windows]
    seen = figure("during it", _counts(during))
    if seen.labels < body.labelled and body.accuracy is not None:
        seen = figure("during it", [(round(body.accuracy * body.labelled), body.labelled)])
    if seen.share is None and body.estimate:
        value, low, high = body.estimate
        seen = Figure("during it", value, low, high, words=f"estimated; {NOT_YET}")
    told.append(seen)
    changed = version not in ("", old)
    after = [w for w in mine if w.cut.version == version and w.id not in body.windows
             and w.cut.first_seq > body.opened_seq]  # fmt: skip
    if changed or held.state == "resolved":
        told.append(figure(f"with version {version}" if changed else "after it", _counts(after)))
    return tuple(told)


def _counts(found: Iterable[Window]) -> list[tuple[int, int]]:
    return [(w.correct, w.labelled) for w in found]
