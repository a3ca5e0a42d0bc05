"""Step `reject`: a person's no ends the wait of a version; what is in service stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mlops.adapters import answered, approval
from mlops.adapters.ledger import Ledger
from mlops.adapters.moves import challenge
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.sql.engine import database
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.site import Report

if TYPE_CHECKING:
    from mlops.site import Facts, Site


class RejectParams(View):
    """What `reject` sees: the name."""

    project: ProjectSection


def reject(params: RejectParams, site: Site) -> Report:
    """Decline the newest decision that waits, or that about the option `version=N`; once.

    The options `actor=NAME` and `way=flow` say who did so and how.

    Raises:
        UsageError: if nothing waits.
        LedgerError: if it was approved.
        Unavailable: if MLflow or the database does not answer.
    """
    project = params.project.name
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            reconcile_held(site, project, ledger)
            held = approval.find(ledger, site.option("version"))
            before = ledger.find("declined", held.entry.hash)
            way = cast("approval.Way", site.option("way", "command"))
            actor = site.option("actor", "mlops reject")
            said = approval.Said(way, actor, site.now.timestamp())
            entry = approval.decline(ledger, held, said)
            challenge(site, project, ledger)
            answered.tell(site, ledger, held, entry)
    facts: Facts = {"version": held.version, "declined": before is None}
    known = "already declined: " if before else ""
    return Report(f"{known}version {held.version}, by {entry.actor}; nothing has moved", facts)
