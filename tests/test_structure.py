"""The shape of the tree itself: sizes, docstrings, stages, forbidden words."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from mlops.adapters.pipeline import read_stages
from mlops.params.load import SECTIONS
from mlops.run import LOOP, STEPS
from tests.stages import code_of

REPOSITORY = Path(__file__).parent.parent
MODULES = sorted(
    p
    for package in ("mlops", "flows")
    for p in (REPOSITORY / package).rglob("*.py")
    if "versions" not in p.parts
)
STAGES = read_stages(REPOSITORY)


def test_modules_are_small() -> None:
    sizes = {p: len(p.read_text().splitlines()) for p in MODULES}
    assert {p.name: n for p, n in sizes.items() if n > 250} == {}
    assert statistics.median(n for n in sizes.values() if n) <= 120


def test_functions_are_short() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - _body_line(node) + 1 > 40
    ]
    assert long == []


def test_every_exception_from_a_rule_has_its_reason() -> None:
    bare = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for folder in ("mlops", "flows", "tests", "benchmarks")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"[#] (noqa(?!: [A-Z0-9, ]+ - )|type: ignore(?!\[))", line)
    ]
    assert bare == []


def _body_line(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count from the first statement after the docstring: words cost nothing."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return (first.end_lineno or node.lineno) + 1 if documented else node.lineno


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_its_step(name: str) -> None:
    stage = STAGES[name]
    assert stage.cmd == f"mlops {name}"
    view = getattr(importlib.import_module(STEPS[name]), f"{name.capitalize()}Params")
    assert sorted(stage.params) == sorted(view.model_fields)


def test_stages_stand_in_the_order_of_the_loop() -> None:
    assert list(STAGES) == [name for name in LOOP if name in STAGES]


def test_a_stage_lists_the_code_that_its_step_reaches() -> None:
    listed = {
        name: sorted(dep for dep in stage.deps if dep.startswith("mlops/"))
        for name, stage in STAGES.items()
    }
    assert listed == code_of(list(STAGES)), "run: make stages"


def test_what_the_readme_links_to_is_there() -> None:
    text = (REPOSITORY / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert heads == [
        "Two commands", "What you see", "Four surfaces, one decision", "Bring your own",
        "When not to use it", "Links",
    ]  # fmt: skip
    assert re.split(r"\n\n", text)[1].count(". ") == 0  # one sentence
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text))
    assert "docs/recovery.png" in linked
    assert [name for name in linked if not (REPOSITORY / name).exists()] == []


def test_what_a_demo_draws_is_nothing_that_git_tracks() -> None:
    ignored = (REPOSITORY / "reports" / ".gitignore").read_text().splitlines()
    assert "/recovery.png" in ignored
    assert "cp reports/recovery.png docs/recovery.png" in (REPOSITORY / "Makefile").read_text()


def test_every_step_sees_known_sections_only() -> None:
    for name, module in STEPS.items():
        view = getattr(importlib.import_module(module), f"{name.capitalize()}Params")
        assert set(view.model_fields) <= set(SECTIONS)


def test_packages_are_empty_so_that_listing_is_free() -> None:
    assert [p for p in MODULES if p.name == "__init__.py" and p.read_text().strip()] == []


def test_nothing_swallows_errors() -> None:
    swallowing = re.compile(r"except( Exception| BaseException)?:\s*\n\s*(pass|\.\.\.)\s*\n")
    assert [p for p in MODULES if swallowing.search(p.read_text())] == []


def test_core_imports_with_torch_and_its_companions_alone() -> None:
    core = [f"mlops.core.{p.stem}" for p in MODULES if p.parent.name == "core"]
    outside = "prefect mlflow dvc great_expectations evidently optuna sqlalchemy pandas pydantic"
    code = (
        "import sys\n"
        f"for name in {outside.split()!r}: sys.modules[name] = None\n"
        f"for name in {core!r}: __import__(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
