"""The aliases follow the ledger: a row that says which version is in service, then its alias.

What moves an alias here has hashed the store's own bytes before: no alias of ours ever points at
a version that the ledger does not vouch for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops.adapters import approval, canary, serving_incidents
from mlops.adapters.ledger import MOVES, Entry, Ledger, Row
from mlops.adapters.registry import alias, champion, fetch, set_alias, source_of
from mlops.adapters.versions import drop_alias
from mlops.core.canonical import to_json
from mlops.errors import RegistryError, UnverifiedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops.site import Site


@dataclass(frozen=True)
class Note:
    """Body of a row that is no decision.

    Attributes:
        words: what happened.
    """

    words: str


def effective(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the rows that put a version in service or took it out, the oldest first."""
    ended = {e.key for e in entries if e.kind == "withdrawn"}
    return tuple(
        e for e in entries
        if e.kind in MOVES and e.hash not in ended and e.from_version != e.to_version
        and (e.kind != "withdrawn" or e.to_version is None)
    )  # fmt: skip


def since(entries: Sequence[Entry], version: str) -> float:
    """Return when a version came into service last, seconds since 1970; 0 if no row says."""
    came = (e.at_s for e in reversed(effective(entries)) if e.to_version == version)
    return next(came, 0.0)


def is_pending(ledger: Ledger, move: Entry) -> bool:
    """Say whether the alias may not have followed a move yet."""
    moves = move.kind != "observed" and move.from_version != move.to_version
    return moves and ledger.find("applied", move.hash) is None


def apply(site: Site, project: str, ledger: Ledger, move: Entry) -> None:
    """Move the alias as the ledger's row says, for a caller that holds `ledger.exclusive()`.

    The caller has fetched the version `fresh`.
    """
    if move.to_version is None:
        drop_alias(site, project, "champion")
    elif move.kind != "withdrawn" or champion(site, project) != move.to_version:
        set_alias(site, project, "champion", move.to_version)
    finish(site, project, ledger, move)


def finish(site: Site, project: str, ledger: Ledger, move: Entry) -> None:
    """Point `previous` at what was replaced, end the canary of what came, record the move."""
    if move.kind != "withdrawn":
        remember(site, project, move.from_version)
    if move.to_version is not None:
        canary.end(site, project, move.to_version)
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


def withdraw(site: Site, project: str, ledger: Ledger, move: Entry, reason: str) -> Entry:
    """End a move whose version cannot be verified as not applied, and open an incident.

    What was in service before it stays, or returns if the alias had followed already. Where that
    version cannot be verified either, nothing is left in service.

    Args:
        site: where it runs; `now` dates the row.
        project: registered-model name.
        ledger: held by the caller.
        move: the newest move, not applied.
        reason: what is wrong with the version's files.

    Raises:
        Unavailable: if MLflow or the database does not answer.
    """
    stays = move.from_version if move.kind != "withdrawn" else None
    if stays is not None and champion(site, project) != stays and not is_sound(
        site, project, stays
    ):  # fmt: skip
        stays = None
    back = "nothing is in service" if stays is None else f"version {stays} is in service"
    words = f"row {move.number} was not applied: {reason}; {back}"
    entry = ledger.append(
        Row(
            kind="withdrawn",
            key=move.hash,
            at_s=site.now.timestamp(),
            actor="mlops reconcile",
            from_version=move.to_version,
            to_version=stays,
            body=to_json(Note(words)),
        )
    )
    now_s = site.now.timestamp()
    version = str(move.to_version)
    serving_incidents.open_refusal(ledger.engine, project, version, words, at_s=now_s)
    apply(site, project, ledger, entry)
    return entry


def unsound(site: Site, project: str, version: str) -> str:
    """Say why a version is not what the ledger vouches for; empty if it is.

    Raises:
        RegistryError: if MLflow refuses to answer, which says nothing of the version.
        Unavailable: if it does not answer.
    """
    if source_of(site, project, version) is None:
        return f"version {version} is not in MLflow any more"
    try:
        fetch(site, project, version, fresh=True)
    except UnverifiedModel as error:
        return str(error)
    return ""


def is_sound(site: Site, project: str, version: str) -> bool:
    """Say whether a version is what the ledger vouches for; if not, no alias of ours goes there."""
    try:
        return not unsound(site, project, version)
    except RegistryError:
        return False


def remember(site: Site, project: str, version: str | None) -> None:
    """Point `previous` at a version that was in service, if it is there and sound still."""
    if version is None or alias(site, project, "previous") == version:
        return
    if is_sound(site, project, version):
        set_alias(site, project, "previous", version)


def challenge(site: Site, project: str, ledger: Ledger) -> None:
    """Point `challenger` at what waits for a person; remove it where we set it and nothing waits.

    A canary that runs keeps the alias until it is ended, for without it the traffic would end.
    For a caller that holds `ledger.exclusive()`.
    """
    ours = {a.version for a in approval.asked(ledger.entries())}
    if not ours:
        return  # nobody was ever asked: the alias is a person's own
    held, actual = approval.waiting(ledger), alias(site, project, "challenger")
    settled = (None, ledger.in_service(), held.version if held else None)
    if actual not in settled and canary.is_tried(site, project, str(actual)):
        return
    if held is None or source_of(site, project, held.version) is None:
        if actual in ours:
            drop_alias(site, project, "challenger")
    elif actual != held.version and is_sound(site, project, held.version):
        set_alias(site, project, "challenger", held.version)
