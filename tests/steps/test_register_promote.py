from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlops.adapters import (
    contest,
    exported,
    files,
    history,
    mlflow,
    moves,
    reconcile,
    registry,
    run_files,
    seal,
)
from mlops.adapters.embedding import write_embedding
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.onnx_session import Session
from mlops.adapters.record import Judged, record
from mlops.adapters.replay import replay
from mlops.adapters.runtimes import open_model
from mlops.adapters.sql.engine import database
from mlops.core.canonical import from_json, to_json
from mlops.core.decision import Decision
from mlops.core.example import sampled
from mlops.errors import (
    EXIT_REFUSED,
    DataError,
    LedgerError,
    RegistryError,
    StepError,
    UnverifiedModel,
    UsageError,
)
from mlops.params.load import load
from mlops.serving.model import Model
from mlops.steps.promote import PromoteParams, promote
from mlops.steps.register import RegisterParams, register
from mlops.steps.rollback import RollbackParams, rollback
from tests import entrants, judged, promotions
from tests.kept import copy_state
from tests.project import unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Report, Site

PROJECT = "digits"


@pytest.fixture
def loop(mlflow_site: Site) -> Site:
    """Return a site with prepared rows and the weaker model as candidate."""
    judged.begin(mlflow_site)
    retrain(mlflow_site, entrants.corner_weights())
    return mlflow_site


@pytest.fixture
def served(kept_first: Site, site: Site) -> Site:
    """Return a site with the weaker model in service."""
    return copy_state(kept_first, site)


@pytest.fixture
def entered(kept_second: Site, site: Site) -> Site:
    """Return a site with the weaker model in service and the better one waiting for the gate.

    How quickly a candidate answers on a busy machine is not what its tests ask.
    """
    made = copy_state(kept_second, site)
    text = made.layout.params.read_text()
    made.layout.params.write_text(text.replace("latency_ms: 50.0", "latency_ms: 60000.0"))
    return made


def enter(site: Site, *options: str) -> Report:
    params = load(site.layout.params, RegisterParams)
    return register(params, entrants.with_options(site, *options))


def judge(site: Site, *options: str) -> Report:
    params = load(site.layout.params, PromoteParams)
    return promote(params, entrants.with_options(site, *options))


def back(site: Site, *options: str) -> Report:
    params = load(site.layout.params, RollbackParams)
    return rollback(params, entrants.with_options(site, *options))


def retrain(site: Site, weights: Any = None) -> None:
    chosen = entrants.block_weights() if weights is None else weights
    entrants.train(site, entrants.world(site), chosen)


def versions(site: Site) -> list[str]:
    found = mlflow.client(site).search_model_versions(f"name = '{PROJECT}'")
    return sorted(str(v.version) for v in found)


def kinds(site: Site) -> list[str]:
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        ledger.verify_chain()
        return [entry.kind for entry in ledger.entries()]


def test_the_loop_from_first_model_to_undone_rollback(loop: Site) -> None:
    assert "registered version 1" in enter(loop).summary
    assert "already registered as version 1" in enter(loop).summary
    first = judge(loop)
    assert first.facts["outcome"] == "promote"
    assert registry.champion(loop, PROJECT) == "1"
    assert "already decided" in judge(loop).summary

    retrain(loop)
    assert enter(loop, "reason=drift", "incident=inc-7").facts["version"] == "2"
    second = judge(loop)
    assert (second.facts["outcome"], second.facts["champion"]) == ("promote", "2")
    assert "already decided" in judge(loop).summary
    assert versions(loop) == ["1", "2"]
    assert registry.alias(loop, PROJECT, "previous") == "1"

    assert back(loop).facts == {"champion": "1", "previous": "2"}
    assert registry.champion(loop, PROJECT) == "1"
    assert back(loop).facts["champion"] == "2"
    assert "in service already" in back(loop, "to=2").summary
    assert registry.alias(loop, PROJECT, "previous") == "1"
    moments = history.history(loop, PROJECT)
    assert [m.kind for m in moments] == [
        "rollback", "rollback", "decided", "registered", "decided", "registered",
    ]  # fmt: skip
    assert moments[2].outcome == "promote"
    assert "mlops rollback" in moments[0].actor
    assert kinds(loop).count("applied") == 4


def test_the_run_the_version_and_the_decision_can_be_read(loop: Site) -> None:
    retrain(loop)
    enter(loop, "reason=drift", "incident=inc-7")
    report = judge(loop, "actor=somebody")
    api = mlflow.client(loop)
    version = api.get_model_version(PROJECT, "1")
    assert len(version.description.splitlines()[0]) <= 32
    assert version.description == report.markdown
    assert len(version.tags) <= 10
    assert version.tags["mlops.verdict"] == "promote"
    assert version.tags["mlops.incident"] == "inc-7"
    run = api.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == 0.97
    assert [m.value for m in api.get_metric_history(run.info.run_id, "curve/loss")] == [1.0, 0.5]
    assert run.data.params["train.epochs"] == "25"
    assert run.data.params["best.learning_rate"] == "0.01"
    assert len(run.data.metrics) < 40
    logged = {f.path for f in api.list_artifacts(run.info.run_id)}
    assert {"params.yaml", "plots", "trials.csv"} <= logged
    decision_id = str(report.facts["decision"])
    folder = loop.layout.decisions / decision_id
    decision = from_json(Decision, (folder / "decision.json").read_text())
    assert decision == history.find_decision(loop, PROJECT, decision_id)
    assert decision == history.last_decision(loop, PROJECT)
    assert (decision.actor, decision.reason) == ("somebody", "drift")
    lock = files.read_json(folder / "lock.json")
    assert lock["scores"] == files.sha256(folder / "scores.npz")


def test_mlflow_itself_serves_the_version_without_pickle(loop: Site) -> None:
    retrain(loop)
    assert write_embedding(loop.layout.candidate, entrants.world(loop).test.features) == 5
    enter(loop)
    judge(loop)
    from mlflow import pyfunc

    model = pyfunc.load_model(f"models:/{PROJECT}@champion")
    images = entrants.world(loop).test.features[:5]
    answer = model.predict(images)
    assert list(answer) == ["probabilities"]  # what is watched is not answered
    found = answer["probabilities"]
    folder = registry.fetch(loop, PROJECT, "1", fresh=True)
    expected = Session(folder / "model.onnx").probabilities(images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not list(folder.rglob("*.pkl"))
    assert {p.name for p in folder.iterdir()} >= {
        "MLmodel", "model.onnx", "weights.safetensors", "model.json", "seen.npy", "reference.npz",
        "metrics.json", "thresholds.json", "golden.npz", "manifest.json", "requirements.txt",
        "input_example.json", "embedding.onnx",
    }  # fmt: skip
    with np.load(folder / "golden.npz") as golden:
        assert golden["features"].shape == (32, 4, 4, 1)
        again = Session(folder / "model.onnx").probabilities(golden["features"])
        np.testing.assert_array_equal(golden["probabilities"], again)


def test_a_torch_export_version_is_registered_judged_and_served(loop: Site) -> None:
    """The archive that was evaluated answers in the trial server, in the worker and in MLflow."""
    retrain(loop)
    candidate = loop.layout.candidate
    (candidate / "model.onnx").unlink()
    # PyTorch in the worker costs memory, for which the ceiling must be raised.
    ceilings = {"latency_ms": 500.0, "memory_mb": 3000.0, "size_mb": 100.0, "group_gap": 0.2}
    entrants.set_params(loop, ceilings=ceilings)
    entrants.write_exported(candidate / "model.pt2", entrants.block_weights())
    enter(loop)
    decided = judge(loop)
    assert decided.facts["outcome"] == "promote", decided.summary
    folder = registry.fetch(loop, PROJECT, "1", fresh=True)
    assert not (folder / "model.onnx").exists()
    assert files.sha256(folder / "model.pt2") == files.sha256(candidate / "model.pt2")
    images = entrants.world(loop).test.features[:5]
    expected = open_model(folder).probabilities(images)
    model = Model(folder, "1")
    assert model.replay(folder) == 0.0
    assert (model.platform, model.runs_on) == ("pytorch_export", "torch.export, CPU")
    np.testing.assert_array_equal(model.predict(images), expected)
    from mlflow import pyfunc

    found = pyfunc.load_model(f"models:/{PROJECT}@champion").predict(images)["probabilities"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    earlier = exported._load_pyfunc(str(folder / "model.pt2"))  # as versions so far name it
    np.testing.assert_array_equal(earlier.predict({"image": images})["probabilities"], found)
    assert "torch==" in (folder / "requirements.txt").read_text()


def test_a_worse_candidate_is_refused_and_may_say_so_by_exit_code(loop: Site) -> None:
    retrain(loop)
    enter(loop)
    judge(loop)
    retrain(loop, entrants.corner_weights())
    enter(loop)
    report = judge(loop, "exit-code")
    assert (report.facts["outcome"], report.exit_code) == ("reject", EXIT_REFUSED)
    assert registry.champion(loop, PROJECT) == "1"
    assert judge(loop).exit_code == 0
    assert "already decided" in judge(loop).summary
    before = kinds(loop).count("decided")
    assert judge(loop, "again").facts["decided"] is True
    assert kinds(loop).count("decided") == before + 1


def test_inconclusive_is_judged_again_when_new_labels_came(served: Site) -> None:
    given = entrants.world(served, recent=40)
    entrants.prepare(served, given)
    entrants.train(served, given, entrants.block_weights())
    enter(served)
    first = judge(served)
    assert (first.facts["outcome"], first.facts["missing_labels"]) == ("inconclusive", 20)
    assert "already decided" in judge(served).summary
    entrants.prepare(served, entrants.world(served, recent=150))
    assert judge(served).facts["outcome"] == "promote"


def test_rows_that_are_old_future_or_actively_chosen_are_not_recent(loop: Site) -> None:
    recent = entrants.world(loop).recent
    now_s = loop.now.timestamp()
    recent.observed_s[:10] = now_s - 31 * 86_400
    recent.observed_s[10:20] = now_s + 1
    recent.observed_s[20:30] = np.nan
    recent.label_source[30:40] = "active"
    recent.label[40:50] = -1
    entrants.prepare(loop, replace(entrants.world(loop), recent=recent))
    chosen, base = contest.rows_of(loop, 30.0, sample=1.0, until_s=now_s)
    assert (len(chosen), len(base)) == (100, 150)
    later = replace(loop, now=loop.now + timedelta(days=40))
    assert len(contest.rows_of(later, 30.0, sample=1.0, until_s=now_s)[0]) == 0
    half, _ = contest.rows_of(loop, 30.0, sample=0.5, until_s=now_s)
    assert 30 <= len(half) <= 70
    assert set(half.example_id) == {i for i in chosen.example_id if sampled(i, share=0.5)}
    slow, _ = contest.rows_of(loop, 30.0, sample=1.0, until_s=now_s - 43_200)
    assert set(slow.observed_s) == {t for t in chosen.observed_s if t <= now_s - 43_200}
    assert contest.data_digest(chosen, base) != contest.data_digest(base, chosen)


def test_what_is_missing_is_named_with_the_command_that_makes_it(loop: Site) -> None:
    with pytest.raises(StepError, match="run: mlops register"):
        judge(loop)
    with pytest.raises(UsageError, match="rollback --to"):
        back(loop)
    (loop.layout.evaluation / "reference.npz").unlink()
    with pytest.raises(DataError, match="run: mlops evaluate"):
        enter(loop)
    files.remove(loop.layout.candidate)
    with pytest.raises(DataError, match="run: mlops train"):
        enter(loop)
    assert kinds(loop) == []


@pytest.mark.parametrize(
    ("who", "change", "words"),
    [
        ("champion", "model.onnx", "champion's files"),
        ("candidate", "model.onnx", "candidate's files"),
        ("candidate", "seen.npy", "candidate's files"),
    ],
)
def test_a_model_whose_bytes_changed_in_the_store_is_refused(
    entered: Site, who: str, change: str, words: str
) -> None:
    version = {"champion": "1", "candidate": "2"}[who]
    source = registry.source_of(entered, PROJECT, version)
    entry = Path(str(source)) / change
    content = bytearray(entry.read_bytes())
    content[-1] ^= 1
    entry.write_bytes(bytes(content))
    report = judge(entered)
    assert report.facts["outcome"] == "reject"
    assert words in report.markdown.replace("\\", "")
    assert registry.champion(entered, PROJECT) == "1"


def test_a_person_may_move_the_alias_and_it_stands(entered: Site) -> None:
    registry.set_alias(entered, PROJECT, "champion", "2")
    assert "from version 1 to version 2" in reconcile.reconcile(entered, PROJECT)
    assert registry.champion(entered, PROJECT) == "2"
    assert registry.alias(entered, PROJECT, "previous") == "1"
    assert "agree: version 2" in reconcile.reconcile(entered, PROJECT)
    assert "version 2 is the champion" in judge(entered).summary
    mlflow.client(entered).delete_registered_model_alias(PROJECT, "champion")
    assert "to no version" in reconcile.reconcile(entered, PROJECT)
    assert back(entered, "to=1").facts["champion"] == "1"
    assert kinds(entered).count("observed") == 2


def test_rollback_refuses_what_is_unknown_unverified_or_deleted(served: Site) -> None:
    with pytest.raises(RegistryError, match="no version 9"):
        back(served, "to=9")
    api = mlflow.client(served)
    api.create_model_version(PROJECT, str(served.layout.mlartifacts / "x"))
    with pytest.raises(UsageError, match="never in service"):
        back(served, "to=2")
    registry.set_alias(served, PROJECT, "champion", "2")  # a person may, and may go back
    reconcile.reconcile(served, PROJECT)
    registry.set_alias(served, PROJECT, "champion", "1")
    with pytest.raises(UnverifiedModel, match="not in the ledger"):
        back(served, "to=2")
    assert registry.champion(served, PROJECT) == "1"
    assert "rollback" not in kinds(served)


class Killed(BaseException):
    """Ends a step as SIGKILL would: nothing catches it."""


Point = tuple[str, int, str]


def kill_at(monkeypatch: pytest.MonkeyPatch, site: Site, point: Point) -> None:
    """Die before or after the n-th call of a function that changes anything."""
    chosen, nth, when = point
    called: list[str] = []

    def watch(holder: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(holder, name)

        @functools.wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            here = name == chosen and called.count(name) == nth
            if here and when == "before":
                raise Killed
            result = original(*args, **kwargs)
            if here:
                raise Killed
            return result

        monkeypatch.setattr(holder, name, wrapped)

    api = type(mlflow.client(site))
    for name in (
        "create_run", "log_artifact", "set_terminated", "create_logged_model",
        "log_model_artifacts", "finalize_logged_model", "create_registered_model",
        "create_model_version", "set_registered_model_alias", "update_model_version",
    ):  # fmt: skip
        watch(api, name)
    watch(Ledger, "append")
    watch(files, "swap_folder")


def agree(site: Site) -> None:
    """Assert that no alias points at an unverified version and the ledger agrees with it."""
    champion = registry.champion(site, PROJECT)
    if champion is not None:
        registry.fetch(site, PROJECT, champion, fresh=True)
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        ledger.verify_chain()
        move = ledger.last_move()
        if move is not None and not moves.is_pending(ledger, move):
            assert move.to_version == champion


REGISTERING: list[Point] = [
    ("create_run", 1, "after"),
    ("log_artifact", 2, "after"),
    ("create_logged_model", 1, "after"),
    ("log_model_artifacts", 1, "after"),
    ("finalize_logged_model", 1, "after"),
    ("create_registered_model", 1, "after"),
    ("create_model_version", 1, "after"),
    ("append", 1, "before"),
    ("append", 1, "after"),
]
PROMOTING: list[Point] = [
    ("swap_folder", 2, "after"),  # the decision's folder; the first was the model's
    ("append", 1, "after"),
    ("set_registered_model_alias", 1, "after"),
    ("set_registered_model_alias", 2, "after"),
    ("append", 2, "after"),
    ("update_model_version", 1, "before"),
    ("log_artifact", 1, "before"),  # the decision's evidence, on its way to the run
    ("log_artifact", 2, "after"),
]
REPEATS = 10
"""How often `make bench` kills at each point."""
RACES = 50
"""How often `make bench` lets two promoters race."""


def both_sides(points: list[Point]) -> list[Point]:
    """Return every point before and after its call."""
    return sorted({(name, n, when) for name, n, _ in points for when in ("before", "after")})


@pytest.mark.parametrize("point", REGISTERING)
def test_a_kill_while_registering_leaves_nothing_to_double(
    loop: Site, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    die_registering(loop, monkeypatch, point)


@pytest.mark.bench
@pytest.mark.parametrize("point", both_sides(REGISTERING))
@pytest.mark.parametrize("turn", range(REPEATS))
def test_a_kill_while_registering_in_full_count(
    loop: Site, monkeypatch: pytest.MonkeyPatch, point: Point, turn: int
) -> None:
    die_registering(loop, monkeypatch, point)


def die_registering(loop: Site, monkeypatch: pytest.MonkeyPatch, point: Point) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, loop, point)
        with pytest.raises(Killed):
            enter(loop)
    agree(loop)
    assert enter(loop).facts["version"] == "1"
    assert "already registered" in enter(loop).summary
    assert versions(loop) == ["1"]
    api = mlflow.client(loop)
    experiment = mlflow.experiment(loop, PROJECT)
    assert len(api.search_runs([experiment])) == 1
    assert len(api.search_logged_models([experiment])) == 1
    assert kinds(loop) == ["registered"]


@pytest.mark.parametrize("point", PROMOTING)
def test_a_kill_while_promoting_loses_and_doubles_no_decision(
    entered: Site, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    die_promoting(entered, monkeypatch, point)


@pytest.mark.bench
@pytest.mark.parametrize("point", both_sides(PROMOTING))
@pytest.mark.parametrize("turn", range(REPEATS))
def test_a_kill_while_promoting_in_full_count(
    entered: Site, monkeypatch: pytest.MonkeyPatch, point: Point, turn: int
) -> None:
    die_promoting(entered, monkeypatch, point)


def die_promoting(entered: Site, monkeypatch: pytest.MonkeyPatch, point: Point) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, entered, point)
        with pytest.raises(Killed):
            judge(entered)
    agree(entered)
    judge(entered)
    agree(entered)
    assert registry.champion(entered, PROJECT) == "2"
    assert registry.alias(entered, PROJECT, "previous") == "1"
    assert kinds(entered) == ["registered", "decided", "applied"] * 2
    assert len(list(entered.layout.decisions.iterdir())) == 2
    files.remove(entered.layout.decisions)
    for moment in history.history(entered, PROJECT):
        assert not moment.decision or replay(entered, PROJECT, moment.decision).identical


def test_a_decision_cut_off_by_a_kill_has_its_evidence_and_figures_after_a_newer_candidate(
    entered: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, entered, ("append", 1, "after"))
        with pytest.raises(Killed):
            judge(entered)
    made = history.last_decision(entered, PROJECT)
    assert made is not None
    retrain(entered, entrants.corner_weights() * np.float32(0.5))
    assert enter(entered).facts["version"] == "3"
    reconcile.reconcile(entered, PROJECT)
    run, place = made.candidate.run_id, f"decision/{made.id}"
    named = ("scores.npz", "lock.json", "decision.json", "recent.csv")
    assert run_files.find(entered, run, place).keys() == {f"{place}/{name}" for name in named}
    assert "plots/recent.png" in run_files.find(entered, run, "plots")
    page = mlflow.client(entered).get_model_version(PROJECT, "2")
    assert page.description.splitlines()[0].endswith("PASS")
    assert "plots/recent.png" in page.description
    assert page.tags["mlops.decision"] == made.id


_PROMOTER = """
import sys
from datetime import datetime
from pathlib import Path

from mlops.errors import LedgerError
from mlops.layout import Layout
from mlops.params.load import load
from mlops.settings import Settings
from mlops.site import Site
from mlops.steps import promote as step
layout, now = Layout(Path(sys.argv[1])), datetime.fromisoformat(sys.argv[2])
step.candidate_digest = lambda site: sys.argv[3]
judge = step.judge
def wait(exam, rules):
    print("judging", flush=True)
    sys.stdin.readline()
    return judge(exam, rules)
step.judge = wait
site = Site(layout, Settings(), now, layout.work / sys.argv[3][:8])
try:
    print(step.promote(load(layout.params, step.PromoteParams), site).facts["outcome"])
except LedgerError as error:
    print("raced", error)
"""


def test_of_two_promoters_in_two_processes_one_wins(served: Site) -> None:
    race(served)


@pytest.mark.bench
@pytest.mark.parametrize("turn", range(RACES))
def test_of_two_promoters_one_wins_in_full_count(served: Site, turn: int) -> None:
    race(served)


def race(served: Site) -> None:
    digests = []
    for scale in (1.0, 1.1):
        retrain(served, entrants.block_weights() * np.float32(scale))
        enter(served)
        digests.append(registry.candidate_digest(served))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _PROMOTER, str(served.layout.root), str(served.now), digest],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=unmeasured(),
        )
        for digest in digests
    ]  # fmt: skip
    for racer in racers:  # both have scored against version 1 before either may decide
        assert racer.stdout is not None
        assert racer.stdout.readline() == "judging\n"
    said = sorted(racer.communicate("go\n", timeout=120)[0].split()[0] for racer in racers)
    assert said == ["promote", "raced"]
    agree(served)
    assert kinds(served).count("decided") == 2
    assert registry.champion(served, PROJECT) in ("2", "3")


def test_a_decision_on_a_champion_that_a_person_replaced_meanwhile_is_not_recorded(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scale in (1.0, 1.1):
        retrain(served, entrants.block_weights() * np.float32(scale))
        enter(served)
    original = contest.hold

    def moved(*args: Any) -> Any:
        registry.set_alias(served, PROJECT, "champion", "2")
        return original(*args)

    monkeypatch.setattr("mlops.adapters.judgement.hold", moved)
    with pytest.raises(LedgerError, match="version 2 came into service"):
        judge(served)
    assert registry.champion(served, PROJECT) == "2"
    assert kinds(served)[-1] == "observed"
    assert len(list(served.layout.decisions.iterdir())) == 1


def test_a_removed_champion_makes_no_first_model_of_the_next(served: Site) -> None:
    mlflow.client(served).delete_registered_model_alias(PROJECT, "champion")
    reconcile.reconcile(served, PROJECT)  # as a server's duty does, before the next is registered
    retrain(served, entrants.corner_weights() * np.float32(0.9))
    enter(served)
    registry.set_alias(served, PROJECT, "shadow", "2")
    reconcile.reconcile(served, PROJECT)
    assert kinds(served)[-3:] == ["observed", "registered", "shadowed"]
    with pytest.raises(StepError, match=r"version 1 was in service .* mlops promote --first"):
        judge(served)
    assert registry.champion(served, PROJECT) is None
    assert judge(served, "first").facts["outcome"] == "promote"


def within_the_margin(site: Site, version: str, champion: str) -> None:
    """Promote a version by a made-up verdict that shows it no better: no anchor."""
    made, key = promotions.decision(site, version, champion)
    evidence = replace(made.verdict.evidence, lower=-0.01)
    made = replace(made, verdict=replace(made.verdict, evidence=evidence))
    with database(site) as engine:
        record(site, Ledger(engine, PROJECT), Judged(made, key, "auto", None, lambda kept: kept))


def test_a_deleted_anchor_is_replaced_by_the_oldest_promoted_after_it(entered: Site) -> None:
    text = entered.layout.params.read_text()
    assert "margin: 0.0\n" in text
    entered.layout.params.write_text(text.replace("  margin: 0.0\n", "  margin: 0.02\n", 1))
    within_the_margin(entered, "2", "1")
    retrain(entered, entrants.block_weights() * np.float32(1.1))
    enter(entered)
    source = Path(str(registry.source_of(entered, PROJECT, "1"))) / "seen.npy"
    held = source.read_bytes()
    source.write_bytes(b"rot")
    rotten = judge(entered)
    assert rotten.facts["outcome"] == "reject"
    assert "or delete that version in MLflow" in rotten.summary
    source.write_bytes(held)
    mlflow.client(entered).delete_model_version(PROJECT, "1")
    assert anchored(entered, "again").startswith(
        "the champion, the anchor in place of version 1, which was deleted: what was lost"
    )
    # Once another serves, version 2 is the oldest left: what is lost adds up against that one.
    within_the_margin(entered, "3", "2")
    retrain(entered, entrants.block_weights() * np.float32(1.2))
    enter(entered)
    assert "against version 2, the anchor in place of version 1" in anchored(entered)


def anchored(site: Site, *options: str) -> str:
    """Judge what was entered last; return what was said of the anchor, as a replay says it too."""
    assert judge(site, *options).facts["outcome"] == "inconclusive"
    decision = history.last_decision(site, PROJECT)
    assert decision is not None
    assert replay(site, PROJECT, decision.id).identical
    [check] = [c for c in decision.verdict.checks if c.name == "anchor"]
    return check.words


def test_a_verdict_on_the_same_rows_recorded_meanwhile_must_be_paid_for_first(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one candidate is judged, another host records a refusal on the very same rows."""
    retrain(served, entrants.corner_weights() * np.float32(0.5))
    enter(served)
    assert judge(served).facts["outcome"] != "promote"
    with database(served) as engine:
        [*_, refused] = [e for e in Ledger(engine, PROJECT).entries() if e.kind == "decided"]
    retrain(served)
    enter(served)
    original = contest.hold

    def raced(*args: Any) -> Any:
        row = Row("decided", "another", 1.0, "another host", "1", "1", refused.body)
        with database(served) as engine:
            Ledger(engine, PROJECT).append(row)
        return original(*args)

    monkeypatch.setattr("mlops.adapters.judgement.hold", raced)
    with pytest.raises(LedgerError, match="its look is not paid for"):
        judge(served)
    monkeypatch.undo()
    assert registry.champion(served, PROJECT) == "1"
    report = judge(served)
    assert report.facts["outcome"] == "promote"
    decision = history.find_decision(served, PROJECT, str(report.facts["decision"]))
    assert decision is not None
    assert decision.verdict.evidence.look == 3


def test_the_evaluation_of_another_candidate_is_not_sealed_into_this_one(loop: Site) -> None:
    entrants.write_onnx(loop.layout.candidate / "model.onnx", entrants.block_weights())
    with pytest.raises(DataError, match=r"answers of another model .* run: mlops evaluate"):
        enter(loop)
    assert kinds(loop) == []


def test_a_version_that_was_sealed_anew_before_it_was_vouched_for_is_refused(
    loop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_at(patch, loop, ("append", 1, "before"))
        with pytest.raises(Killed):
            enter(loop)
    folder = Path(str(registry.source_of(loop, PROJECT, "1")))
    content = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**content, "accuracy": 1.0}))
    seal.write_manifest(folder)
    with pytest.raises(UnverifiedModel, match=r"version 1: not what was sealed .* mlops register"):
        enter(loop)
    assert kinds(loop) == []


def test_the_ledger_vouches_for_what_a_candidate_can_be_trained_again_from(loop: Site) -> None:
    enter(loop)
    known = registry.registration(loop, PROJECT, "1")
    assert {one.name: one.sha256 for one in known.inputs} == {
        "params.yaml": files.sha256(loop.layout.params)
    }
    older = {k: v for k, v in vars(known).items() if k != "inputs"}
    assert from_json(registry.Registration, to_json(older)).inputs == ()
