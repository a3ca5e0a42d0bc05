"""Decisions are read from the ledger once in a process, however often a verb asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters import approval, verdicts
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.precedents import anchor_of, looks_of
from mlops.adapters.sql.engine import database
from mlops.core.canonical import to_json
from tests.promotions import PROJECT, decision, entries

if TYPE_CHECKING:
    from mlops.site import Site


def test_each_decision_is_read_once_whoever_asks(site: Site) -> None:
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        for turn in range(30):
            made, key = decision(site, str(turn // 2 + 2), "1", turn=turn)
            made = replace(made, approval="pending")
            row = Row("decided", key, 1.0, "me", "1", "1", to_json(made))
            ledger.append(row)
        verdicts.read.cache_clear()
        for _ in range(3):
            fresh = Ledger(engine, PROJECT)  # reads every row anew
            assert [a.version for a in approval.asked(fresh.entries())][:2] == ["16", "15"]
            assert len(approval.unanswered(fresh.entries())) == 15
            held = verdicts.newest(fresh.entries(), "2")
            assert held is not None
            assert held.id == decision(site, "2", "1", turn=1)[1][:12]  # the newer of the two
            assert looks_of(fresh.entries()) == ()
            assert anchor_of(fresh.entries(), "99") is None
    assert verdicts.read.cache_info().misses == 30
    assert len(list(verdicts.standings(entries(site)))) == 30
