"""The alias follows the ledger; a person's move in MLflow stands and enters the ledger.

A promoter appends `decided(from, to)`, moves the alias, appends `applied`. After a kill:

| ledger's newest move | alias `champion` points at | what is done |
|---|---|---|
| not applied | from | the alias is moved, `applied` is appended |
| not applied | to | `applied` is appended |
| any | a version that waits for approval | a person approved it so: `approved` is appended |
| any | something else | a person moved it: `observed` is appended |
| any | the same, and the waiting version's tag says yes | `approved` is appended, the alias moved |

`previous` is the version that was in service before; `challenger` the one that waits for a
person, if there is one. `shadow` is nobody's but a person's: nothing here reads or moves it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import answered, approval
from mlops.adapters.ledger import WAIT_S, Entry, Ledger, Row
from mlops.adapters.registry import alias, champion, fetch, set_alias, source_of
from mlops.adapters.sql.engine import database
from mlops.adapters.versions import drop_alias, look
from mlops.core.canonical import to_json
from mlops.errors import LedgerError, RegistryError

if TYPE_CHECKING:
    from mlops.site import Site


@dataclass(frozen=True)
class Note:
    """Body of a row that is no decision.

    Attributes:
        words: what happened.
    """

    words: str


def reconcile(site: Site, project: str, *, wait_s: int = WAIT_S) -> str:
    """Make the aliases and the ledger agree, and say what was done.

    Args:
        site: where it runs; `now` dates what is recorded.
        project: registered-model name.
        wait_s: how long to wait for somebody who is moving aliases, seconds.

    Raises:
        Busy: if somebody else moves aliases for longer than that.
        Unavailable: if MLflow or the database does not answer.
        UnverifiedModel: if the version to be applied is not what the ledger vouches for.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive(wait_s=wait_s):
            return reconcile_held(site, project, ledger)


def reconcile_held(site: Site, project: str, ledger: Ledger) -> str:
    """Make aliases and ledger agree, for a caller that holds `ledger.exclusive()`.

    Raises:
        Unavailable: if MLflow or the database does not answer.
        UnverifiedModel: if the version to be applied is not what the ledger vouches for.
    """
    settled = _settle(site, project, ledger)
    challenge(site, project, ledger)
    return settled


def _settle(site: Site, project: str, ledger: Ledger) -> str:
    move, actual = ledger.last_move(), champion(site, project)
    expected = move.to_version if move else None
    if move is not None and is_pending(ledger, move):
        if actual == expected:
            finish(site, project, ledger, move)
            _tell_again(site, ledger, move)
            return f"version {expected} is the champion, as decided; recorded as applied"
        if actual == move.from_version and source_of(site, project, str(expected)) is not None:
            fetch(site, project, str(expected))
            apply(site, project, ledger, move)
            _tell_again(site, ledger, move)
            return f"moved the alias to version {expected}, as decided before a crash"
    if actual == expected:
        agreed = f"ledger and alias agree: {_named(actual)} is the champion"
        return _read_tags(site, project, ledger) or agreed
    return _moved(site, project, ledger, (move, actual))


def _moved(site: Site, project: str, ledger: Ledger, found: tuple[Entry | None, str | None]) -> str:
    """Record what a person did to the alias: the approval of what waits, or a move of their own."""
    move, actual = found
    expected = move.to_version if move else None
    now_s = site.now.timestamp()
    waits = [a for a in approval.unanswered(ledger.entries()) if a.version == actual]
    if waits and waits[0].compared == expected and _is_sound(site, project, waits[0].version):
        yes = approval.Said(way="alias", actor=approval.SOMEBODY, at_s=now_s)
        entry = approval.approve(ledger, waits[0], yes)
        finish(site, project, ledger, entry)
        answered.tell(site, ledger, waits[0], entry)
        return f"version {actual} was approved by moving the alias champion"
    words = f"the alias was moved from {_named(expected)} to {_named(actual)} outside mlops"
    base = move.hash if move else "start"
    ledger.append(
        Row(
            kind="observed",
            key=hashlib.sha256(f"{base}:{actual}".encode()).hexdigest(),
            at_s=now_s,
            actor=approval.SOMEBODY,
            from_version=expected,
            to_version=actual,
            body=to_json(Note(words)),
        )
    )
    _remember(site, project, expected)
    return words


def _read_tags(site: Site, project: str, ledger: Ledger) -> str | None:
    """Act on an answer that a person wrote into a waiting version's tag."""
    serving = ledger.in_service()
    open_ones = approval.unanswered(ledger.entries())
    # What was compared with another champion cannot be approved; of those only the newest is
    # looked at, to tell whoever tries.
    for held in [a for a in open_ones if a.compared == serving] or open_ones[:1]:
        seen = look(site, project, held.version)
        said, actor = approval.read_tag(seen.tags.get(approval.TAG) if seen else None)
        if said is None:
            continue
        return _act(site, project, ledger, held, (said, actor))
    return None


def _act(
    site: Site, project: str, ledger: Ledger, held: approval.Asked, answer: tuple[bool, str]
) -> str:
    yes, actor = answer
    said = approval.Said(way="tag", actor=actor, at_s=site.now.timestamp())
    if not yes:
        answered.tell(site, ledger, held, approval.decline(ledger, held, said))
        return f"version {held.version} was declined by its tag"
    try:
        fetch(site, project, held.version, fresh=True)
        entry = approval.approve(ledger, held, said)
    except (LedgerError, RegistryError) as error:
        return f"the tag {approval.TAG} cannot be followed: {error}"
    apply(site, project, ledger, entry)
    answered.tell(site, ledger, held, entry)
    return f"version {held.version} was approved by its tag; it is the champion"


def _tell_again(site: Site, ledger: Ledger, move: Entry) -> None:
    """Tell of an approval that a kill cut off before anybody was told."""
    held = next((a for a in approval.asked(ledger.entries()) if a.entry.hash == move.key), None)
    if held is not None and move.kind == "approved":
        answered.tell(site, ledger, held, move)


def _is_sound(site: Site, project: str, version: str) -> bool:
    """Say whether a version is what the ledger vouches for; if not, nobody can have approved it."""
    try:
        fetch(site, project, version, fresh=True)
    except RegistryError:
        return False  # the move is recorded as any other; the server refuses the version
    return True


def is_pending(ledger: Ledger, move: Entry) -> bool:
    """Say whether the alias may not have followed a move yet."""
    moves = move.kind != "observed" and move.from_version != move.to_version
    return moves and ledger.find("applied", move.hash) is None


def apply(site: Site, project: str, ledger: Ledger, move: Entry) -> None:
    """Move the alias as the ledger's row says, for a caller that holds `ledger.exclusive()`."""
    set_alias(site, project, "champion", str(move.to_version))
    finish(site, project, ledger, move)


def finish(site: Site, project: str, ledger: Ledger, move: Entry) -> None:
    """Point `previous` at the version replaced, and record the move as applied."""
    _remember(site, project, move.from_version)
    ledger.append(
        Row(
            kind="applied",
            key=move.hash,
            at_s=site.now.timestamp(),
            actor=move.actor,
            from_version=move.from_version,
            to_version=move.to_version,
            body=to_json(Note(f"the alias follows row {move.number}")),
        )
    )


def challenge(site: Site, project: str, ledger: Ledger) -> None:
    """Point `challenger` at what waits for a person; remove it where we set it and nothing waits.

    For a caller that holds `ledger.exclusive()`.
    """
    ours = {a.version for a in approval.asked(ledger.entries())}
    if not ours:
        return  # nobody was ever asked: the alias is a person's own
    held, actual = approval.waiting(ledger), alias(site, project, "challenger")
    if held is None or source_of(site, project, held.version) is None:
        if actual in ours:
            drop_alias(site, project, "challenger")
    elif actual != held.version and _is_sound(site, project, held.version):
        set_alias(site, project, "challenger", held.version)


def _remember(site: Site, project: str, version: str | None) -> None:
    if version is None or alias(site, project, "previous") == version:
        return
    if source_of(site, project, version) is not None:  # it may have been deleted
        set_alias(site, project, "previous", version)


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
