"""What people do in MLflow: aliases that they move, tags that they write; it enters the ledger.

MLflow records neither who moved an alias nor when. What can be known is the time at which it last
stood as the ledger says, and the time at which it did not: a row of these names both.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.adapters import answered, approval, canary, files
from mlops.adapters.approval import named
from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.moves import Note, apply, finish, is_sound, remember
from mlops.adapters.registry import alias, fetch
from mlops.adapters.verdicts import newest
from mlops.adapters.versions import look
from mlops.core.canonical import to_json
from mlops.errors import DataError, LedgerError, RegistryError

if TYPE_CHECKING:
    from mlops.site import Site

_START = "start"


def agreed(site: Site, project: str, move: Entry | None) -> None:
    """Keep the time at which the alias was seen to stand as the ledger's newest move says."""
    row = move.hash if move else _START
    content = {"row": row, "at_s": site.now.timestamp()}
    files.write_json(site.layout.agreed / f"{project}.json", content)


def moved(site: Site, project: str, ledger: Ledger, found: tuple[Entry | None, str | None]) -> str:
    """Record what a person did to `champion`: the approval of what waits, or a move of their own.

    Args:
        site: where it runs; `now` is when it was found.
        project: registered-model name.
        ledger: held by the caller.
        found: the newest move, and the version that the alias points at instead.
    """
    move, actual = found
    expected = move.to_version if move else None
    waits = [a for a in approval.unanswered(ledger.entries()) if a.version == actual]
    between = _between(site, project, move)
    if waits and waits[0].compared == expected and is_sound(site, project, waits[0].version):
        now_s = site.now.timestamp()
        yes = approval.Said(way="alias", actor=approval.SOMEBODY, at_s=now_s, when=between)
        entry = approval.approve(ledger, waits[0], yes)
        finish(site, project, ledger, entry)
        answered.tell(site, ledger, waits[0], entry)
        return f"version {actual} was approved by moving the alias champion"
    words = f"the alias was moved from {named(expected)} to {named(actual)} outside mlops"
    row = _row(site, "observed", move, (expected, actual), f"{words}, {between}")
    ledger.append(row)
    remember(site, project, expected)
    return words


def shadow(site: Site, project: str, ledger: Ledger) -> None:
    """Record where a person has pointed the alias `shadow`, and say so on the versions' pages.

    For a caller that holds `ledger.exclusive()`.
    """
    last = ledger.last("shadowed")
    before, actual = last.to_version if last else None, alias(site, project, "shadow")
    if before == actual:
        return
    words = f"the alias shadow was moved from {named(before)} to {named(actual)} in MLflow"
    ledger.append(_row(site, "shadowed", last, (before, actual), words))
    entries = ledger.entries()
    for version in filter(None, (before, actual)):
        decision = newest(entries, version)
        if decision is not None and look(site, project, version) is not None:
            answered.show(site, decision)


def read_tags(site: Site, project: str, ledger: Ledger) -> str | None:
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
        canary.end(site, project, held.version)  # before the row: its tag is read no more after
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


def _row(
    site: Site, kind: str, before: Entry | None, change: tuple[str | None, str | None], words: str
) -> Row:
    base = before.hash if before else _START
    return Row(
        kind="observed" if kind == "observed" else "shadowed",
        key=hashlib.sha256(f"{base}:{change[1]}".encode()).hexdigest(),
        at_s=site.now.timestamp(),
        actor=approval.SOMEBODY,
        from_version=change[0],
        to_version=change[1],
        body=to_json(Note(words)),
    )


def _between(site: Site, project: str, move: Entry | None) -> str:
    """Say when it happened, as far as anybody can know."""
    now, row = _moment(site.now.timestamp()), move.hash if move else _START
    # Without what this host has seen, the ledger's own row bounds it, if loosely.
    since_s = move.at_s if move else None
    try:
        kept = files.read_json(site.layout.agreed / f"{project}.json")
        since_s = float(str(kept["at_s"])) if kept["row"] == row else since_s
    except (DataError, KeyError, ValueError):
        pass  # none yet, or damaged
    return f"before {now}" if since_s is None else f"between {_moment(since_s)} and {now}"


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
