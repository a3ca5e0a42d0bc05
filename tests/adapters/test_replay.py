from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import decisions, files, history, run_files
from mlops.adapters.evidence import DECISION, LOCK, SCORES
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.replay import replay as judge_again
from mlops.adapters.sql.engine import database
from mlops.cli.replay import lines
from mlops.cli.replay import replay as verb
from mlops.core.canonical import to_json
from mlops.core.gate import judge as gate
from mlops.errors import DataError, LedgerError
from tests import judged
from tests.kept import copy_state

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.core.decision import Verdict
    from mlops.core.exam import Exam
    from mlops.core.rules import Rules
    from mlops.site import Site

PROJECT = judged.PROJECT


@pytest.fixture
def decided(kept_both: Site, site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site with a first champion and a second that beat it."""
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))
    return copy_state(kept_both, site)


@pytest.fixture
def waiting(kept_second: Site, site: Site) -> Site:
    """Return a site with a first champion and a better one, not yet judged."""
    return copy_state(kept_second, site)


def newest(site: Site) -> str:
    made = history.last_decision(site, PROJECT)
    assert made is not None
    return made.id


def folder(site: Site, decision: str) -> Path:
    return site.layout.decisions / decision


def test_a_decision_is_identical_here_and_on_a_host_that_has_only_mlflow(
    decided: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    made = newest(decided)
    assert verb(made) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"identical: decision {made} (promote, version 2), judged again on 150")
    files.remove(decided.layout.decisions)
    assert verb(made[:6], json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["identical"], content["differences"], content["rebuilt"]) == (True, [], None)
    assert {p.name for p in folder(decided, made).iterdir()} == {DECISION, LOCK, SCORES}
    lock = files.read_json(folder(decided, made) / LOCK)
    assert lock["seeds"] == {"gate.seed": "7"}
    assert lock["candidate"] == files.read_json(folder(decided, made) / DECISION)["candidate"]
    assert set(lock) >= {"params", "now_s", "md5s", "packages", "commit", "champion", "data_digest"}


def test_tampered_scores_are_refused(decided: Site) -> None:
    made = newest(decided)
    scores = folder(decided, made) / SCORES
    content = bytearray(scores.read_bytes())
    content[-100] ^= 1
    scores.write_bytes(content)
    with pytest.raises(DataError, match="replay refused"):
        judge_again(decided, PROJECT, made)


def test_a_lockfile_that_the_ledger_does_not_vouch_for_is_a_difference(decided: Site) -> None:
    made = newest(decided)
    lock = folder(decided, made) / LOCK
    lock.write_text(lock.read_text() + "\n")  # means the same, and still is not what was kept
    found = judge_again(decided, PROJECT, made)
    assert [d.field for d in found.differences] == ["evidence"]


def test_a_changed_rule_is_a_difference_field_by_field(
    decided: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    made = newest(decided)
    lock = folder(decided, made) / LOCK
    content = json.loads(lock.read_text())
    assert content["rules"]["fields"]["non_inferiority"][0] == ["base_accuracy", 0.05]
    content["rules"]["fields"]["non_inferiority"][0][1] = 0.07
    content["packages"]["numpy"] = "1.0"
    lock.write_text(json.dumps(content))
    assert verb(made) == 1
    said = capsys.readouterr().out
    assert f"different: decision {made}" in said
    assert "params_digest: recorded" in said
    assert ".limit: recorded -0.05, replayed -0.07" in said
    assert "numpy was 1.0, is " in said


def test_a_changed_gate_is_a_difference(decided: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = newest(decided)
    assert judge_again(decided, PROJECT, made).identical

    def lenient(exam: Exam, rules: Rules) -> Verdict:
        return replace(gate(exam, rules), outcome="inconclusive", missing_labels=3)

    monkeypatch.setattr("mlops.adapters.replay.judge", lenient)
    found = judge_again(decided, PROJECT, made)
    assert [(d.field, d.recorded, d.replayed) for d in found.differences] == [
        ("verdict.outcome", '"promote"', '"inconclusive"'),
        ("verdict.missing_labels", "0", "3"),
    ]
    assert list(lines(found))[-1].startswith("look at: /")


def test_an_id_is_found_by_its_beginning_if_that_is_enough(decided: Site) -> None:
    made = newest(decided)
    assert decisions.find(decided, PROJECT, made[:8]).id == made
    with pytest.raises(LedgerError, match="not in the ledger of digits; see: mlops history"):
        decisions.find(decided, PROJECT, "zz")
    with pytest.raises(LedgerError, match="not in the ledger"):
        decisions.find(decided, PROJECT, "")
    decision = decisions.find(decided, PROJECT, made)
    with database(decided) as engine:
        for name in ("xyz1", "xyz2"):
            body = to_json(replace(decision, id=name))
            Ledger(engine, PROJECT).append(Row("decided", name, 1.0, "me", "2", "2", body))
    with pytest.raises(LedgerError, match=r"xyz: 2 begin so \(xyz1, xyz2\); write more of the id"):
        decisions.find(decided, PROJECT, "xyz")


def test_promote_again_repairs_what_a_kill_left_out_of_mlflow(
    waiting: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = run_files.put

    def half(site: Site, run_id: str, path: Path, place: str) -> None:
        if path.name == LOCK:
            raise KeyboardInterrupt
        original(site, run_id, path, place)

    with monkeypatch.context() as patch:
        patch.setattr(run_files, "put", half)
        with pytest.raises(KeyboardInterrupt):
            judged.judge(waiting)
    report = judged.judge(waiting)
    assert report.facts["decided"] is False
    made = decisions.find(waiting, PROJECT, str(report.facts["decision"]))
    place = f"decision/{made.id}"
    lying = run_files.find(waiting, made.candidate.run_id, place)
    assert {n.rpartition("/")[2] for n in lying} >= {DECISION, LOCK, SCORES}
    monkeypatch.setattr(run_files, "put", half)
    judged.judge(waiting)  # nothing is left to put
    files.remove(waiting.layout.decisions)
    judged.judge(waiting)
    assert judge_again(waiting, PROJECT, made.id).identical


def test_evidence_that_is_nowhere_or_another_tries_is_no_evidence(decided: Site) -> None:
    made = decisions.find(decided, PROJECT, newest(decided))
    written = folder(decided, made.id) / DECISION
    written.write_text(written.read_text().replace('"actor":"mlops promote"', '"actor":"x"'))
    assert judge_again(decided, PROJECT, made.id).identical  # from MLflow
    written.write_text("{}")
    assert judge_again(decided, PROJECT, made.id).identical
    files.remove(decided.layout.decisions)
    files.remove(decided.layout.mlartifacts)
    with pytest.raises(DataError, match="on the host that decided, run: mlops promote"):
        judge_again(decided, PROJECT, made.id)
