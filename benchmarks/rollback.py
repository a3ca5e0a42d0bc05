"""`mlops rollback` end to end, with a real MLflow server up, against importing SQLAlchemy.

Claim: a rollback (ledger row, alias, `applied`; the store's files hashed) takes no more than 5
times as long as `python -c "import sqlalchemy"`, the largest thing that it has to import: under
2 s where that takes 0.4 s. It never imports MLflow, which alone takes longer than all of it.

How: a project of two versions in a temporary folder, `mlflow server` on SQLite as `mlops up` runs
it, the command line as a user calls it, interleaved with the baselines; n = 7, medians. Only
ratios mean something; the seconds are printed beside them. Each rollback undoes the one before.

Measured on 2 cores of a shared virtual machine, other work running: median 1.2 s, ratio 4.6 (of it
0.2 s for nine calls of MLflow's REST API and the hashes of the store's files).

Run: python benchmarks/rollback.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlops.adapters import registry
from mlops.layout import Layout
from mlops.settings import Settings
from mlops.site import Site
from tests.mlflow_server import mlflow_server
from tests.promotions import PROJECT, add_version, decide

REPOSITORY = Path(__file__).parent.parent
ROUNDS = 7
_BOUND = 5.0
_MLOPS = [sys.executable, "-m", "mlops.cli.main"]
_BASE = [sys.executable, "-c", "import sqlalchemy"]
_MLFLOW = [sys.executable, "-c", "import mlflow"]


def timed(command: list[str], root: Path) -> float:
    """Return how long a command takes, in seconds."""
    environment = {**os.environ, "MLOPS_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    start_s = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start_s


def main() -> int:
    """Measure and print; 1 if the bound does not hold."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(REPOSITORY / name, root)
        layout = Layout(root)
        layout.work.mkdir(parents=True)
        site = Site(layout, Settings(), datetime.now(UTC), layout.work / "bench")
        for champion in (None, "1"):
            decide(site, add_version(site), champion, approval="auto")
        taken: dict[str, list[float]] = {"rollback": [], "sqlalchemy": [], "mlflow": []}
        with mlflow_server(layout):
            for turn in range(rounds):
                taken["sqlalchemy"].append(timed(_BASE, root))
                taken["rollback"].append(timed([*_MLOPS, "rollback"], root))
                assert registry.champion(site, PROJECT) == ("1", "2")[turn % 2]
                if turn < 2:
                    taken["mlflow"].append(timed(_MLFLOW, root))
    median = {name: statistics.median(values) for name, values in taken.items()}
    ratio = median["rollback"] / median["sqlalchemy"]
    print(json.dumps({name: round(value, 3) for name, value in median.items()}))
    print(
        f"rollback: {median['rollback']:.2f} s, {ratio:.1f} x importing SQLAlchemy "
        f"(bound {_BOUND:g}); importing MLflow alone {median['mlflow'] / median['rollback']:.1f} x "
        f"as long; worst of {rounds}: {max(taken['rollback']):.2f} s"
    )
    return 0 if ratio <= _BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
