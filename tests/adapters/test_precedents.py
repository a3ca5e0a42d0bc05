"""Which earlier version binds the next decision, after all that people do to the ones before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.precedents import anchor_of, heir_of, looks_of, removed
from mlops.adapters.reconcile import reconcile
from mlops.adapters.registry import set_alias
from mlops.adapters.sql.engine import database
from mlops.adapters.verdicts import newest
from mlops.core.canonical import to_json
from mlops.core.exam import Look
from tests.promotions import PROJECT, add_version, decide, decision, entries

if TYPE_CHECKING:
    from mlops.adapters.ledger import Entry, Kind
    from mlops.site import Site


def move(site: Site, kind: Kind, before: str | None, after: str | None, key: str = "") -> Entry:
    """Append a row that says which version is in service."""
    with database(site) as engine:
        ledger = Ledger(engine, PROJECT)
        key = key or f"{kind} {len(ledger.entries())}"
        return ledger.append(Row(kind, key, 1.0, "me", before, after, "{}"))


def test_a_removed_champion_is_known_until_another_serves(site: Site) -> None:
    first = move(site, "observed", None, "1")
    assert removed(entries(site)) is None
    move(site, "observed", "1", None)
    for kind in ("registered", "shadowed"):
        move(site, kind, None, "2")
        assert removed(entries(site)) == "1"
    rotten = move(site, "rollback", None, "2")
    assert removed(entries(site)) is None
    move(site, "withdrawn", "2", None, rotten.hash)
    assert removed(entries(site)) == "1"
    move(site, "rollback", None, first.to_version)
    assert removed(entries(site)) is None


def test_a_first_model_that_never_came_into_service_was_not_removed(site: Site) -> None:
    rotten = move(site, "observed", None, "1")
    move(site, "withdrawn", "1", None, rotten.hash)
    assert removed(entries(site)) is None


def better(site: Site, version: str, champion: str | None, lower: float = 0.001) -> None:
    """Append a promotion that took effect, shown better by at least `lower`."""
    made, key = decision(site, version, champion)
    evidence = replace(made.verdict.evidence, lower=lower)
    made = replace(made, approval="auto", verdict=replace(made.verdict, evidence=evidence))
    with database(site) as engine:
        row = Row("decided", key, 1.0, "me", champion, version, to_json(made))
        entry = Ledger(engine, PROJECT).append(row)
    move(site, "applied", champion, version, entry.hash)


def test_a_rollback_and_its_undo_leave_the_anchor_where_it_was(site: Site) -> None:
    better(site, "1", None)
    better(site, "2", "1")
    better(site, "3", "2", lower=-0.01)  # within the margin: no anchor
    assert anchor_of(entries(site), "4") == "2"
    move(site, "rollback", "3", "2")
    move(site, "rollback", "2", "3")
    assert anchor_of(entries(site), "4") == "2"
    move(site, "rollback", "3", "2")  # and a third one is a rollback again
    assert anchor_of(entries(site), "4") == "2"
    move(site, "rollback", "2", "1")
    assert anchor_of(entries(site), "4") == "1"
    move(site, "observed", "1", "2")  # it serves again
    assert anchor_of(entries(site), "4") == "2"


def test_without_a_proven_version_the_first_that_served_is_the_anchor(site: Site) -> None:
    move(site, "observed", None, "1")
    better(site, "2", "1", lower=-0.01)
    better(site, "3", "2", lower=-0.01)
    assert anchor_of(entries(site), "4") == "1"
    move(site, "rollback", "3", "1")
    assert anchor_of(entries(site), "4") == "1"
    assert anchor_of(entries(site), "1") == "2"


def test_numbers_that_began_anew_are_of_other_versions(site: Site) -> None:
    """As they do in MLflow when somebody deletes the registered model."""
    for version, before in (("1", None), ("2", "1")):
        move(site, "registered", None, version)
        better(site, version, before)
    assert anchor_of(entries(site), "3") == "2"
    move(site, "observed", "2", None)
    move(site, "registered", None, "1", "other bytes")
    assert newest(entries(site), "1") is None
    assert anchor_of(entries(site), "2") is None
    assert removed(entries(site)) == "2"  # still: whoever judges it as a first model says so


def test_a_promotion_that_a_persons_move_overtook_spends_no_row_and_is_no_anchor(
    mlflow_site: Site,
) -> None:
    site = mlflow_site
    decide(site, add_version(site), None, approval="auto")
    for _ in range(2):
        add_version(site)
    made, key = decision(site, "2", "1")
    seen = replace(made.verdict.evidence, recent_since_s=1.0, recent_until_s=9.0)
    made = replace(made, verdict=replace(made.verdict, evidence=seen))
    with database(site) as engine:  # killed before the alias moved
        Ledger(engine, PROJECT).append(Row("decided", key, 1.0, "me", "1", "2", to_json(made)))
    set_alias(site, PROJECT, "champion", "3")
    reconcile(site, PROJECT)
    assert [e.kind for e in entries(site)][-2:] == ["decided", "observed"]
    assert looks_of(entries(site)) == (Look(1.0, 9.0, promoted=False),)
    assert anchor_of(entries(site), "4") == "1"


def test_a_promotion_that_was_killed_and_repaired_took_effect(mlflow_site: Site) -> None:
    site = mlflow_site
    decide(site, add_version(site), None, approval="auto")
    add_version(site)
    made, key = decision(site, "2", "1")
    with database(site) as engine:
        Ledger(engine, PROJECT).append(Row("decided", key, 1.0, "me", "1", "2", to_json(made)))
    assert anchor_of(entries(site), "4") == "1"
    reconcile(site, PROJECT)
    assert anchor_of(entries(site), "4") == "2"


def test_the_heir_of_an_anchor_is_the_oldest_promoted_after_it_that_is_there(site: Site) -> None:
    better(site, "1", None)
    for version, before in (("2", "1"), ("3", "2"), ("4", "3"), ("5", "4")):
        better(site, version, before, lower=-0.01)
    move(site, "rollback", "5", "4")
    move(site, "observed", "4", "6")  # a person's own, which no verdict let in
    known = entries(site)
    assert anchor_of(known, "7") == "1"
    assert heir_of(known, "1", "7", lambda _: True) == "2"
    assert heir_of(known, "1", "7", lambda v: v != "2") == "3"
    assert heir_of(known, "1", "3", lambda v: v != "2") == "4"  # no anchor of its own
    assert heir_of(known, "1", "7", lambda v: v in "56") is None
