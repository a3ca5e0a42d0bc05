"""The alias follows the ledger; a person's move in MLflow stands and enters the ledger.

A promoter appends `decided(from, to)`, moves the alias, appends `applied`. After a kill:

| ledger's newest move | alias points at | what is done |
|---|---|---|
| not applied | from | the alias is moved, `applied` is appended |
| not applied | to | `applied` is appended |
| any | something else | a person moved it: `observed` is appended |
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.registry import alias, champion, fetch, set_alias, source_of
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json

if TYPE_CHECKING:
    from mlops.site import Site


@dataclass(frozen=True)
class Note:
    """Body of a row that is no decision.

    Attributes:
        words: why, in a sentence.
    """

    words: str


def reconcile(site: Site, project: str) -> str:
    """Make alias and ledger agree, and say what was done.

    Raises:
        Busy: if somebody else is moving aliases.
        Unavailable: if MLflow or the database does not answer.
        UnverifiedModel: if the version to be applied is not what the ledger vouches for.
    """
    with database(site) as engine:
        ledger = Ledger(engine, project)
        with ledger.exclusive():
            return reconcile_held(site, project, ledger)


def reconcile_held(site: Site, project: str, ledger: Ledger) -> str:
    """Do what `reconcile` does, for a caller that holds `ledger.exclusive()`."""
    move, actual = ledger.last_move(), champion(site, project)
    expected = move.to_version if move else None
    if move is not None and is_pending(ledger, move):
        if actual == expected:
            finish(site, project, ledger, move)
            return f"version {expected} is the champion, as decided; recorded as applied"
        if actual == move.from_version and source_of(site, project, str(expected)) is not None:
            fetch(site, project, str(expected))
            apply(site, project, ledger, move)
            return f"moved the alias to version {expected}, as decided before a crash"
    if actual == expected:
        return f"ledger and alias agree: {_named(actual)} is the champion"
    words = f"the alias was moved from {_named(expected)} to {_named(actual)} outside mlops"
    base = move.hash if move else "start"
    ledger.append(
        Row(
            kind="observed",
            key=hashlib.sha256(f"{base}:{actual}".encode()).hexdigest(),
            at_s=site.now.timestamp(),
            actor="somebody, in MLflow",
            from_version=expected,
            to_version=actual,
            body=to_json(Note(words)),
        )
    )
    _remember(site, project, expected)
    return words


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


def _remember(site: Site, project: str, version: str | None) -> None:
    if version is None or alias(site, project, "previous") == version:
        return
    if source_of(site, project, version) is not None:  # it may have been deleted
        set_alias(site, project, "previous", version)


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
