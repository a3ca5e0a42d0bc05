"""A decision's folder: what the gate looked at and by which rule, so that anyone can judge again.

`decision.json` is the ledger's body, `scores.npz` every array of the exam, `lock.json` the rest:
exam and rules, and what they came from. Nothing is pickled, and whatever fields `Exam` and `Rules`
will have are kept without a word here.
"""

from __future__ import annotations

import platform
import zlib
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from mlops.adapters import dvc, files, git
from mlops.adapters.frozen import pack, unpack
from mlops.core.canonical import flat, from_json, to_json
from mlops.core.decision import Version  # noqa: TC001 - Lock is read back by its hints
from mlops.core.exam import Exam, Memory
from mlops.core.rules import Rules
from mlops.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from mlops.core.decision import Decision
    from mlops.site import Site

DECISION, LOCK, SCORES = "decision.json", "lock.json", "scores.npz"
PACKAGES = ("numpy", "scipy", "onnxruntime")
"""What a verdict's numbers are computed with."""

Pairs = tuple[tuple[str, str], ...]
_TABLES = ("params", "seeds", "md5s", "packages")


@dataclass(frozen=True)
class Lock:
    """What a verdict came from, besides exam and rules.

    Attributes:
        decision: id.
        now_s: the clock that said which rows are recent, seconds since 1970.
        candidate: version and digest of the candidate.
        champion: those of the champion; nothing if none was in service.
        data_digest: over ids, labels, keys and times of the rows compared.
        commit: git commit that was checked out; empty where unknown.
        diff: sha256 of what was changed and not committed; empty if nothing.
        params: `section.key` and JSON value of all that `promote` saw.
        seeds: `section.key` and value of every seed, training's as `dvc.lock` holds them.
        md5s: path and DVC md5 of every stage's output; empty before the first `dvc repro`.
        packages: name and version of what computed the numbers.
        scores: sha256 of `scores.npz`.
    """

    decision: str
    now_s: float
    candidate: Version
    champion: Version | None
    data_digest: str
    commit: str
    diff: str
    params: Pairs
    seeds: Pairs
    md5s: Pairs
    packages: Pairs
    scores: str = ""


@dataclass(frozen=True)
class Dossier:
    """Everything that a verdict can be derived from again."""

    exam: Exam
    rules: Rules
    lock: Lock


def keep(site: Site, decision: Decision, exam: Exam, rules: Rules, params: BaseModel) -> Decision:
    """Write a decision's folder, whole or not at all.

    Args:
        site: whose `.mlops/decisions/` it goes to.
        decision: what was decided.
        exam: the very exam that was judged.
        rules: the very rules that it was judged by.
        params: the sections of `params.yaml` that the step saw.

    Returns:
        The decision with the sha256 of its lockfile, which in turn vouches for the scores.
    """
    target = site.layout.decisions / decision.id
    fresh = target.with_name(f".{decision.id}.new")
    files.remove(fresh)
    fresh.mkdir(parents=True)
    write_evidence(fresh, exam, rules, _lock(site, decision, params))
    decision = replace(decision, evidence=files.sha256(fresh / LOCK))
    files.write_text(fresh / DECISION, to_json(decision) + "\n")
    files.swap_folder(fresh, target)
    return decision


def write_evidence(folder: Path, exam: Exam, rules: Rules, lock: Lock) -> None:
    """Write `scores.npz` and `lock.json`; equal evidence gives equal bytes.

    Of what the models have seen only the keys of rows that are compared are written: no other
    key can change a verdict.

    Raises:
        TypeError: if a field of exam or rules is nothing that can be kept.
    """
    arrays: dict[str, Any] = {}
    plain = {
        "exam": pack(reduced(exam), "exam", arrays), "rules": pack(rules, "rules", arrays),
    }  # fmt: skip
    with files.replacing(folder / SCORES) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)
    content = asdict(replace(lock, scores=files.sha256(folder / SCORES)))
    tables = {name: dict(content[name]) for name in _TABLES}
    files.write_json(folder / LOCK, {**content, **tables, **plain})


def read_evidence(folder: Path) -> Dossier:
    """Read back what `write_evidence` wrote.

    Raises:
        DataError: if a file is missing or damaged, `scores.npz` is not the one that the lock names,
            or the code's classes have other fields now.
    """
    content: dict[str, Any] = files.read_json(folder / LOCK)
    scores = folder / SCORES
    try:
        plain = {name: content.pop(name) for name in ("exam", "rules")}
        tables = {name: sorted(content[name].items()) for name in _TABLES}
        lock = from_json(Lock, to_json({**content, **tables}))
        if files.sha256(scores) != lock.scores:
            msg = f"{scores}: its sha256 is not the one in {LOCK}; it was changed: replay refused"
            raise DataError(msg)
        with np.load(scores, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        msg = f"{scores}: unreadable ({error})"
        raise DataError(msg) from None
    except (KeyError, AttributeError) as error:
        msg = f"{folder / LOCK}: {error} is missing or no table; it is no lockfile of a decision"
        raise DataError(msg) from None
    try:
        exam, rules = unpack(plain["exam"], arrays), unpack(plain["rules"], arrays)
    except DataError as error:
        at = f"commit {lock.commit[:12]}" if lock.commit else "the code that made it"
        msg = f"{folder / LOCK}: {error}; replay it with {at}"
        raise DataError(msg) from None
    if not isinstance(exam, Exam) or not isinstance(rules, Rules):
        msg = f"{folder / LOCK}: holds no exam and rules; it is no lockfile of a decision"
        raise DataError(msg)
    return Dossier(exam, rules, lock)


def reduced(exam: Exam) -> Exam:
    """Return the exam with what models have seen cut to the keys of its rows: judged alike."""
    keys = [np.ravel(keys) for keys in _keys(exam)]
    found: Exam = _cut(exam, np.concatenate(keys) if keys else np.array([], dtype=np.uint64))
    return found


def _keys(value: object) -> Iterator[Any]:
    """Yield every array that is called `key`, at any depth."""
    for part in value if isinstance(value, tuple) else ():
        yield from _keys(part)
    for field in fields(value) if is_dataclass(value) else ():
        part = getattr(value, field.name)
        if field.name == "key" and isinstance(part, np.ndarray):
            yield part
        yield from _keys(part)


def _cut(value: Any, keys: Any) -> Any:
    if isinstance(value, Memory):
        return value if value.seen is None else replace(value, seen=_shared(value.seen, keys))
    if isinstance(value, tuple):
        return tuple(_cut(part, keys) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _cut(getattr(value, f.name), keys) for f in fields(value)}
        return replace(value, **parts)
    return value


def _shared(seen: Any, keys: Any) -> Any:
    return np.intersect1d(seen, keys).astype(seen.dtype)


def packages() -> Pairs:
    """Return name and version of what computes a verdict's numbers, Python's among them."""
    found = {name: version(name) for name in PACKAGES}
    return tuple(sorted({**found, "python": platform.python_version()}.items()))


def uncommitted(root: Path) -> str:
    """Return the sha256 of what is changed and not committed; empty if nothing is."""
    changed = git.diff(root)
    return sha256(changed.encode()).hexdigest() if changed else ""


def _lock(site: Site, decision: Decision, params: BaseModel) -> Lock:
    root = site.layout.root
    seen = flat(params.model_dump(mode="json"))
    seeds = {n: v for n, v in (*dvc.locked_params(root), *seen) if n.endswith(".seed")}
    return Lock(
        decision=decision.id, now_s=site.now.timestamp(), candidate=decision.candidate,
        champion=decision.champion, data_digest=decision.data_digest, commit=git.commit(root),
        diff=uncommitted(root), params=tuple(sorted(seen)), seeds=tuple(sorted(seeds.items())),
        md5s=tuple(sorted(dvc.locked_md5s(root).items())), packages=packages(),
    )  # fmt: skip
