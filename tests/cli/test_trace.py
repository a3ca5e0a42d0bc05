from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops.adapters import predictions
from mlops.adapters.history import Moment
from mlops.adapters.lineage import Answer, Trace
from mlops.adapters.registry import Registration
from mlops.adapters.run_record import Checks, RunRecord
from mlops.adapters.sql.engine import database
from mlops.cli.main import main
from mlops.cli.trace import chart, links
from mlops.core.prediction import Prediction

if TYPE_CHECKING:
    from mlops.site import Site

FOUND = Trace(
    "digits", Answer("p-1", 0.0, "2", "e1", 1, 0.9, None),
    Registration("d" * 64, "c", "r", 'a"]-->x["<b>#', "", "c0ffee", "5a.dir"),
    RunRecord(
        "r", "manual c", "FINISHED", 0.0, changed=False, md5s=(("data/snapshot", "5a.dir"),),
        counts=(("production", 2), ("rows", 9)), classes=("zero", "one"),
        checks=Checks(4, 4, ()), missing=(),
    ),
    Moment(3, 0.0, "decided", "me", "2", "1", "2", "promote", "abc", "promoted version 2"), (),
)  # fmt: skip


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["trace", *words])
    return int(str(ended.value.code))


@pytest.fixture(autouse=True)
def _inside(mlflow_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(mlflow_site.layout.root))
    made = Prediction("p-1", 0.0, "2", "e1", None, None, np.eye(3, dtype="<f4")[1].tobytes(), 0.0)
    with database(mlflow_site) as engine:
        predictions.insert_batch(engine, "digits", [made])


def test_the_text_has_a_line_for_every_link() -> None:
    said = dict(links(FOUND))
    assert said["prediction"] == 'p-1, 1970-01-01 00:00:00 UTC: "one" (90.0%)'
    assert said["rows"] == "9 rows, 2 production"
    assert said["checks"] == "4 of 4 expectations met"
    assert (said["commit"], said["tuned"]) == ("c0ffee", "not recorded")


def test_the_picture_draws_every_link_and_nothing_in_it_acts() -> None:
    drawn = chart(FOUND)
    assert drawn.startswith("flowchart LR\n")
    assert drawn.count('["') == drawn.count('"]') == 11
    assert "a#quot;]--#gt;x[#quot;#lt;b#gt;#35;" in drawn
    assert drawn.count(":::absent") == 3  # that dvc.lock names the snapshot only


def test_it_is_written_to_a_file_or_printed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    target = site.layout.root / "trace.mmd"
    assert run("p-1", "--mermaid", str(target), "--json") == 0
    assert json.loads(capsys.readouterr().out)["missing"]
    assert run("p-1", "--mermaid", "-") == 0
    assert capsys.readouterr().out == target.read_text()


def test_what_of_the_row_nobody_may_read_is_said(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = np.eye(3, dtype="<f4")[1].tobytes()
    row = Prediction("p-2", 0.0, "2", "e1", None, b"[null]", scores, 0.0, redacted=("age", "city"))
    with database(site) as engine:
        predictions.insert_batch(engine, "digits", [row])
    assert run("p-2") == 0
    assert "the model saw age, city, which was not kept (redacted)" in capsys.readouterr().out


def test_an_unknown_prediction_is_one_line_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("nope") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'nope': not in the log of digits" in said
