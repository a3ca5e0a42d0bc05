"""A past candidate trained again in a scratch copy: its code, its data, its parameters.

Nothing of the user's is written to: not the working tree, the registry, or `dvc.lock`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.adapters import dvc, files, git, inherited, run_files
from mlops.adapters.model_files import CARD
from mlops.adapters.registry import fetch, registration
from mlops.errors import DataError, StepError
from mlops.layout import Layout

if TYPE_CHECKING:
    from mlops.adapters.run_files import Hashed
    from mlops.core.decision import Decision
    from mlops.site import Site

_STEPS = ("train", "evaluate")
_INPUTS = ("data/prepared", "models/tuned")
# Figures of the machine, not of the model: the exported file names the folder of its code.
_MACHINE = ("latency", "bytes")


@dataclass(frozen=True)
class Figure:
    """One metric as it was and as it came out again.

    Attributes:
        name: its key in `metrics.json`.
        recorded: as the version's sealed file holds it; nothing if it has no such key.
        rebuilt: as it came out now; nothing likewise.
        allowed: largest difference; nothing if the figure measures the machine and is not judged.
    """

    name: str
    recorded: float | None
    rebuilt: float | None
    allowed: float | None

    @property
    def within(self) -> bool:
        """Whether the figure is as it was, as far as the tolerance goes."""
        if self.allowed is None:
            return True
        if self.recorded is None or self.rebuilt is None:
            return False
        return abs(self.rebuilt - self.recorded) <= self.allowed


@dataclass(frozen=True)
class Rebuilt:
    """What training again came to.

    Attributes:
        version: the candidate's.
        commit: the code that trained it, then and now.
        tolerance: as declared.
        figures: every metric.
        vouched: whether the run's files are what the ledger vouches for; versions registered
            before it kept their hashes have nobody to vouch for them.
    """

    version: str
    commit: str
    tolerance: float
    figures: tuple[Figure, ...]
    vouched: bool

    @property
    def within(self) -> bool:
        """Whether every figure is within the tolerance; where none could be judged, it is not."""
        return bool(self.judged) and all(figure.within for figure in self.judged)

    @property
    def judged(self) -> tuple[Figure, ...]:
        """The figures of the model, not of the machine."""
        return tuple(figure for figure in self.figures if figure.allowed is not None)


def rebuild(site: Site, decision: Decision, tolerance: float) -> Rebuilt:
    """Train and evaluate a decision's candidate again, and compare every metric.

    Args:
        site: whose git, DVC cache and MLflow hold what is needed.
        decision: whose candidate.
        tolerance: largest difference of a metric; of one above 1, relative to it.

    Raises:
        StepError: if the commit is unknown or not here, or a step fails.
        DataError: if a file of the run or the data is no longer there, or is another than at
            registration.
        UnverifiedModel: if the version's files are not what the ledger vouches for.
        Unavailable: if MLflow does not answer.
    """
    version = decision.candidate.version
    if not decision.commit:
        msg = f"decision {decision.id} names no git commit: nobody knows the code of version "
        raise StepError(f"{msg}{version}; train inside a git repository to rebuild later")
    recorded = files.read_json(fetch(site, decision.project, version) / "metrics.json")
    known = registration(site, decision.project, version).inputs
    site.layout.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rebuild.", dir=site.layout.work) as scratch:
        copy = Layout(Path(scratch) / "project")
        _copy(site, decision, known, Path(scratch), copy)
        for step in _STEPS:
            _run(site, step, copy)
        rebuilt = files.read_json(copy.evaluation / "metrics.json")
    figures = _figures(recorded, rebuilt, tolerance)
    return Rebuilt(version, decision.commit, tolerance, figures, bool(known))


def _copy(
    site: Site, decision: Decision, known: tuple[Hashed, ...], scratch: Path, copy: Layout
) -> None:
    """Make the project as it was when the candidate was trained, without its outputs."""
    logged = {
        name: run_files.get(site, decision.candidate.run_id, name, scratch / "run")
        for name in run_files.INPUTS
    }
    if known:
        _compare(decision.candidate.run_id, logged, {one.name: one.sha256 for one in known})
    for name in ("dvc.lock", "params.yaml"):
        if logged[name] is None:
            msg = (
                f"run {decision.candidate.run_id}: {name} was not logged; version "
                f"{decision.candidate.version} was not trained by dvc repro or a flow"
            )
            raise DataError(msg)
    changes = logged["uncommitted.diff"]
    text = changes.read_text(encoding="utf-8") if changes else ""
    git.export(site.layout.root, decision.commit, text, copy.root)
    for name in ("dvc.lock", "params.yaml"):
        files.write_bytes(copy.root / name, Path(str(logged[name])).read_bytes())
    dvc.restore(site.layout.root, copy.root, _INPUTS)
    _inherit(site, decision, copy)


def _inherit(site: Site, decision: Decision, copy: Layout) -> None:
    """Put the weights that the training began with where it found them."""
    described = files.read_json(fetch(site, decision.project, decision.candidate.version) / CARD)
    start = described.get("start")
    if isinstance(start, dict) and (version := str(start.get("version", ""))):
        inherited.put(copy.inherited, fetch(site, decision.project, version), version)


def _compare(run_id: str, logged: dict[str, Path | None], known: dict[str, str]) -> None:
    """Hold what the run holds now against the ledger: its diff is code that is about to run."""
    for name, path in logged.items():
        found = files.sha256(path) if path else None
        if found != known.get(name):
            what = "is gone" if found is None else "is not the file that was registered"
            if name not in known:
                what = "was not there when the version was registered"
            msg = f"run {run_id}: {name} {what}; by the ledger its sha256 is {known.get(name)}"
            raise DataError(f"{msg}; restore it in MLflow's store")


def _run(site: Site, step: str, copy: Layout) -> None:
    """Run one step of the copy's own code, with no setting of the user but the threads."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "PREFECT_"))}
    environment = {
        **kept, "MLOPS_ROOT": str(copy.root), "PYTHONPATH": str(copy.root),
        "MLOPS_THREADS": str(site.settings.threads),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "mlops.cli.main", step],
        cwd=copy.root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise StepError(f"rebuild: mlops {step} ended with {done.returncode}: {said[:300]}")


def _figures(
    recorded: dict[str, object], rebuilt: dict[str, object], tolerance: float
) -> tuple[Figure, ...]:
    found = []
    for name in dict.fromkeys([*recorded, *rebuilt]):
        before, after = _number(recorded.get(name)), _number(rebuilt.get(name))
        judged = not any(part in name for part in _MACHINE)
        allowed = tolerance * max(1.0, abs(before or 0.0)) if judged else None
        found.append(Figure(name, before, after, allowed))
    return tuple(found)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
