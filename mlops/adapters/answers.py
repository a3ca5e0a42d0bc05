"""A person's answer by command or by resuming a run: recorded once, followed, and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mlops.adapters import answered, approval, canary
from mlops.adapters.ledger import Ledger
from mlops.adapters.moves import apply, challenge, is_pending
from mlops.adapters.reconcile import reconcile_held
from mlops.adapters.registry import fetch
from mlops.adapters.sql.engine import database

if TYPE_CHECKING:
    from mlops.adapters.ledger import Entry, Kind
    from mlops.site import Site


@dataclass(frozen=True)
class Given:
    """An answer on record.

    Attributes:
        held: the decision that it answers.
        entry: the row that holds it.
        fresh: whether it was given now; else it stood before.
    """

    held: approval.Asked
    entry: Entry
    fresh: bool


def answer(site: Site, project: str, *, yes: bool) -> Given:
    """Answer the newest decision that waits, or that about the option `version=N`; once.

    The options `actor=NAME` and `way=flow` say who did so and how.

    Args:
        site: where it runs; `now` dates the answer.
        project: registered-model name.
        yes: whether the version is to come into service.

    Raises:
        LedgerError: if nothing waits, it was answered otherwise or withdrawn, or the champion
            compared is no longer in service.
        UnverifiedModel: if a version to be approved is not what the ledger vouches for.
        RegistryError: if it was deleted.
        Unavailable: if MLflow or the database does not answer.
    """
    kind: Kind = "approved" if yes else "declined"
    somebody = "mlops approve" if yes else "mlops reject"
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            reconcile_held(site, project, ledger)
            held = approval.find(ledger, site.option("version"))
            before = ledger.find(kind, held.entry.hash)
            way = cast("approval.Way", site.option("way", "command"))
            said = approval.Said(way, site.option("actor", somebody), site.now.timestamp())
            if yes:
                fetch(site, project, held.version, fresh=before is None)
                entry = approval.approve(ledger, held, said)
                if entry == ledger.last_move() and is_pending(ledger, entry):
                    apply(site, project, ledger, entry)
            else:
                entry = approval.decline(ledger, held, said)
                canary.end(site, project, held.version)  # again too: a kill may have spared it
            challenge(site, project, ledger)
            answered.tell(site, ledger, held, entry)
    return Given(held, entry, fresh=before is None)
