"""People hear of every decision, answer and withdrawal, whatever a kill cut off.

Whoever appends such a row tells of it before letting go of the ledger's lock. A kill may come
between, so the next start, of whatever verb, looks at the rows since the last that this host knows
to be told. What was told already is found so by the version's tag and the outbox: no mail goes out
twice. Evidence and figures lie on the host that decided, which has a mark of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from mlops.adapters import answered, files
from mlops.adapters.approval import Asked
from mlops.adapters.verdicts import newest_decided, standing
from mlops.adapters.versions import look
from mlops.errors import DataError, RegistryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mlops.adapters.ledger import Entry, Kind, Ledger
    from mlops.site import Site

_KINDS: tuple[Kind, ...] = ("decided", "approved", "declined", "withdrawn")
_LOOKED = 200
"""Newest rows that are looked at, at most: whoever decides tells of older ones first."""


def retell(site: Site, project: str, ledger: Ledger) -> None:
    """Tell of what was decided or answered since, if anybody has not heard of it.

    What cannot be told now (a mail's address is wrong, MLflow refuses) is logged, stops nothing,
    and is tried again at the next start. For a caller that holds `ledger.exclusive()`.

    Raises:
        Unavailable: if MLflow or the database does not answer.
    """
    entries = ledger.entries()
    path = site.layout.agreed / "told" / f"{project}.json"
    known = max(_mark(path, entries), len(entries) - _LOOKED)
    if known == len(entries):
        return
    whole = True
    for decided in _about(entries, entries[known:]):
        try:
            _tell(site, ledger, decided)
        except (UsageError, RegistryError) as error:
            whole = False
            structlog.get_logger().warning("a decision cannot be told", why=str(error))
    if whole:
        files.write_json(path, {"number": len(entries), "hash": entries[-1].hash})


def _tell(site: Site, ledger: Ledger, decided: Entry) -> None:
    """Tell of a decision as it stands what was not told yet.

    Of a version that was deleted there is nothing left to show or to ask.
    """
    entries = ledger.entries()
    decision = standing(entries, decided)
    if decision.approval == "withdrawn":
        answered.tell_withdrawn(site, ledger, decision)
        return
    seen = look(site, decision.project, decision.candidate.version)
    if seen is None:
        return
    if decision.approval in ("approved", "declined"):
        answered.share(site, decision)
        held = Asked(decided, decision)
        if not answered.is_told(ledger, held):
            said = next(e for e in entries if (e.kind, e.key) == (decision.approval, decided.hash))
            answered.tell(site, ledger, held, said)
        return
    if seen.tags.get(answered.DECISION_TAG) != decision.id:
        answered.publish(site, ledger, decision)
    else:
        answered.share(site, decision)
        if decision.approval == "pending":
            answered.ask(site, ledger.engine, decision)
    answered.inform(site, ledger, decision)


def _mark(path: Path, entries: Sequence[Entry]) -> int:
    """Return how many rows are known to be told here; the hash tells another database."""
    try:
        kept = files.read_json(path)
        number = int(str(kept["number"]))
        if 0 < number <= len(entries) and entries[number - 1].hash == kept["hash"]:
            return number
    except (DataError, KeyError, ValueError):
        pass  # none yet, or damaged
    return 0


def _about(entries: Sequence[Entry], fresh: Iterable[Entry]) -> list[Entry]:
    """Return the decisions that rows are about, the oldest first; of a version only its newest."""
    rows = [e for e in fresh if e.kind in _KINDS]
    if not rows:
        return []
    decided_by = {e.hash: e.key for e in entries if e.kind == "approved"}
    meant = {e.hash if e.kind == "decided" else decided_by.get(e.key, e.key) for e in rows}
    return [e for e in newest_decided(entries).values() if e.hash in meant]
