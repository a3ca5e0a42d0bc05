"""False incidents as they came, beside those budgeted, and failed pages, in the metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mlops.params.base import View
from mlops.params.monitoring import MonitoringSection
from mlops.serving import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.site import Site

_EVERY_S = 60.0


class _Params(View):
    monitoring: MonitoringSection


class Budget:
    """A duty of the follower, done every minute: the workers know nothing of windows.

    Args:
        site: whose database and `params.yaml`.
        project: registered-model name.
        clock: seconds that only grow.
    """

    def __init__(
        self, site: Site, project: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site, self._project, self._clock = site, project, clock
        self._next_s = clock()

    def keep(self, now_s: float) -> None:
        """Look, if it is time to.

        Args:
            now_s: seconds since 1970.

        Raises:
            Unavailable: if the database does not answer; it is tried again in a minute.
            ParamsError: if `params.yaml` is wrong.
        """
        if self._clock() < self._next_s:
            return
        self._next_s = self._clock() + _EVERY_S
        from mlops.adapters import report_states
        from mlops.adapters.realised import realised
        from mlops.adapters.sql.engine import database
        from mlops.params.load import load

        monitoring = load(self._site.layout.params, _Params).monitoring
        with database(self._site) as engine, engine.connect() as connection:
            seen = realised(connection, self._project, monitoring)
            pages = report_states.failed(connection, self._project, now_s)
        metrics.PAGES_FAILED.set(len(pages))
        metrics.WINDOWS.set(seen.windows)
        costly = seen.incidents - seen.false_incidents - seen.unmeasured
        metrics.INCIDENTS.labels("costly").set(costly)
        metrics.INCIDENTS.labels("false").set(seen.false_incidents)
        metrics.INCIDENTS.labels("unmeasured").set(seen.unmeasured)
        metrics.BREAKS.set(seen.breaks)
        metrics.BUDGETED.set(seen.budget)
        metrics.FALSE_RETRAINS.set(seen.false_retrains)
