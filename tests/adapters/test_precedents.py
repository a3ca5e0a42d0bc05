"""Which earlier version binds the next decision, after all that people do to the ones before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.precedents import removed
from mlops.adapters.sql.engine import database
from tests.promotions import PROJECT, entries

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
        move(site, kind, None, "2")  # type: ignore[arg-type]
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
