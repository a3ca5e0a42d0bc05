"""Asking for a canary: of sound bytes only, one mover at a time, and it lasts until it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import canary, registry
from mlops.adapters.sql.engine import database
from mlops.errors import UnverifiedModel, UsageError
from tests.promotions import PROJECT, add_version, decide, stored

if TYPE_CHECKING:
    from mlops.site import Site


@pytest.fixture
def three(mlflow_site: Site) -> Site:
    """Return a site whose version 1 is in service and whose versions 2 and 3 are registered."""
    decide(mlflow_site, add_version(mlflow_site), None, approval="auto")
    add_version(mlflow_site)
    add_version(mlflow_site)
    return mlflow_site


def challenger(site: Site) -> str | None:
    return registry.alias(site, PROJECT, "challenger")


def wished(site: Site) -> canary.Wish | None:
    return canary.wish(site, PROJECT)


def test_what_rotted_in_the_store_gets_no_traffic(three: Site) -> None:
    registry.fetch(three, PROJECT, "2")  # a sound copy lies here: it must not matter
    (stored(three, "2") / "model.onnx").write_bytes(b"rot")
    with pytest.raises(UnverifiedModel, match="model is refused"):
        canary.ask(three, PROJECT, 0.05, "2")
    assert challenger(three) is None
    assert canary.ask(three, PROJECT, 0.05, "3") == "3"
    assert wished(three) == canary.Wish("3", 0.05, "5%")
    (stored(three, "3") / "model.onnx").write_bytes(b"rot")
    with pytest.raises(UnverifiedModel):
        canary.ask(three, PROJECT, 0.5)
    assert canary.ask(three, PROJECT, 0.0) == "3"  # it can be ended whatever became of it
    assert wished(three) == canary.Wish("3", 0.0, canary.OFF)


def test_the_challenger_moves_only_under_the_ledgers_lock(
    three: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    original = registry.set_alias

    def watched(*given: str) -> None:
        held.append(_is_held(three))
        original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(registry, "set_alias", watched)
    canary.ask(three, PROJECT, 0.05, "2")
    assert (held, challenger(three)) == ([True], "2")


def _is_held(site: Site) -> bool:
    from filelock import FileLock, Timeout

    with database(site) as engine:
        try:
            with FileLock(f"{engine.url.database}.{PROJECT}.alias.lock", timeout=0):
                return False
        except Timeout:
            return True


def test_a_canary_does_not_push_aside_what_waits_for_a_person(three: Site) -> None:
    decide(three, "2", "1", approval="required")
    with pytest.raises(UsageError, match=r"version 2 .* waits for approval.*mlops reject 2"):
        canary.ask(three, PROJECT, 0.05, "3")
    assert challenger(three) == "2"
    with pytest.raises(UsageError, match="champion"):
        canary.ask(three, PROJECT, 0.05, "1")
    assert canary.ask(three, PROJECT, 0.05) == "2"  # what waits may be tried meanwhile
    assert wished(three) == canary.Wish("2", 0.05, "5%")
