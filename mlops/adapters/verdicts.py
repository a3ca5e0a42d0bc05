"""The ledger's decisions as they stand: with what people answered and what was withdrawn since.

A row never changes, so each is read once in a process, however often a verb asks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mlops.adapters.chain import since_renumbered
from mlops.core.canonical import from_json
from mlops.core.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops.adapters.ledger import Entry

_MOST = 4096  # decisions that are kept, some kB each


@lru_cache(maxsize=_MOST)
def read(body: str) -> Decision:
    """Return the decision that a row's body holds, as it was made.

    Raises:
        DataError: if the body is none.
    """
    return from_json(Decision, body)


def standing(entries: Sequence[Entry], decided: Entry) -> Decision:
    """Return a decision as it stands now: answered since by a person, or withdrawn."""
    return _stand(decided, _since(entries))


def standings(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Decision]]:
    """Yield the row of every decision and the decision as it stands now, the oldest first."""
    since = _since(entries)
    yield from ((e, _stand(e, since)) for e in entries if e.kind == "decided")


def newest(entries: Sequence[Entry], version: str) -> Decision | None:
    """Return the newest decision about a version, as it stands, if there is one."""
    decided = newest_decided(entries).get(version)
    return None if decided is None else standing(entries, decided)


def newest_decided(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return version → row of the newest decision about it, the oldest first."""
    found: dict[str, Entry] = {}
    for entry in since_renumbered(entries):
        if entry.kind == "decided":
            version = read(entry.body).candidate.version
            found.pop(version, None)
            found[version] = entry
    return found


def _since(entries: Sequence[Entry]) -> Mapping[tuple[str, str], Entry]:
    return {(e.kind, e.key): e for e in entries if e.kind in ("approved", "declined", "withdrawn")}


def _stand(decided: Entry, since: Mapping[tuple[str, str], Entry]) -> Decision:
    decision, yes = read(decided.body), since.get(("approved", decided.hash))
    if ("withdrawn", (yes or decided).hash) in since:
        return replace(decision, approval="withdrawn")
    if yes is not None:
        return replace(decision, approval="approved")
    no = since.get(("declined", decided.hash))
    return decision if no is None else replace(decision, approval="declined")
