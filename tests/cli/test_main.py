from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlops.cli import main as cli
from mlops.cli import step as step_verbs
from mlops.run import STEPS
from tests.project import environment

if TYPE_CHECKING:
    from pathlib import Path


def mlops(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(root), "PYTHONPATH": ""}
    command = [sys.executable, "-m", "mlops.cli.main", *words]
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)


def test_every_step_is_a_verb_and_every_verb_exists() -> None:
    assert set(cli._STEPS) == set(STEPS)
    for name in STEPS:
        assert callable(getattr(step_verbs, name))
    for target, text in cli._VERBS.values():
        module, _, attribute = target.partition(":")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)
        assert text


def test_help_lists_every_verb_and_imports_nothing_heavy(root: Path) -> None:
    shown = mlops(root, "--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in [*STEPS, *cli._VERBS])
    assert "\x1b[" not in shown.stdout
    code = (
        "import sys\nfrom mlops.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'torch', 'mlflow', 'sqlalchemy', 'pydantic') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ingest", "--colour"], "Unknown option"),
        (["fly"], "Unknown command"),
        (["promote", "--again=perhaps"], "again"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    root: Path, words: list[str], said: str
) -> None:
    done = mlops(root, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("reserve: 0.35", "reserve: lots", "params.yaml:11: data.reserve = 'lots' is text"),
        ("source: digits", "source: digits\n  source: digits", "data.source stands twice"),
        ("source: digits", "sauce: digits", "data.sauce is not a known key"),
        ("reserve: 0.35", "reserve: -1.0", "data.reserve = -1.0"),
        ("reserve: 0.35", "reserve: 1e-1", "write 0.1"),
    ],
)
def test_wrong_parameters_are_one_line_and_exit_2(
    root: Path, old: str, new: str, said: str
) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    (root / "dvc.yaml").write_text("stages: {}")
    done = mlops(root, "config", "check")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_outside_a_project_the_remedy_is_named(tmp_path: Path) -> None:
    env = {k: v for k, v in environment(tmp_path).items() if k != "MLOPS_ROOT"}
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli.main", "config", "check"],
        cwd=tmp_path, env={**env, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "run inside the project or set MLOPS_ROOT" in done.stderr


def test_secrets_are_masked(root: Path) -> None:
    env = {**environment(root), "MLOPS_TOKEN": "canary-7f3a", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli.main", "config", "show", "--origin"],
        cwd=root, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "canary-7f3a" not in done.stdout + done.stderr
    assert "MLOPS_TOKEN" in done.stdout
    assert "(environment)" in done.stdout


def test_init_renames_the_clone_and_keeps_comments(root: Path) -> None:
    done = mlops(root, "init", "my-model", "--source", "fashion_mnist", "--path", "data/raw")
    assert done.returncode == 0, done.stderr
    text = (root / "params.yaml").read_text()
    assert "  name: my-model" in text
    assert "# registered model" in text
    assert "source: fashion_mnist" in text
    refused = mlops(root, "init", "My Model")
    assert refused.returncode == 2
    assert (root / "params.yaml").read_text() == text
