"""The retrain that was asked for, run here: `mlops monitor --act` needs no Prefect."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlalchemy as sa

    from mlops.adapters.retrains import Retrain
    from mlops.layout import Layout
    from mlops.settings import Settings
    from mlops.site import Facts, Report


@dataclass(frozen=True)
class _Root:
    """One project, opened."""

    layout: Layout
    settings: Settings
    name: str

    @property
    def note(self) -> Path:
        """Which retrain this machine runs itself, so that a killed one is found."""
        return self.layout.work / "act.json"

    def transaction(self) -> AbstractContextManager[sa.Connection]:
        """Open one transaction on the project's database."""
        from contextlib import contextmanager

        from mlops.adapters.sql.engine import open_database

        @contextmanager
        def opened() -> Iterator[sa.Connection]:
            engine = open_database(self.settings.database(self.layout))
            try:
                with engine.begin() as connection:
                    yield connection
            finally:
                engine.dispose()

        return opened()


def act(layout: Layout, settings: Settings) -> str:
    """Run the retrain that waits to be started, if there is one; return what came of it.

    One at a time on this machine. Whoever starts it first has it: with Prefect's automation beside
    it, it still runs once. What a killed run left is ended as failed, and frees the next.

    Raises:
        MlopsError: whatever a step raises; the retrain is ended and announced all the same.
    """
    from filelock import FileLock, Timeout

    from mlops.params.name import project_name

    root = _Root(layout, settings, project_name(layout.params))
    layout.locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(layout.locks / "act.lock")
    try:
        with lock.acquire(timeout=0):
            _release(root)
            found = _start(root)
            return "no retrain was asked for" if found is None else _retrain(root, found)
    except Timeout:
        return "a retrain is going on here already"


def _release(root: _Root) -> None:
    """End what a killed run left running: the lock is ours, so its process is gone."""
    from mlops.adapters import files, retrains

    if not root.note.is_file():
        return
    left = str(files.read_json(root.note).get("retrain"))
    with root.transaction() as connection:
        retrains.end(connection, left, outcome="failed", now_s=_now_s())
    files.remove(root.note)


def _start(root: _Root) -> Retrain | None:
    from mlops.adapters import files, retrains, windows

    with root.transaction() as connection:
        windows.serialise(connection)
        asked = retrains.in_flight(connection, root.name)
        if asked is None or asked.state != "requested":
            return None
        # Before it is marked as running: a kill in between ends it, instead of leaving it for ever.
        files.write_text(root.note, json.dumps({"retrain": asked.id}))
        return asked if retrains.start(connection, asked.id, now_s=_now_s()) else None


def _retrain(root: _Root, asked: Retrain) -> str:
    from mlops.adapters import files, retrains
    from mlops.rounds import go_round
    from mlops.run import run_cached, run_step

    options = frozenset(
        {f"reason={asked.reason}", "actor=mlops monitor --act"}
        | ({f"incident={asked.incident}"} if asked.incident else set())
    )

    def run(step: str) -> Report | None:
        if step == "reconcile":
            return run_step(step, root.layout, root.settings)
        report = run_cached(step, root.layout, root.settings, options=options)
        if report is not None:
            print(f"{step}: {report.summary}")
        return report

    def announce(failure: str) -> None:
        told = options | ({f"failure={failure}"} if failure else set())
        run_step("announce", root.layout, root.settings, options=told)

    def finish(outcome: str, _: Facts) -> None:
        with root.transaction() as connection:
            retrains.end(connection, asked.id, outcome=outcome, now_s=_now_s())
        files.remove(root.note)

    outcome, _ = go_round(run, announce, finish)
    return f"{asked.id}: {outcome}"


def _now_s() -> float:
    return datetime.now(UTC).timestamp()


def act_here() -> None:
    """Run the retrain that waits, and deliver the mails that are due, before it and after it.

    Then make the pages that they link: nobody waits for those.
    """
    import sys

    from mlops.adapters.reports import PATIENCE_S
    from mlops.adapters.sql.engine import database
    from mlops.cli.here import open_site
    from mlops.cli.post import send_due
    from mlops.cli.report import make_all
    from mlops.errors import MlopsError
    from mlops.params.name import project_name

    site = open_site()
    send_due(site.layout, site.settings)
    print(f"act: {act(site.layout, site.settings)}", file=sys.stderr)
    send_due(site.layout, site.settings)
    try:
        with database(site) as engine:
            make_all(site, engine, project_name(site.layout.params), patience_s=PATIENCE_S)
    except MlopsError as error:  # what was to be done is done; `mlops status` says it again
        print(f"pages: {error}", file=sys.stderr)
