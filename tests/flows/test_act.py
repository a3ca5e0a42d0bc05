"""The loop without Prefect: `mlops monitor --act`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops import run
from mlops.adapters import retrains
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.cli.act import act
from mlops.cli.step import monitor
from mlops.errors import MonitorError, StepError
from mlops.layout import Layout
from mlops.run import LOOP
from mlops.settings import Settings
from tests.flows.conftest import calls
from tests.project import unmeasured

if TYPE_CHECKING:
    from pathlib import Path


def ask(root: Path, *, running: bool = False) -> str:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.begin() as connection:
        made = retrains.request(connection, "digits", reason="drift", incident="i-7", now_s=9e9)
        if running:
            retrains.start(connection, made.id, now_s=9e9)
    engine.dispose()
    return made.id


def states(root: Path) -> list[tuple[str, str | None]]:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.connect() as connection:
        rows = connection.execute(sa.select(tables.retrains)).all()
    engine.dispose()
    return [(row.state, row.outcome) for row in rows]


def test_it_does_all_without_prefect_and_only_once(
    cheap: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []

    def made(_site: object, _engine: object, project: str, **_: object) -> int:
        pages.append(project)
        return 0

    monkeypatch.setattr("mlops.adapters.reports.make_pending", made)
    asked = ask(cheap)
    assert monitor(act=True) == 0
    assert len(pages) == 1  # those that the mails link
    assert f"act: {asked}: promote" in capsys.readouterr().err
    assert calls(cheap) == ["monitor", "reconcile", *LOOP, "announce"]
    assert states(cheap) == [("ended", "promote")]

    waiting = [MonitorError("window w1: nothing to compare")]

    def broken(*_: object, **__: object) -> int:
        if waiting:
            raise waiting.pop()
        return 0

    monkeypatch.setattr("mlops.adapters.reports.make_pending", broken)
    assert monitor(act=True) == 0  # a page that cannot be made undoes nothing
    said = capsys.readouterr().err
    assert "no retrain was asked for" in said
    assert "pages: window w1: nothing to compare" in said
    assert calls(cheap)[-1] == "monitor"


def test_a_failure_is_announced_and_frees_the_next(cheap: Path) -> None:
    ask(cheap)
    (cheap / "fail-prepare").touch()
    with pytest.raises(StepError, match="prepare: told to fail"):
        monitor(act=True)
    assert (cheap / "failure.txt").read_text() == "step prepare: prepare: told to fail"
    assert states(cheap) == [("ended", "failed")]


def test_a_killed_run_is_ended_by_the_next(cheap: Path) -> None:
    asked = ask(cheap, running=True)
    layout = Layout(cheap)
    layout.work.mkdir(parents=True, exist_ok=True)
    (layout.work / "act.json").write_text(json.dumps({"retrain": asked}))
    assert act(layout, Settings()) == "no retrain was asked for"
    assert states(cheap) == [("ended", "failed")]


def test_what_prefect_runs_is_left_alone(cheap: Path) -> None:
    ask(cheap, running=True)
    assert act(Layout(cheap), Settings()) == "no retrain was asked for"
    assert states(cheap) == [("running", None)]


_ACT = """
import json, sys
from mlops import run
from mlops.cli.act import act
from mlops.layout import Layout, find_root
from mlops.settings import Settings
run.STEPS.update(json.loads(sys.argv[2]))
sys.path.insert(0, sys.argv[1])
act(Layout(find_root()), Settings())
"""


def test_two_at_once_are_one_retrain(cheap: Path) -> None:
    ask(cheap)
    # Fresh processes: a fork would inherit the locks of this one's Prefect threads.
    command = [sys.executable, "-c", _ACT, str(cheap / "modules"), json.dumps(run.STEPS)]
    both = [subprocess.Popen(command, env=unmeasured()) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert calls(cheap).count("promote") == 1
    assert states(cheap) == [("ended", "promote")]
