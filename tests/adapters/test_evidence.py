from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters import dvc, evidence
from mlops.adapters.files import sha256
from mlops.adapters.frozen import pack, unpack
from mlops.core.decision import Check, Metric, Version
from mlops.core.exam import Cohort, Exam, Look, Memory, Paired, Trial
from mlops.core.gate import judge
from mlops.core.rules import Rules
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

RULES = Rules(
    margin=0.0, alpha=0.05, power=0.8, effect=0.03, min_rows=60, min_coverage=0.9,
    anchor_margin=0.05, non_inferiority=(("base_accuracy", 0.05), ("log_loss", 0.3)),
    floors=(("accuracy", 0.5), ("roc_auc", 0.5)), ceilings=(("latency_ms", 50.0),), slices=(),
    protected=(), required_slices=(), min_slice_rows=20, resamples=500, seed=7, gap_s=0.0,
    block_s=0.0,
)  # fmt: skip
TRIAL = Trial(latency_ms=1.25, memory_mb=80.0, size_mb=1.0, worst_difference=0.0)
LOCK = evidence.Lock(
    decision="abc", now_s=1.5, candidate=Version("2", "d2", "r2"), champion=Version("1", "d1", ""),
    data_digest="rows", commit="c0ffee", diff="", params=(("gate.alpha", "0.05"),),
    seeds=(("gate.seed", "7"),), md5s=(("data/snapshot", "aa.dir"),), packages=(("numpy", "2"),),
)  # fmt: skip


def paired(n: int, seed: int) -> Paired:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, n)
    better, worse = (rng.dirichlet((1, 1, 1), n) for _ in range(2))
    better[np.arange(n), label] += 2.0
    worse[np.arange(n), label] += 0.6
    return Paired(
        label, (better / better.sum(1, keepdims=True)).astype(np.float32),
        (worse / worse.sum(1, keepdims=True)).astype(np.float32),
        rng.integers(0, 300, n).astype(np.uint64), np.linspace(100.0, 200.0, n),
    )  # fmt: skip


def exam(**changes: Any) -> Exam:
    """Return an exam of which both models have seen a few keys of the rows, and many others."""
    recent, base = paired(200, 1), paired(150, 2)
    other = np.arange(1000, 90_000, dtype=np.uint64)
    return Exam(
        ("a", "b", "c"), recent, base,
        Memory(np.concatenate([recent.key[:9], other]), 120.0),
        Memory(np.concatenate([base.key[:5], other]), None), TRIAL, **changes,
    )  # fmt: skip


def same(one: object, two: object) -> bool:
    """Compare as values: arrays by dtype, shape and bits, NaN included."""
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    if isinstance(one, tuple) and isinstance(two, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if hasattr(one, "__dataclass_fields__"):
        return type(one) is type(two) and same(tuple(vars(one).values()), tuple(vars(two).values()))
    return type(one) is type(two) and repr(one) == repr(two)


CASES = [
    exam(),
    exam(cohort=Cohort(400, 390, 300.0), looks=(Look(1.0, 150.0, promoted=False),)),
    exam(faults=("the champion: is lost", 'ä\n"')),
    replace(exam(), champion=None, trial=None),
    replace(exam(), trial=replace(TRIAL, latency_ms=float("nan"))),
    replace(exam(), candidate=Memory(None, float("inf"))),
    replace(exam(), recent=replace(paired(200, 1), candidate=None)),
    replace(exam(), recent=paired(200, 1).take(np.zeros(200, dtype=bool))),
]  # fmt: skip


@pytest.mark.parametrize("given", CASES)
def test_a_verdict_is_the_same_from_what_was_read_back(given: Exam, tmp_path: Path) -> None:
    evidence.write_evidence(tmp_path, given, RULES, LOCK)
    read = evidence.read_evidence(tmp_path)
    assert same(read.exam, evidence.reduced(given))
    assert read.rules == RULES
    assert read.lock == replace(LOCK, scores=sha256(tmp_path / "scores.npz"))
    assert repr(judge(read.exam, read.rules)) == repr(judge(given, RULES))


def test_only_seen_keys_of_the_rows_are_kept_and_nothing_depends_on_the_others() -> None:
    given = exam(cohort=Cohort(400, 390, 300.0))
    less = evidence.reduced(given)
    assert given.candidate.seen is not None
    assert less.candidate.seen is not None
    assert len(given.candidate.seen) > 80_000
    rows = {*given.recent.key.tolist(), *given.base.key.tolist()}
    assert set(less.candidate.seen.tolist()) == rows & set(given.candidate.seen.tolist())
    assert less.candidate.seen.dtype == np.uint64
    verdict = judge(given, RULES)
    assert verdict.outcome == "promote"
    assert verdict.evidence.recent_excluded > 0
    assert judge(less, RULES) == verdict


def test_equal_evidence_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        evidence.write_evidence(tmp_path / name, exam(), RULES, LOCK)
    for name in (evidence.SCORES, evidence.LOCK):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    "value",
    [
        Check("a", passed=None, value=float("nan"), limit=-0.0, words="ä"),
        (Metric("m", 1.0, None, float("-inf"), 1e-300), Metric("n", 2.0)),
        Paired(np.zeros(0, np.int64), None, None, np.array([2**64 - 1], np.uint64), np.array(1.0)),
        (np.float32(0.1), np.uint64(2**64 - 1), np.array(["x", "yz"]), (), ((1, True),)),
    ],
)
def test_whatever_fields_there_are_come_back(value: object) -> None:
    arrays: dict[str, Any] = {}
    plain = json.loads(json.dumps(pack(value, "it", arrays), allow_nan=False))
    assert same(unpack(plain, arrays), value)


@dataclass(frozen=True)
class Outsider:
    a: int = 1


@pytest.mark.parametrize("value", [{"a": 1}, Outsider(), np.array([None]), {1}, b"x"])
def test_what_could_not_be_read_back_is_not_written(value: object) -> None:
    with pytest.raises(TypeError, match=r"exam\.0"):
        pack((value,), "exam", {})


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"class": "os.system", "fields": {}}, "no dataclass of this code"),
        ({"class": "mlops.core.gate.judge", "fields": {}}, "no dataclass of this code"),
        ({"class": "mlops.core.gone.Exam", "fields": {}}, "no dataclass of this code"),
        ({"class": "mlops.core.exam.Memory", "fields": {"seen": None}}, "trained_until_s"),
        ({"class": "mlops.core.exam.Memory", "fields": [1]}, "has other fields now"),
        ({"array": "exam.x"}, "exam.x is missing"),
        ({"float": "1"}, "mean nothing"),
    ],
)
def test_nothing_is_built_but_the_cores_own_classes(plain: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        unpack(plain, {})


def test_other_scores_than_the_locks_are_refused(tmp_path: Path) -> None:
    evidence.write_evidence(tmp_path, exam(), RULES, LOCK)
    scores = tmp_path / evidence.SCORES
    content = bytearray(scores.read_bytes())
    content[len(content) // 2] ^= 1
    scores.write_bytes(content)
    with pytest.raises(DataError, match="it was changed: replay refused"):
        evidence.read_evidence(tmp_path)
    scores.unlink()
    with pytest.raises(DataError, match=r"scores\.npz: unreadable"):
        evidence.read_evidence(tmp_path)


def test_a_record_of_before_a_field_was_added_is_read(tmp_path: Path) -> None:
    evidence.write_evidence(tmp_path, exam(), RULES, LOCK)
    path = tmp_path / evidence.LOCK
    content = json.loads(path.read_text())
    del content["exam"]["fields"]["lost"]
    path.write_text(json.dumps(content))
    assert evidence.read_evidence(tmp_path).exam.lost == ""


def test_a_lock_of_other_code_names_the_commit_to_replay_it_with(tmp_path: Path) -> None:
    evidence.write_evidence(tmp_path, exam(), RULES, LOCK)
    path = tmp_path / evidence.LOCK
    content = json.loads(path.read_text())
    del content["rules"]["fields"]["gap_s"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="other fields now: gap_s; replay it with commit c0ffee"):
        evidence.read_evidence(tmp_path)
    path.write_text("{}")
    with pytest.raises(DataError, match="no lockfile of a decision"):
        evidence.read_evidence(tmp_path)


def test_seeds_and_digests_are_those_of_the_locked_stages(tmp_path: Path) -> None:
    assert (dvc.locked_params(tmp_path), dvc.locked_md5s(tmp_path)) == ((), {})
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  train:\n    cmd: mlops train\n    params:\n      params.yaml:\n"
        "        train:\n          seed: 11\n          epochs: 2\n    outs:\n"
        "    - path: models/candidate\n      md5: abc.dir\n"
    )
    assert dvc.locked_params(tmp_path) == (("train.seed", "11"), ("train.epochs", "2"))
    assert dvc.locked_md5s(tmp_path) == {"models/candidate": "abc.dir"}
