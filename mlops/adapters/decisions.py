"""A decision and its folder: found in the ledger, kept here, shared through the candidate's run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mlops.adapters import files, run_files
from mlops.adapters.evidence import DECISION, LOCK, SCORES
from mlops.adapters.ledger import Ledger
from mlops.adapters.sql.engine import database
from mlops.adapters.verdicts import read
from mlops.core.canonical import from_json
from mlops.core.decision import Decision
from mlops.errors import DataError, LedgerError

if TYPE_CHECKING:
    from mlops.site import Site

_NAMES = (SCORES, LOCK, DECISION)  # the decision last: where it lies, all lies
_log = structlog.get_logger()


def find(site: Site, project: str, decision_id: str) -> Decision:
    """Return the decision of that id, or whose id alone begins so, from the verified ledger.

    Raises:
        LedgerError: if there is none, or more than one, or the record was changed outside.
        Unavailable: if the database does not answer.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        ledger.verify_chain()
        made = [read(e.body) for e in ledger.entries() if e.kind == "decided"]
    found = [d for d in made if decision_id and d.id.startswith(decision_id)]
    if len(found) == 1:
        return found[0]
    if found:
        named = ", ".join(d.id for d in found[:5])
        msg = f"decision {decision_id}: {len(found)} begin so ({named}); write more of the id"
        raise LedgerError(msg)
    msg = f"decision {decision_id[:64]!r}: not in the ledger of {project}; see: mlops history"
    raise LedgerError(msg)


def share(site: Site, decision: Decision) -> None:
    """Put the decision's folder among the files of the candidate's run, unless all lies there.

    A decision is complete without it; whoever runs `promote` again repairs what a kill left out.

    Raises:
        Unavailable: if MLflow does not answer.
        RegistryError: if it refuses.
    """
    source, place = site.layout.decisions / decision.id, _place(decision)
    lying = run_files.find(site, decision.candidate.run_id, place)
    if not _is_of(source, decision):
        if f"{place}/{DECISION}" not in lying:
            _log.warning("evidence is neither here nor in MLflow", decision=decision.id)
        return
    for name in _NAMES:
        if lying.get(f"{place}/{name}") != (source / name).stat().st_size:
            run_files.put(site, decision.candidate.run_id, source / name, place)


def locate(site: Site, decision: Decision) -> Path:
    """Return the decision's folder, fetched from the candidate's run if it is not here.

    Raises:
        DataError: if it is nowhere.
        Unavailable: if MLflow does not answer.
    """
    target = site.layout.decisions / decision.id
    if _is_of(target, decision):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        files.guarding(site.layout.locks / f"fetch.{decision.id}.lock"),
        tempfile.TemporaryDirectory(prefix=".fetched.", dir=target.parent) as scratch,
    ):
        if _is_of(target, decision):  # another process has just fetched it
            return target
        fresh, place = Path(scratch) / decision.id, _place(decision)
        run_id = decision.candidate.run_id
        got = [run_files.get(site, run_id, f"{place}/{name}", fresh) for name in _NAMES]
        if None in got or not _is_of(fresh, decision):
            msg = (
                f"decision {decision.id}: its evidence is neither in {target} nor in MLflow's run "
                f"{run_id} under {place}; on the host that decided, run: mlops promote"
            )
            raise DataError(msg)
        files.swap_folder(fresh, target)
    return target


def _place(decision: Decision) -> str:
    return f"decision/{decision.id}"


def _is_of(folder: Path, decision: Decision) -> bool:
    """Say whether a folder is that of the decision in the ledger, not of a try that was killed."""
    if not all((folder / name).is_file() for name in _NAMES):
        return False
    try:
        return from_json(Decision, (folder / DECISION).read_bytes()) == decision
    except DataError:
        return False  # of another time or damaged: not the ledger's
