"""The drill's retrain: the loop's own steps in the scratch copy, up to the gate's verdict."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from mlops.adapters import registry, retrains, scratch
from mlops.adapters.ledger import Ledger
from mlops.adapters.sql.engine import database
from mlops.errors import MlopsError
from mlops.rounds import go_round
from mlops.run import run_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from mlops.cli.simulate.drill import Drill
    from mlops.site import Facts, Report


class Retrain:
    """Runs what the trigger asks for; what it takes is added to the drill's clock.

    Attributes:
        told: what became of each request, in words.
    """

    def __init__(self, drill: Drill, say: Callable[[str], None]) -> None:
        """Wait until a retrain is asked for."""
        self._drill, self._say = drill, say
        self._ready = False
        self.told: list[str] = []

    def run(self, number: int) -> None:
        """Go round the loop once, if a retrain waits; on a promotion the drill's server swaps."""
        self._began_s = time.monotonic()
        if not self._ready:
            scratch.lend_registry(self._drill.scratch)
            self._ready = True
        site, project = self._drill.site, self._drill.scratch.project
        with database(site) as engine, engine.begin() as connection:
            asked = retrains.in_flight(connection, project)
            if asked is None:
                return
            retrains.start(connection, asked.id, now_s=self._now().timestamp())
        self._id = asked.id
        self._options = frozenset(
            {f"reason={asked.reason}", f"incident={asked.incident}", "actor=mlops simulate"}
        )
        self._verdict = ""
        try:
            outcome, _ = go_round(self._step, self._announce, self._finish)
        except MlopsError as error:
            outcome = f"failed: {error}"
            self._say(f"        {outcome}")
        self._drill.pass_time(self._now())
        self.told.append(f"in window {number}: {self._verdict or outcome}")
        self.swap()

    def leave(self, number: int) -> None:
        """Note that a retrain was asked for in a window and is not run."""
        if self.told:
            return
        hours = self._drill.params.trigger.max_hours
        words = (
            f"asked for in window {number} and not run here: --retrain does; what nobody starts "
        )
        self.told.append(f"{words}is taken for dead after {hours:g} hours")

    def swap(self) -> None:
        """Serve the version that the scratch copy's ledger has in service now."""
        site, project = self._drill.site, self._drill.scratch.project
        with database(site) as engine:
            version = Ledger(engine, project).in_service()
        if version in (None, self._drill.server.version):
            return
        folder = registry.fetch(site, project, str(version))
        digest = registry.registration(site, project, str(version)).digest
        self._drill.server.load(str(version), str(folder), digest)

    def _now(self) -> datetime:
        spent = timedelta(seconds=time.monotonic() - self._began_s)
        return self._drill.site.now + spent

    def _step(self, name: str) -> Report:
        site = self._drill.site
        report = run_step(name, site.layout, site.settings, now=self._now(), options=self._options)
        self._say(f"        {name}: {report.summary}")
        if name == "promote":
            self._verdict = report.summary
        return report

    def _announce(self, failure: str) -> None:
        site = self._drill.site
        told = self._options | ({f"failure={failure}"} if failure else set())
        run_step("announce", site.layout, site.settings, now=self._now(), options=told)

    def _finish(self, outcome: str, _: Facts) -> None:
        with database(self._drill.site) as engine, engine.begin() as connection:
            retrains.end(connection, self._id, outcome=outcome, now_s=self._now().timestamp())
