from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops.adapters.backtest import BacktestParams, Stretch, read_past
from mlops.adapters.predictions import insert_batch
from mlops.adapters.sql.engine import database
from mlops.cli.backtest import backtest
from mlops.cli.backtest_words import pieces
from mlops.cli.here import open_site
from mlops.core.features import canonical
from mlops.core.prediction import Label, Prediction
from mlops.core.schema import table_columns
from mlops.errors import DataError, ParamsError, UsageError
from mlops.params.load import load
from tests.streams import stream

if TYPE_CHECKING:
    from mlops.site import Site

REPOSITORY = Path(__file__).parents[2]
HIGH = ("gate.floors.accuracy=0.85", "gate.floors.balanced_accuracy=0.8")
QUICK = (
    "monitoring.replicates=200", "gate.resamples=500", "trigger.min_new_labels=400",
    "gate.min_rows=20", "gate.floors.roc_auc=0.5",
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a project whose table has times and changes halfway."""
    past = stream(4000, changed_at=2400)
    table = {"x": past.features[:, 0], "y": past.features[:, 1], "at": past.observed_s,
             "label": np.array(past.schema.classes)[past.label]}  # fmt: skip
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.table(table), tmp_path / "raw" / "rows.parquet")
    text = (REPOSITORY / "params.yaml").read_text()
    text = text.replace("source: digits", "source: table\n  target: label\n  time: at")
    (tmp_path / "params.yaml").write_text(text.replace("path: null", "path: raw"))
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    return open_site()


def test_history_is_walked_told_and_drawn(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    better = ("gate.floors.accuracy=0.5", "gate.floors.balanced_accuracy=0.5")
    assert backtest(changes=QUICK + HIGH, against=(",".join(better),)) == 0
    said = capsys.readouterr().out
    assert "32 windows, 2023-11-17 to 2023-11-28" in said
    assert "incident 1 opened (accuracy; costly)" in said
    assert "failed at the gate's floors alone" in said
    assert "gate.floors.accuracy=0.5, gate.floors.balanced_accuracy=0.5" in said
    assert "boosted trees" in said
    folder = site.layout.backtest
    assert (folder / "backtest.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "windows.csv").open()))
    assert len(rows) == 32
    assert any("refused" in row["events"] for row in rows)
    assert not (site.layout.root / ".mlops" / "mlops.db").exists()


def test_json_has_everything(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(from_="2023-11-17T12:00", to="2023-11-27", changes=QUICK, json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["summary"]["windows"] == len(told["steps"])
    assert told["summary"]["costly"] == 1
    assert told["summary"]["retrains"] == len(told["retrains"]) > 0


@pytest.mark.usefixtures("site")
def test_the_schedule_is_walked_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    weekly = ("trigger.schedule=0 3 * * 1", "trigger.on_loss=false")
    assert backtest(changes=(*QUICK, *weekly), json=True) == 0
    told = json.loads(capsys.readouterr().out)
    [monday, later] = (datetime(2023, 11, day, 3, tzinfo=UTC).timestamp() for day in (20, 27))
    asked = [told["steps"][r["asked"] - told["first"]] for r in told["retrains"]]
    assert {r["cause"] for r in told["retrains"]} == {"schedule"}
    for step, at in zip(asked, (monday, later), strict=True):
        before = max(s["end_s"] for s in told["steps"] if s["end_s"] < step["end_s"])
        assert before < at <= step["end_s"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("gate.margn=1", "-S gate.margn is not a known key"),
        ("gate.margin=x", "-S gate.margin = 'x' is text, not a number"),
        ("nope.x=1", "-S nope is not a section"),
        ("gate", "-S gate: write section.key=value"),
        ("data.source.x=1", "-S data.source.x: source holds no keys"),
        ("gate.slices=[", "is no value"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_wrong_change_is_refused_as_a_wrong_file_is(changes: str, said: str) -> None:
    with pytest.raises(ParamsError) as caught:
        backtest(changes=(changes,))
    assert said in str(caught.value)


def test_a_change_may_be_a_list_or_nothing(site: Site) -> None:
    made = load(site.layout.params, BacktestParams, ("gate.slices=[x, y]", "data.limit="))
    assert (made.gate.slices, made.data.limit) == (("x", "y"), None)


@pytest.mark.usefixtures("site")
def test_a_stretch_without_history_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="--from soon: write a date"):
        backtest(from_="soon")
    with pytest.raises(DataError, match="no whole window before the walk"):
        backtest(from_="2020-01-01")
    with pytest.raises(DataError, match="widen --from and --to"):
        backtest(to="2020-01-01")
    with pytest.raises(DataError, match="no first model can be fitted"):
        backtest(changes=("split.test=0.001",), from_="2023-11-15T14:00")


def test_without_times_it_says_what_is_missing(site: Site) -> None:
    shutil.copyfile(REPOSITORY / "params.yaml", site.layout.params)
    with pytest.raises(DataError, match="its rows have no times, and a backtest walks through"):
        backtest()
    with pytest.raises(DataError, match="nothing has been served yet"):
        backtest(over="log")


def test_the_log_is_walked_once_it_has_labels(site: Site) -> None:
    past = stream(1200)
    values = (past.features[:, 0], past.features[:, 1])
    rows = [
        Prediction(f"p{n}", float(at), "1", f"e{n}", None, written, b"", 0.0)
        for n, (at, written) in enumerate(
            zip(past.observed_s, canonical(values, past.schema), strict=True)
        )
    ]
    whole = rows[-1]  # of which a column is redacted, a row is no history of what was asked
    name = table_columns(past.schema)[0].name
    rows += [replace(whole, id=f"r{n}", redacted=(name,)) for n in range(9)]
    known = [
        Label(f"p{n}", float(label), "active" if n % 3 == 0 else "random", 2e9)
        for n, label in enumerate(past.label[:1100])
    ]
    params = load(site.layout.params, BacktestParams, ("labels.sample=0.5",))
    with database(site) as engine:
        insert_batch(engine, params.project.name, rows, known)
    found, over = read_past(site, params, Stretch())
    assert (over, len(found)) == ("log", 1200)
    assert found.labelled.sum() == 1100
    assert found.active.sum() == 367
    assert not found.measures[found.active].any()
    assert np.allclose(found.features, past.features)


def test_changes_of_a_policy_are_divided_at_commas_before_keys() -> None:
    assert pieces("a.b=1,c.d=[1, 2],e.f=x") == ("a.b=1", "c.d=[1, 2]", "e.f=x")
