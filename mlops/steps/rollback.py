"""Step `rollback`: put the previous version, or a named one, back in service."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlops.adapters.chain import since_renumbered
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.moves import Note, apply, challenge, effective
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.registry import fetch, source_of
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from mlops.errors import LedgerError, RegistryError, UsageError
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Site


class RollbackParams(View):
    """What `rollback` sees: the name."""

    project: ProjectSection


def rollback(params: RollbackParams, site: Site) -> Report:
    """Return to the version before the champion, or to the option `to=N`; verified first.

    A rollback is undone by another one, for the version left becomes the previous one.

    Raises:
        UsageError: if there is nothing to return to, or the version named was never in service.
        UnverifiedModel: if the version is not what the ledger vouches for.
        RegistryError: if it was deleted.
        LedgerError: if somebody moved the alias at the same time; nothing is recorded.
        Unavailable: if MLflow or the database does not answer.
    """
    project = params.project.name
    with database(site) as engine:
        ledger = Ledger(engine, project)
        seen = ledger.last_move()
        with ledger.exclusive():
            reconcile_held(site, project, ledger, urgent=True)
            champion, last = ledger.in_service(), ledger.last_move()
            if last != seen and last is not None and last.kind == "rollback":
                msg = "somebody else has just rolled back; look with: mlops history"
                raise LedgerError(msg)
            target = site.option("to") or _previous(ledger, champion)
            if target == champion:
                return Report(f"version {target} is in service already", {"champion": target})
            if source_of(site, project, target) is None:
                msg = f"{project} has no version {target} in MLflow; look with: mlops history"
                raise RegistryError(msg)
            _need_served(ledger, target)
            fetch(site, project, target, fresh=True)
            words = f"rolled back from version {champion or 'none'} to version {target}"
            base = last.hash if last else "start"
            row = Row(
                kind="rollback",
                key=hashlib.sha256(f"{base}:{target}".encode()).hexdigest(),
                at_s=site.now.timestamp(),
                actor=site.option("actor", "mlops rollback"),
                from_version=champion,
                to_version=target,
                body=to_json(Note(site.option("reason") or words)),
            )
            apply(site, project, ledger, ledger.append(row, champion=champion))
            challenge(site, project, ledger)
    undo = f"; to undo: mlops rollback --to {champion}" if champion else ""
    return Report(f"{words}{undo}", {"champion": target, "previous": champion})


def _previous(ledger: Ledger, champion: str | None) -> str:
    """Return the version that was in service before the champion, by the ledger."""
    for entry in reversed(effective(since_renumbered(ledger.entries()))):
        before = entry.from_version
        if entry.kind != "withdrawn" and before is not None and before != champion:
            return before
    msg = "no earlier version was in service; name one that was with: mlops rollback --to N"
    raise UsageError(msg)


def _need_served(ledger: Ledger, version: str) -> None:
    """Refuse a version that never came into service: no verdict and no person put it there."""
    served = {e.to_version for e in effective(since_renumbered(ledger.entries()))} - {None}
    if version not in served:
        known = ", ".join(sorted(map(str, served), key=lambda v: (len(v), v))) or "none"
        msg = (
            f"version {version} was never in service, so nothing can return to it (those that "
            f"were: {known}); if it waits for approval: mlops approve {version}; to have it "
            "judged: mlops promote"
        )
        raise UsageError(msg)
