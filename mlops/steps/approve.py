"""Step `approve`: a person's yes puts the version that waits for it in service."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mlops.adapters import answered, approval
from mlops.adapters.ledger import Ledger
from mlops.adapters.moves import apply, challenge, is_pending
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.registry import fetch
from mlops.adapters.sql.engine import database
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Facts, Site


class ApproveParams(View):
    """What `approve` sees: the name."""

    project: ProjectSection


def approve(params: ApproveParams, site: Site) -> Report:
    """Approve the newest decision that waits, or that about the option `version=N`; once.

    The options `actor=NAME` and `way=flow` say who did so and how.

    Raises:
        UsageError: if nothing waits.
        LedgerError: if it was declined, or the champion compared is no longer in service.
        UnverifiedModel: if the version is not what the ledger vouches for.
        RegistryError: if it was deleted.
        Unavailable: if MLflow or the database does not answer.
    """
    project = params.project.name
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            reconcile_held(site, project, ledger)
            held = approval.find(ledger, site.option("version"))
            before = ledger.find("approved", held.entry.hash)
            fetch(site, project, held.version, fresh=before is None)
            way = cast("approval.Way", site.option("way", "command"))
            actor = site.option("actor", "mlops approve")
            said = approval.Said(way, actor, site.now.timestamp())
            entry = approval.approve(ledger, held, said)
            if entry == ledger.last_move() and is_pending(ledger, entry):
                apply(site, project, ledger, entry)
            challenge(site, project, ledger)
            answered.tell(site, ledger, held, entry)
    facts: Facts = {
        "version": held.version,
        "champion": entry.to_version,
        "approved": before is None,
    }
    if before is not None:
        return Report(f"already approved: version {held.version}, by {before.actor}", facts)
    undo = f"; to undo: mlops rollback --to {held.compared}" if held.compared else ""
    words = f"version {held.version} is the champion, approved by {entry.actor}{undo}"
    return Report(words, facts)
