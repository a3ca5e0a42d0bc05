from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import files, predictions
from mlops.adapters.lineage import trace
from mlops.adapters.sql.engine import database
from mlops.cli.trace import links
from mlops.cli.trace import trace as verb
from mlops.core.prediction import Label, Prediction
from mlops.errors import DataError
from tests import entrants, judged
from tests.kept import copy_state

if TYPE_CHECKING:
    from mlops.site import Site

PROJECT = judged.PROJECT
LOCK = """schema: '2.0'
stages:
  ingest:
    cmd: mlops ingest
    outs:
    - {path: data/snapshot, md5: 5a5a.dir}
  prepare:
    cmd: mlops prepare
    outs:
    - {path: data/prepared, md5: 9b9b.dir}
"""


def predict(site: Site, name: str, version: str, after_s: float = 60.0) -> None:
    """Log a prediction of class 2, labelled 1, some time after the site's own."""
    at_s = site.now.timestamp() + after_s
    scores = np.array([0.1, 0.2, 0.7], dtype="<f4").tobytes()
    made = Prediction(name, at_s, version, "e1", None, None, scores, 0.001)
    with database(site) as engine:
        predictions.insert_batch(engine, PROJECT, [made], [Label(name, 1, "random", at_s + 5)])


def git(site: Site, *words: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=site.layout.root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def site(mlflow_site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site in a git repository, with what `ingest`, `validate` and DVC leave."""
    monkeypatch.setenv("MLOPS_ROOT", str(mlflow_site.layout.root))
    judged.begin(mlflow_site)
    layout = mlflow_site.layout
    (layout.root / ".gitignore").write_text(".mlops/\ndata/\nmodels/\nreports/\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all")):
        git(mlflow_site, *words)
    (layout.root / "dvc.lock").write_text(LOCK)
    files.write_json(layout.snapshot / "ingest.json", {"rows": 320, "production": 20, "x": []})
    files.write_json(layout.snapshot / "schema.json", entrants.SCHEMA)
    results = [{"name": "rows", "success": True}, {"name": "constant", "success": False}]
    files.write_json(layout.checks / "checks.json", {"success": True, "expectations": results})
    return mlflow_site


def test_a_prediction_leads_back_to_everything_that_made_it(
    site: Site, kept_first: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    copy_state(kept_first, site)
    params = site.layout.params
    params.write_text(params.read_text() + "# changed\n")
    judged.enter(site, entrants.block_weights(), "reason=drift: contrast", "incident=inc-7")
    decision = str(judged.judge(site).facts["decision"])
    predict(site, "p-1", "2")
    found = trace(site, PROJECT, "p-1")
    assert found.missing == ()
    assert (found.answer.index, found.answer.label, found.answer.version) == (2, 1, "2")
    assert found.model is not None
    assert (found.model.commit, found.model.data) == (git(site, "rev-parse", "HEAD"), "5a5a.dir")
    assert found.run is not None
    assert found.run.changed
    assert dict(found.run.md5s) == {"data/snapshot": "5a5a.dir", "data/prepared": "9b9b.dir"}
    assert dict(found.run.counts) == {"rows": 320, "production": 20}
    assert found.run.checks is not None
    assert (found.run.checks.met, found.run.checks.failed) == (1, ("constant",))
    assert found.move is not None
    assert (found.move.kind, found.move.decision) == ("decided", decision)
    assert verb("p-1") == 0
    said = capsys.readouterr().out
    assert '"two" (70.0%), labelled "one"' in said
    assert "320 rows, 20 production" in said
    assert "1 of 2 expectations met; failed: constant" in said
    assert "changes that were not committed" in said
    assert "missing" not in said
    assert verb("p-1", json=True) == 0
    assert json.loads(capsys.readouterr().out)["run"]["md5s"][1] == ["data/snapshot", "5a5a.dir"]


def test_what_is_not_recorded_is_said_to_be_missing(site: Site) -> None:
    for path in (site.layout.root / "dvc.lock", site.layout.checks, site.layout.snapshot):
        files.remove(path)
    files.remove(site.layout.root / ".git")
    judged.enter(site, entrants.block_weights())
    predict(site, "early", "1", after_s=-60.0)
    found = trace(site, PROJECT, "early")
    missing = "\n".join(found.missing)
    for words in (
        "nothing in the ledger had put version 1 in service then", "git commit is not recorded",
        "snapshot's md5 is not recorded", "dvc.lock was not logged", "snapshot/ingest.json was not",
        "checks/checks.json was not logged",
    ):  # fmt: skip
        assert words in missing
    said = dict(links(found))
    absent = [name for name, words in said.items() if words == "not recorded"]
    assert absent == [
        "commit", "snapshot", "prepared", "tuned", "candidate", "rows", "checks", "decision",
    ]  # fmt: skip
    predict(site, "stray", "9")
    stray = trace(site, PROJECT, "stray")
    assert "version 9 was never registered by this program" in stray.missing
    assert dict(links(stray))["run"] == "not recorded"


def test_the_move_is_the_last_one_before_the_prediction(site: Site, kept_both: Site) -> None:
    copy_state(kept_both, site)
    later = replace(site, now=site.now + timedelta(hours=1))
    judged.back(later)
    predict(site, "before", "1")
    predict(site, "after", "1", after_s=3700.0)
    kinds = [getattr(trace(site, PROJECT, name).move, "kind", None) for name in ("before", "after")]
    assert kinds == ["decided", "rollback"]


def test_an_unknown_prediction_is_one_clear_line(site: Site) -> None:
    with pytest.raises(DataError, match="'nope': not in the log of digits; the server's reply"):
        verb("nope")
