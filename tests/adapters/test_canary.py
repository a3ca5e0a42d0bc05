"""Asking for a canary: of sound bytes only, one mover at a time, and it lasts until it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import approval, canary, registry, versions
from mlops.adapters.reconcile import reconcile
from mlops.adapters.sql.engine import database
from mlops.errors import LedgerError, UnverifiedModel, UsageError
from mlops.params.project import ProjectSection
from mlops.steps.approve import ApproveParams, approve
from mlops.steps.reject import RejectParams, reject
from mlops.steps.rollback import RollbackParams, rollback
from tests.promotions import PROJECT, add_version, decide, stored

if TYPE_CHECKING:
    from mlops.site import Site


NAME = ProjectSection(name=PROJECT)


@pytest.fixture
def three(mlflow_site: Site) -> Site:
    """Return a site whose version 1 is in service and whose 2 and 3 have too few labels yet."""
    decide(mlflow_site, add_version(mlflow_site), None, approval="auto")
    for _ in range(2):
        version = add_version(mlflow_site)
        decide(mlflow_site, version, "1", approval="auto", outcome="inconclusive")
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


def test_nobody_gets_answers_of_what_the_gate_did_not_let_near(three: Site) -> None:
    decide(three, "2", "1", approval="auto", outcome="reject")
    with pytest.raises(LedgerError, match=r"version 2 .*gate rejected it.*promote --again.*shadow"):
        canary.ask(three, PROJECT, 1.0, "2")
    unjudged = add_version(three)
    with pytest.raises(LedgerError, match=r"has not judged it yet; have it judged: mlops promote"):
        canary.ask(three, PROJECT, 1.0, unjudged)
    with pytest.raises(LedgerError, match="it is not in the ledger"):
        canary.ask(three, PROJECT, 1.0, add_version(three, vouched=False))
    (stored(three, "3") / "model.onnx").write_bytes(b"rot")
    with pytest.raises(UnverifiedModel):
        decide(three, "3", "1", approval="auto")
    with pytest.raises(LedgerError, match=r"not what the ledger vouches for; restore them"):
        canary.ask(three, PROJECT, 0.05, "3")
    assert challenger(three) is None
    # One that a person has set the alias to by hand is tried by `mlops canary` no more than others.
    registry.set_alias(three, PROJECT, "challenger", "2")
    with pytest.raises(LedgerError, match="gate rejected it"):
        canary.ask(three, PROJECT, 0.05)
    assert canary.ask(three, PROJECT, 0.0) == "2"  # and can be ended
    # What passed and was undone passed all the same.
    decide(three, unjudged, "1", approval="auto")
    rollback(RollbackParams(project=NAME), three)
    assert canary.ask(three, PROJECT, 0.05, unjudged) == unjudged


def test_a_running_canary_keeps_the_alias_until_it_is_ended(three: Site) -> None:
    decide(three, "2", "1", approval="required")
    reject(RejectParams(project=NAME), three)
    canary.ask(three, PROJECT, 0.05, "2")  # asked about once, and tried now all the same
    reconcile(three, PROJECT)
    assert wished(three) == canary.Wish("2", 0.05, "5%")
    decide(three, "3", "1", approval="required")  # another comes to wait meanwhile
    reconcile(three, PROJECT)
    assert wished(three) == canary.Wish("2", 0.05, "5%")
    canary.ask(three, PROJECT, 0.0)
    reconcile(three, PROJECT)
    assert challenger(three) == "3"


@pytest.mark.parametrize("way", ["command", "tag"])
def test_a_no_ends_the_canary_of_what_waited(three: Site, way: str) -> None:
    decide(three, "2", "1", approval="required")
    canary.ask(three, PROJECT, 0.05)
    reconcile(three, PROJECT)
    assert wished(three) == canary.Wish("2", 0.05, "5%")
    if way == "command":
        reject(RejectParams(project=NAME), three)
    else:
        versions.set_tag(three, PROJECT, "2", approval.TAG, "no")
        reconcile(three, PROJECT)
    assert challenger(three) is None
    assert not canary.is_tried(three, PROJECT, "2")


def test_a_yes_ends_the_canary_and_frees_the_alias(three: Site) -> None:
    decide(three, "2", "1", approval="required")
    canary.ask(three, PROJECT, 0.05)
    approve(ApproveParams(project=NAME), three)
    assert (registry.champion(three, PROJECT), challenger(three)) == ("2", None)


def test_what_comes_into_service_is_no_canary_any_more(three: Site) -> None:
    decide(three, "2", "1", approval="required")
    canary.ask(three, PROJECT, 0.05)
    approve(ApproveParams(project=NAME), three)
    assert registry.champion(three, PROJECT) == "2"
    assert not canary.is_tried(three, PROJECT, "2")
    assert challenger(three) is None
