"""Keep the code that stages list in `dvc.yaml` equal to what their steps reach.

Run as a script (`make stages`) it rewrites the file; the test only compares.
"""

from __future__ import annotations

import re
from pathlib import Path

import grimp

from mlops.adapters.pipeline import read_stages

REPOSITORY = Path(__file__).parent.parent

# Loaded by name at run time, so the import graph cannot see them.
LOADED_BY_NAME = {
    "ingest": ("mlops/adapters/sources",),
    "tune": ("mlops/core/networks.py",),
    "train": ("mlops/core/networks.py",),
}


def code_of(stages: list[str]) -> dict[str, list[str]]:
    """Return stage → the files, relative to the repository, of every module its step reaches."""
    graph = grimp.build_graph("mlops", cache_dir=None, exclude_type_checking_imports=True)
    found = {}
    for stage in stages:
        module = f"mlops.steps.{stage}"
        reached = {module, *graph.find_upstream_modules(module)}
        files = {path for name in reached if (path := _file(name))}
        folders = LOADED_BY_NAME.get(stage, ())
        inside = {f for f in files if any(f.startswith(f"{folder}/") for folder in folders)}
        found[stage] = sorted((files - inside) | set(folders))
    return found


def rewrite() -> None:
    """Write the code of every stage into `dvc.yaml`, keeping its comments and data."""
    path = REPOSITORY / "dvc.yaml"
    text = path.read_text()
    for stage, code in code_of(list(read_stages(REPOSITORY))).items():
        pattern = re.compile(rf"(\n  {stage}:\n(?:    .*\n)*?    deps:\n)((?:      - .*\n)*)")
        match = pattern.search(text)
        assert match, f"stage {stage} has no deps"
        data = [line for line in match[2].splitlines() if not line.startswith("      - mlops/")]
        lines = [*data, *(f"      - {name}" for name in code)]
        text = text[: match.start(2)] + "\n".join(lines) + "\n" + text[match.end(2) :]
    path.write_text(text)


def _file(module: str) -> str | None:
    """Return a module's file; packages are empty here and change nothing."""
    path = Path(*module.split(".")).with_suffix(".py")
    return path.as_posix() if (REPOSITORY / path).is_file() else None


if __name__ == "__main__":
    rewrite()
