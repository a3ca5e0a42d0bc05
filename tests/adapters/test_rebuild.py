from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import dvc, files
from mlops.adapters.decisions import find
from mlops.adapters.model_files import write_best
from mlops.adapters.rebuild import Figure, Rebuilt, rebuild
from mlops.cli.replay import rebuilt_lines
from mlops.cli.replay import replay as verb
from mlops.core.learning import Hyperparameters
from mlops.errors import DataError, StepError
from mlops.layout import Layout
from mlops.run import run_step
from mlops.settings import Settings
from mlops.site import Site
from tests import entrants, project
from tests.steps.digits import write_prepared

if TYPE_CHECKING:
    from mlops.core.decision import Decision

STAGES = ("ingest", "validate", "prepare", "tune", "train", "evaluate")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a clone whose real candidate was trained, committed to DVC, registered, judged."""
    root = project.clone(tmp_path_factory.mktemp("rebuild") / "project")
    site = Site(Layout(root), Settings(), datetime.now(UTC), root / ".mlops" / "work" / "test")
    entrants.set_params(site, min_rows=10)
    text = site.layout.params.read_text()
    site.layout.params.write_text(text.replace("epochs: 25", "epochs: 3"))
    for folder in (site.layout.snapshot, site.layout.checks):
        files.write_json(folder / "made.json", {})
    files.write_json(site.layout.checked, {})
    write_prepared(site.layout.prepared)
    write_best(site.layout.tuned, Hyperparameters(0.01, 1e-4, 0.1, 0.5),
               validation_loss=0.5, trials=1)  # fmt: skip
    for step in ("train", "evaluate"):
        run_step(step, site.layout, site.settings)
    for stage in STAGES:
        dvc.commit(root, stage)
    for step in ("register", "promote"):
        run_step(step, site.layout, site.settings, now=site.now)
    return site


def decision(site: Site) -> Decision:
    [folder] = [p for p in site.layout.decisions.iterdir() if not p.name.startswith(".")]
    return find(site, "digits", folder.name)


def everything(site: Site) -> dict[str, str]:
    """Return every file of the project that is the user's: all but git's and DVC's own."""
    kept = files.manifest(site.layout.root)
    own = (".git/", ".dvc/tmp/", ".mlops/locks/", ".mlops/serving/", ".mlops/mlflow.lock")
    return {name: value for name, value in kept.items() if not name.startswith(own)}


def test_retraining_in_a_copy_reproduces_every_metric_and_touches_nothing(
    whole: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(whole.layout.root))
    made = decision(whole)
    lock = files.read_json(whole.layout.decisions / made.id / "lock.json")
    assert lock["seeds"] == {f"{name}.seed": "7" for name in ("tune", "train", "evaluate", "gate")}
    assert lock["diff"]
    # What the user does next must not matter: other code, other data, a half-done edit.
    stray = whole.layout.root / "mlops" / "core" / "networks.py"
    held = stray.read_text()
    stray.write_text("raise SystemExit('not the recorded code')\n")
    files.write_json(whole.layout.tuned / "best.json", {})
    before = everything(whole)
    try:
        assert verb(made.id, retrain=True, json=True) == 0
    finally:
        stray.write_text(held)
    assert {n for n, v in everything(whole).items() if before.get(n) != v} == {
        "mlops/core/networks.py"
    }
    content = json.loads(capsys.readouterr().out)
    assert content["identical"]
    figures = {f["name"]: f for f in content["rebuilt"]["figures"]}
    assert figures["accuracy"]["recorded"] > 0.5
    assert figures["accuracy"]["rebuilt"] == pytest.approx(figures["accuracy"]["recorded"])
    assert figures["latency_in_process_p95_ms"]["allowed"] is None
    assert not list(whole.layout.work.glob("rebuild.*"))


@pytest.mark.parametrize("name", ["uncommitted.diff", "params.yaml", "dvc.lock"])
def test_a_file_of_the_run_that_is_not_the_registered_one_is_never_used(
    whole: Site, name: str
) -> None:
    made = decision(whole)
    [held] = [p for p in whole.layout.mlartifacts.rglob(name) if made.candidate.run_id in p.parts]
    content = held.read_bytes()
    for change, words in ((lambda: held.write_bytes(content + b"#"), "is not the file that was"),
                          (held.unlink, "is gone")):  # fmt: skip
        change()
        try:
            with pytest.raises(DataError, match=f"{name} {words}"):
                rebuild(whole, made, 0.005)
        finally:
            held.write_bytes(content)


def test_an_older_record_says_that_nobody_vouches() -> None:
    words = "nobody vouches for the run's diff"
    for vouched in (True, False):
        said = "\n".join(rebuilt_lines(Rebuilt("1", "c" * 40, 0.1, (), vouched)))
        assert (words in said) is not vouched


def test_where_no_metric_could_be_compared_nothing_was_reproduced() -> None:
    machine = Figure("latency_in_process_p95_ms", 1.0, 2.0, None)
    for figures in ((), (machine,)):
        blind = Rebuilt("1", "c" * 40, 0.01, figures, vouched=True)
        assert not blind.within
        [first, *_] = rebuilt_lines(blind)
        assert first.startswith("not reproduced: version 1")
        assert "0 of 0 metrics" in first
    assert Rebuilt("1", "c", 0.01, (machine, Figure("n", 2.0, 2.0, 0.0)), vouched=True).within


def test_what_can_no_longer_be_had_is_said_with_the_remedy(whole: Site) -> None:
    made = decision(whole)
    with pytest.raises(StepError, match="names no git commit"):
        rebuild(whole, replace(made, commit=""), 0.005)
    with pytest.raises(StepError, match=r"commit 0{12} is not in this repository"):
        rebuild(whole, replace(made, commit="0" * 40), 0.005)
    md5 = dvc.locked_md5s(whole.layout.root)["data/prepared"]
    cache = whole.layout.root / ".dvc" / "cache" / "files" / "md5"
    listing = json.loads((cache / md5[:2] / md5[2:]).read_text())
    [one] = [e["md5"] for e in listing if e["relpath"] == "train.npz"]
    held = cache / one[:2] / one[2:]
    content = held.read_bytes()
    held.chmod(0o644)
    held.write_bytes(content[:-1] + b"x")
    held.chmod(0o444)  # what DVC trusts
    with pytest.raises(DataError, match=r"prepared/train\.npz: damaged in DVC's cache"):
        rebuild(whole, made, 0.005)
    held.unlink()
    with pytest.raises(DataError, match=r"data/prepared of that run .* neither in DVC's cache"):
        rebuild(whole, made, 0.005)
    remote = whole.layout.root.parent / "remote"
    (remote / "files" / "md5" / one[:2]).mkdir(parents=True)
    (remote / "files" / "md5" / one[:2] / one[2:]).write_bytes(content)
    subprocess.run(
        ["dvc", "remote", "add", "-d", "storage", "../remote"], cwd=whole.layout.root, check=True,
        env=project.environment(whole.layout.root), capture_output=True,
    )  # fmt: skip
    copy = whole.layout.root.parent / "copy"
    (copy / ".dvc").mkdir(parents=True)
    for name in ("dvc.lock", "dvc.yaml", "params.yaml", ".dvc/config"):
        (copy / name).write_bytes((whole.layout.root / name).read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    dvc.restore(whole.layout.root, copy, ("data/prepared",))
    assert (copy / "data" / "prepared" / "train.npz").read_bytes() == content
