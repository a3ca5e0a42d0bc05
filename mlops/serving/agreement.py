"""Keep the registry's aliases and the ledger in agreement while the server runs.

A person who moves an alias or sets a tag in MLflow should not have to wait for the next flow.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from mlops.errors import Busy, MlopsError

if TYPE_CHECKING:
    from mlops.site import Site

EVERY_S = 30.0
_WAIT_S = 1  # whoever holds the lock is moving the alias just now; the next poll sees it


class Agreement:
    """Reconciles at the start, when the alias has changed, and every half minute."""

    def __init__(self, site: Site, project: str) -> None:
        self._site, self._project = site, project
        self._seen: str | None = None
        self._next_s = 0.0
        self._said = ""

    def keep(self, champion: str | None) -> None:
        """Reconcile if it is time to; what is in the way is logged once, and tried again.

        Serving must not depend on it: the server goes on with what the alias says.
        """
        now_s = time.monotonic()
        if champion == self._seen and now_s < self._next_s:
            return
        from mlops.adapters.reconcile import reconcile

        log = structlog.get_logger()
        site = replace(self._site, now=datetime.now(UTC))
        try:
            said, trouble = reconcile(site, self._project, wait_s=_WAIT_S), False
        except Busy:
            return
        except (MlopsError, sa.exc.SQLAlchemyError) as error:
            said, trouble = str(error).splitlines()[0], True
        self._seen, self._next_s = champion, now_s + EVERY_S
        if said != self._said:
            (log.warning if trouble else log.info)("aliases and ledger", found=said)
        self._said = said
