"""The alias follows the ledger; a person's move in MLflow stands and enters the ledger.

A promoter appends `decided(from, to)`, moves the alias, appends `applied`. After a kill:

| ledger's newest move | alias `champion` points at | what is done |
|---|---|---|
| not applied | from | the alias is moved, `applied` is appended |
| not applied | to | `applied` is appended |
| not applied, and to's stored files are not the ledger's | from or to | `withdrawn` is appended: \
from is in service, an incident is opened |
| any | a version that waits for approval | a person approved it so: `approved` is appended |
| any | something else | a person moved it: `observed` is appended |
| any | the same, and the waiting version's tag says yes | `approved` is appended, the alias moved |

`previous` is the version that was in service before; `challenger` the one that waits for a
person, if there is one. `shadow` is nobody's but a person's: nothing here moves it, and a row
`shadowed` says where it points. What a kill kept from the pages and mails is told again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters import observed
from mlops.adapters.approval import named
from mlops.adapters.ledger import WAIT_S, Entry, Ledger
from mlops.adapters.moves import apply, challenge, finish, is_pending, unsound, withdraw
from mlops.adapters.registry import champion
from mlops.adapters.retelling import retell
from mlops.adapters.sql.engine import database

if TYPE_CHECKING:
    from mlops.site import Site


def reconcile(site: Site, project: str, *, wait_s: int = WAIT_S) -> str:
    """Make the aliases and the ledger agree, and say what was done.

    Args:
        site: where it runs; `now` dates what is recorded.
        project: registered-model name.
        wait_s: how long to wait for somebody who is moving aliases, seconds.

    Raises:
        Busy: if somebody else moves aliases for longer than that.
        Unavailable: if MLflow or the database does not answer.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive(wait_s=wait_s):
            return reconcile_held(site, project, ledger)


def reconcile_held(site: Site, project: str, ledger: Ledger, *, urgent: bool = False) -> str:
    """Make aliases and ledger agree, for a caller that holds `ledger.exclusive()`.

    Args:
        site: where it runs; `now` dates what is recorded.
        project: registered-model name.
        ledger: its ledger.
        urgent: leave to the next start what a kill kept from pages and mails.

    Raises:
        Unavailable: if MLflow or the database does not answer.
    """
    settled = _settle(site, project, ledger)
    if not urgent:
        retell(site, project, ledger)
    challenge(site, project, ledger)
    observed.shadow(site, project, ledger)
    observed.agreed(site, project, ledger.last_move())
    return settled


def _settle(site: Site, project: str, ledger: Ledger) -> str:
    move, actual = ledger.last_move(), champion(site, project)
    if move is not None and is_pending(ledger, move) and actual in (
        move.from_version, move.to_version
    ):  # fmt: skip
        return _repair(site, project, ledger, move)
    if actual == (move.to_version if move else None):
        agreed = f"ledger and alias agree: {named(actual)} is the champion"
        return observed.read_tags(site, project, ledger) or agreed
    return observed.moved(site, project, ledger, (move, actual))


def _repair(site: Site, project: str, ledger: Ledger, move: Entry) -> str:
    """Let the alias follow a move that a kill cut off, or end that move as not applied."""
    expected = move.to_version
    wrong = "" if expected is None else unsound(site, project, expected)
    if wrong:
        withdrawn = withdraw(site, project, ledger, move, wrong)
        return f"withdrew what could not be verified: {named(withdrawn.to_version)} is the champion"
    if champion(site, project) == expected:
        finish(site, project, ledger, move)
        said = f"{named(expected)} is the champion, as decided; recorded as applied"
    else:
        apply(site, project, ledger, move)
        said = f"moved the alias to {named(expected)}, as decided before a crash"
    return said
