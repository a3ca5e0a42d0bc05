"""What the follower tells Prometheus of false alarms, from a real database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import retrains
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.sql import tables
from mlops.adapters.sql.engine import open_database
from mlops.serving import metrics
from mlops.serving.budget import Budget

if TYPE_CHECKING:
    from mlops.site import Site


def test_false_incidents_and_their_budget_are_in_the_metrics(site: Site) -> None:
    now, engine = [0.0], open_database(site.settings.database(site.layout))
    budget = Budget(site, "digits", clock=lambda: now[0])
    with engine.begin() as connection:
        for number, triage in enumerate(("harmless", "costly", "unclear", "unclear")):
            connection.execute(tables.windows.insert().values(
                id=f"w{number}", project="digits", version="1", number=number, start_s=1.0,
                end_s=2.0, first_seq=number, last_seq=number, rows=1, alarm=number < 2,
                verdict="{}", report="failed" if number == 3 else "made",
            ))  # fmt: skip
            opened = Incident(f"i{number}", "digits", "drift", "a", "1", "open", 1.0, 1.0, None,
                              Findings(triage=triage))  # fmt: skip
            connection.execute(tables.incidents.insert().values(
                {**vars(opened), "body": json.dumps(asdict(opened.body))}
            ))  # fmt: skip
            retrains.request(
                connection, "digits", reason="drift", incident=opened.id, now_s=float(number)
            )
        broken = Incident("q", "digits", "quality", "blank: all", "1", "open", 1.0, 1.0, None,
                          Findings(triage="quality"))  # fmt: skip
        connection.execute(tables.incidents.insert().values(
            {**vars(broken), "body": json.dumps(asdict(broken.body))}
        ))  # fmt: skip
        retrains.request(connection, "digits", reason="by hand", incident=None, now_s=9.0)
    budget.keep(0.0)
    assert metrics.WINDOWS._value.get() == 4
    seen = {
        worth: metrics.INCIDENTS.labels(worth)._value.get()
        for worth in ("costly", "false", "unmeasured")
    }
    assert seen == {"costly": 1, "false": 1, "unmeasured": 2}
    assert metrics.BREAKS._value.get() == 1
    assert metrics.BUDGETED._value.get() == pytest.approx(4 / 1000)
    assert metrics.FALSE_RETRAINS._value.get() == 1
    assert metrics.PAGES_FAILED._value.get() == 1
    metrics.WINDOWS.set(0)
    budget.keep(0.0)
    assert metrics.WINDOWS._value.get() == 0  # not before its minute is over
    now[0] += 60.0
    budget.keep(8 * 86_400.0)
    assert metrics.WINDOWS._value.get() == 4
    assert metrics.PAGES_FAILED._value.get() == 0  # said for a week
