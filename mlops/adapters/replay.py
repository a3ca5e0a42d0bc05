"""A past decision, derived again from its lockfile by the same pure gate."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, is_dataclass
from typing import TYPE_CHECKING

from mlops.adapters import evidence, files, git
from mlops.adapters.decisions import find, locate
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Verdict
from mlops.core.gate import judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops.adapters.evidence import Dossier, Lock
    from mlops.core.decision import Decision
    from mlops.site import Site

ABSENT = "absent"


@dataclass(frozen=True)
class Difference:
    """One value that is not what the ledger holds.

    Attributes:
        field: dotted path: `verdict.evidence.lower`.
        recorded: as the ledger has it, as JSON; `absent` if it has no such field.
        replayed: as it was derived now, likewise.
    """

    field: str
    recorded: str
    replayed: str


@dataclass(frozen=True)
class Replay:
    """What judging again came to.

    Attributes:
        decision: the ledger's, with the recorded verdict.
        folder: where the evidence lies.
        differences: nothing if the verdict is identical, bit by bit.
        hints: what has changed since and may be why; nothing if nothing has.
    """

    decision: Decision
    folder: str
    differences: tuple[Difference, ...]
    hints: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """Whether every field of the verdict is what the ledger holds."""
        return not self.differences


def replay(site: Site, project: str, decision_id: str) -> Replay:
    """Judge a decision's evidence again and compare every field with the ledger.

    Args:
        site: whose ledger and folders.
        project: registered-model name.
        decision_id: id, or the beginning of one.

    Raises:
        LedgerError: if there is no such decision.
        DataError: if its evidence is lost, damaged or of other code.
        Unavailable: if the database or MLflow does not answer.
    """
    decision = find(site, project, decision_id)
    folder = locate(site, decision)
    dossier = evidence.read_evidence(folder)
    verdict = _as_recorded(judge(dossier.exam, dossier.rules))
    found = [*_identity(decision, dossier, folder), *compare(decision.verdict, verdict, "verdict")]
    return Replay(decision, str(folder), tuple(found), _hints(site, dossier.lock))


def compare(recorded: object, replayed: object, field: str) -> tuple[Difference, ...]:
    """Compare two dataclasses leaf by leaf, as the JSON that the ledger holds: exactly."""
    one, two = dict(_leaves(recorded, field)), dict(_leaves(replayed, field))
    return tuple(
        Difference(name, one.get(name, ABSENT), two.get(name, ABSENT))
        for name in dict.fromkeys([*one, *two])
        if one.get(name) != two.get(name)
    )


def _leaves(value: object, field: str) -> Iterator[tuple[str, str]]:
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    if isinstance(plain, dict):
        parts = [(str(name), part) for name, part in plain.items()]
    elif isinstance(plain, list | tuple):
        parts = [(str(place), part) for place, part in enumerate(plain)]
    else:
        yield field, json.dumps(plain, ensure_ascii=False)
        return
    for name, part in parts:
        yield from _leaves(part, f"{field}.{name}")


def _as_recorded(verdict: Verdict) -> Verdict:
    """Return a verdict as it would come back from the ledger: whole floats stay floats."""
    try:
        return from_json(Verdict, to_json(verdict))
    except ValueError:
        return verdict  # NaN, which no ledger holds: it will differ


def _identity(decision: Decision, dossier: Dossier, folder: Path) -> Iterator[Difference]:
    """Hold the lock against what the ledger says that it was judged by."""
    lock = dossier.lock
    if decision.evidence:  # records from before it was kept lack it
        yield from compare(decision.evidence, files.sha256(folder / evidence.LOCK), "evidence")
    rules = hashlib.sha256(to_json(dossier.rules).encode()).hexdigest()
    for field, recorded, found in (
        ("params_digest", decision.params_digest, rules),
        ("data_digest", decision.data_digest, lock.data_digest),
        ("candidate", decision.candidate, lock.candidate),
        ("champion", decision.champion, lock.champion),
    ):
        yield from compare(recorded, found, field)


def _hints(site: Site, lock: Lock) -> tuple[str, ...]:
    """Name what has changed since the decision: the first places to look at."""
    root, then, now = site.layout.root, dict(lock.packages), dict(evidence.packages())
    hints = [
        f"{name} was {then.get(name, ABSENT)}, is {now.get(name, ABSENT)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    commit = git.commit(root)
    if commit != lock.commit:
        hints.append(f"code was at {_short(lock.commit)}, is at {_short(commit)}")
    if evidence.uncommitted(root) != lock.diff:
        hints.append("uncommitted changes of the code are not those of the decision")
    return tuple(hints)


def _short(commit: str) -> str:
    return f"commit {commit[:12]}" if commit else "an unknown commit"
