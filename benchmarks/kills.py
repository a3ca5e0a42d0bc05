"""SIGKILL between log, register, ledger and alias, and two promoters in two processes.

Claims: after a promotion that was killed at a random time no alias points at a version whose stored
bytes are not the ledger's; the next start agrees with itself; nothing is lost or doubled. n = 200
kills. Of two promoters that judged against the same champion one wins, the other is told. n = 50.

How: each promotion is a process of its own on the real files, MLflow and SQLite, killed from
outside after a time drawn from a uniform distribution over its length; every second one over what
is left once the version is registered, for ledger and alias are quick (`tests.kills`).
The table says how far the killed ones had come. Hardware: any; a second or two each.

Run: python benchmarks/kills.py [--kills 200] [--races 50] [--seed 1]
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from mlops.adapters import mlflow
from mlops.layout import Layout
from mlops.log import quieten
from mlops.settings import Settings
from mlops.site import Site
from tests import kills

REPOSITORY = Path(__file__).parent.parent
_HEAVY = (
    "mlflow.onnx", "mlflow.artifacts", "mlflow.pyfunc", "onnxruntime", "alembic.command",
    "alembic.migration", "cryptography.fernet", "sqlalchemy.orm", "sqlite3", "matplotlib.pyplot",
)  # fmt: skip
"""Imported once, so that the children need not; a kill during imports would prove nothing."""
_STAGES = (
    "nothing", "run", "model", "version", "registered", "decided", "alias", "applied", "ended",
)  # fmt: skip


def new_site(folder: Path, template: Path) -> Site:
    """Make an empty project in a folder."""
    layout, work = Layout(folder), folder / ".mlops" / "work" / "kills"
    work.mkdir(parents=True)
    shutil.copy(REPOSITORY / "params.yaml", folder)
    (folder / "data" / "production").mkdir(parents=True)
    shutil.copy(template, layout.mlflow_db)
    return Site(layout, Settings(), datetime(2026, 1, 5, 12, tzinfo=UTC), work)


def kill(site: Site, count: int, seed: int) -> Counter[str]:
    """Kill so many promotions; return how far they had come."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    came, turn = Counter[str](), 0
    kills.done(lambda: kills.set_up(site))
    longest_s = [1e9, 1e9]  # the first of a kind is not killed: it shows how long one takes
    while sum(came[stage] for stage in _STAGES[:-1]) < count:
        turn, late = turn + 1, turn % 2
        stage, taken_s = kills.kill_once(site, turn, rng, longest_s[late], late=late == 1)
        came[stage] += 1
        # Follow the machine's pace: one in ten may end before it is killed.
        ended = stage == "ended"
        longest_s[late] = min(longest_s[late], taken_s) if ended else 1.02 * longest_s[late]
    return came


def main() -> int:
    """Kill, race, print; an assertion ends it with its words."""
    parser = argparse.ArgumentParser()
    for name, default in (("kills", 200), ("races", 50), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given, start_s = parser.parse_args(), time.monotonic()
    quieten()
    for name in _HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        template = home / "template" / ".mlops" / "mlflow.db"
        empty = Site(Layout(home / "template"), Settings(), datetime.now(UTC), home / "template")
        kills.done(lambda: mlflow.client(empty).search_registered_models())
        if given.kills:
            came = kill(new_site(home / "killed", template), given.kills, given.seed)
            print("had come to: " + ", ".join(f"{s} {came[s]}" for s in _STAGES if came[s]))
            print(f"kills: {given.kills}, all agreed after the next start", flush=True)
        for turn in range(given.races):
            kills.race(new_site(home / f"race{turn}", template))
            shutil.rmtree(home / f"race{turn}")
        print(f"races: {given.races}, one winner each; {time.monotonic() - start_s:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
