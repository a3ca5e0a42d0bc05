from __future__ import annotations

import multiprocessing
import shutil
import sys
import time
import types
from typing import TYPE_CHECKING, ClassVar

import pytest

from mlops import run
from mlops.errors import ChangedWhileRunning, DataError, StepError
from mlops.params.base import View
from mlops.params.project import ProjectSection
from mlops.settings import Settings
from mlops.site import Report
from tests.project import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlops.site import Site

from mlops.layout import Layout


class CopyParams(View):
    project: ProjectSection


DVC_YAML = """
stages:
  copy:
    cmd: mlops copy
    params: [project]
    deps: [in.txt]
    outs: [data/out]
"""


@pytest.fixture
def step(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Layout]:
    """Return a function that installs a step named `copy`, reading in.txt, writing data/out."""
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "in.txt").write_text("one")

    def install(function: object) -> Layout:
        module = types.ModuleType("mlops.steps.copy_for_test")
        vars(module).update(copy=function, CopyParams=CopyParams)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(run.STEPS, "copy", module.__name__)
        return Layout(root)

    return install


def copy(params: CopyParams, site: Site) -> Report:
    out = site.out(site.layout.root / "data" / "out")
    out.mkdir()
    (out / "copied.txt").write_text((site.layout.root / "in.txt").read_text())
    return Report(f"{params.project.name} copied")


def test_a_missing_dvc_yaml_is_named_once_with_the_command_that_restores_it(site: Site) -> None:
    with pytest.raises(DataError) as refused:
        run.run_step("ingest", site.layout, site.settings)
    path = site.layout.root / "dvc.yaml"
    what = "no stages to read (No such file or directory); restore it with: git checkout dvc.yaml"
    assert str(refused.value) == f"{path}: {what}"


def test_outputs_replace_the_old_ones_whole(step: Callable[[object], Layout]) -> None:
    layout = step(copy)
    (layout.root / "data" / "out").mkdir()
    (layout.root / "data" / "out" / "stale.txt").write_text("old")
    assert run.run_step("copy", layout, Settings()).summary == "digits copied"
    assert [p.name for p in (layout.root / "data" / "out").iterdir()] == ["copied.txt"]
    assert {p.name for p in (layout.root / "data").iterdir()} == {"production", "out"}


def test_a_failing_step_leaves_the_old_output(step: Callable[[object], Layout]) -> None:
    def fail(params: CopyParams, site: Site) -> Report:
        copy(params, site)
        raise StepError("no")

    layout = step(fail)
    (layout.root / "data" / "out").mkdir()
    with pytest.raises(StepError, match="no"):
        run.run_step("copy", layout, Settings())
    assert list((layout.root / "data" / "out").iterdir()) == []
    assert not (layout.root / "data" / ".out.new").exists()


@pytest.mark.parametrize("what", ["in.txt", "params.yaml"])
def test_a_change_while_running_fails_and_writes_nothing(
    step: Callable[[object], Layout], what: str
) -> None:
    def change(params: CopyParams, site: Site) -> Report:
        report = copy(params, site)
        path = site.layout.root / what
        path.write_text(path.read_text().replace("one", "two").replace("digits  ", "others  "))
        return report

    layout = step(change)
    with pytest.raises(ChangedWhileRunning, match="changed while running"):
        run.run_step("copy", layout, Settings())
    assert not (layout.root / "data" / "out").exists()


def test_an_output_that_was_not_written_is_named(step: Callable[[object], Layout]) -> None:
    layout = step(lambda _params, _site: Report("nothing"))
    with pytest.raises(StepError, match="wrote no data/out"):
        run.run_step("copy", layout, Settings())


class Keys:
    seen: ClassVar[list[Path]] = []


def test_half_done_work_is_found_again_until_a_dependency_changes(
    step: Callable[[object], Layout],
) -> None:
    def stop(_params: CopyParams, site: Site) -> Report:
        Keys.seen.append(site.work)
        (site.work / "half").touch()
        raise StepError("killed")

    layout = step(stop)
    for text in ("one", "one", "two"):
        (layout.root / "in.txt").write_text(text)
        with pytest.raises(StepError):
            run.run_step("copy", layout, Settings())
    first, second, third = Keys.seen
    assert first == second != third
    assert (first / "half").exists()


def _hold(layout: Layout, started: object) -> None:
    with run._lock(layout, "copy"):
        started.set()  # type: ignore[attr-defined]
        time.sleep(0.6)


def test_the_second_of_two_waits_and_says_for_whom(
    step: Callable[[object], Layout], capfd: pytest.CaptureFixture[str]
) -> None:
    layout = step(copy)
    context = multiprocessing.get_context("fork")
    started = context.Event()
    other = context.Process(target=_hold, args=(layout, started))
    other.start()
    started.wait(10)
    run.run_step("copy", layout, Settings())
    other.join()
    shown = "".join(capfd.readouterr())
    assert f"process {other.pid}" in shown
    assert "waiting" in shown


def test_a_missing_input_names_the_command_that_makes_it(root: Path) -> None:
    shutil.copy(REPOSITORY / "dvc.yaml", root)
    with pytest.raises(DataError, match="data/snapshot is missing; run: mlops ingest"):
        run.run_step("validate", Layout(root), Settings())
    assert not (root / "reports" / "checks").exists()
