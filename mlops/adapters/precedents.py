"""Earlier decisions as far as they bind the next: rows looked at, rows spent, the anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.chain import since_renumbered
from mlops.adapters.moves import effective
from mlops.adapters.verdicts import standings
from mlops.core.exam import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops.adapters.ledger import Entry
    from mlops.core.decision import Decision


def looks_of(entries: Sequence[Entry]) -> tuple[Look, ...]:
    """Return the times of the recent rows that earlier verdicts looked at.

    Those of a promotion that took effect are spent. What a person declined, has yet to approve, or
    overtook before the alias had followed, has paid for its look and spends nothing.
    """
    effect = _promoted(entries)
    seen = [(d.verdict.evidence, e.number in effect) for e, d in standings(entries)]
    return tuple(
        Look(e.recent_since_s, e.recent_until_s, promoted)
        for e, promoted in seen
        if e.recent_since_s is not None and e.recent_until_s is not None
    )


def anchor_of(entries: Sequence[Entry], candidate: str) -> str | None:
    """Return the last version shown better than the one before it, or else the first in service.

    A promotion within a margin does not move the anchor: that is what keeps losses from adding
    up. A version that somebody rolled back from has disproved itself, until it serves again.
    Where none is left, the first version that ever served is better than no cap at all.

    Args:
        entries: the project's ledger.
        candidate: the version to be judged, which is no anchor of its own.
    """
    entries = since_renumbered(entries)
    moves = effective(entries)
    left = _left(moves)
    proven = [
        d.candidate.version
        for d in _promoted(entries).values()
        if d.champion is None or (d.verdict.evidence.lower or 0.0) > 0.0
    ]
    found = next((v for v in reversed(proven) if v not in left and v != candidate), None)
    if found is not None:
        return found
    return next((e.to_version for e in moves if e.to_version not in (None, candidate)), None)


def heir_of(
    entries: Sequence[Entry], anchor: str, candidate: str, there: Callable[[str], bool]
) -> str | None:
    """Return the oldest version still there that a verdict put in service after an anchor.

    Where the anchor was deleted it takes its place: it was within the margin of it, or near. With
    none left but the one in service, nothing is returned: losses are counted from that one anew.

    Args:
        entries: the project's ledger.
        anchor: the version that was deleted.
        candidate: the version to be judged.
        there: whether a version can be compared with: it is vouched for and in the registry.
    """
    entries = since_renumbered(entries)
    moves = effective(entries)
    since, left = next((e.number for e in moves if e.to_version == anchor), 0), _left(moves)
    later = (d.candidate.version for n, d in _promoted(entries).items() if n > since)
    return next((v for v in later if v not in left and v != candidate and there(v)), None)


def removed(entries: Sequence[Entry]) -> str | None:
    """Return the last version in service if somebody has taken it out and put none in its place."""
    served = [e.to_version for e in effective(entries)]
    if not served or served[-1] is not None:
        return None
    return next((v for v in reversed(served) if v is not None), None)


def _left(moves: Sequence[Entry]) -> set[str | None]:
    """Return the versions that were rolled back from and have not served since.

    A rollback and its undo cancel each other: the undo says nothing against the version it leaves.
    """
    kept: list[Entry] = []
    for move in moves:
        if kept and _undoes(move, kept[-1]):
            kept.pop()
        else:
            kept.append(move)
    left: set[str | None] = set()
    for move in kept:
        if move.kind == "rollback":
            left.add(move.from_version)
        left.discard(move.to_version)
    return left


def _undoes(move: Entry, before: Entry) -> bool:
    back = (before.to_version, before.from_version)
    both = move.kind == before.kind == "rollback"
    return both and (move.from_version, move.to_version) == back


def _promoted(entries: Sequence[Entry]) -> dict[int, Decision]:
    """Return number of row → decision of the promotions that took effect: the alias followed.

    One that was killed before that, and overtaken by a person's move in MLflow, never did.
    """
    followed = {e.key for e in entries if e.kind == "applied"}
    yes = {e.key: e.hash for e in entries if e.kind == "approved"}
    return {
        e.number: d
        for e, d in standings(entries)
        if d.verdict.outcome == "promote" and d.approval in ("auto", "approved")
        and yes.get(e.hash, e.hash) in followed
    }  # fmt: skip
