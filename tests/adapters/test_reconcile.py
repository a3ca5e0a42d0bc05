"""What cannot be verified never comes into service, and nothing waits for it; what people do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mlops.adapters import history, incidents, mlflow, moves, registry, store
from mlops.adapters.causes import why
from mlops.adapters.ledger import PROOFS, WAIT_S, Ledger, Row
from mlops.adapters.reconcile import reconcile
from mlops.adapters.sql.engine import database
from mlops.cli.history import history as history_verb
from mlops.cli.status import status
from mlops.core.canonical import from_json, to_json
from mlops.errors import LedgerError, UnverifiedModel, UsageError
from mlops.params.project import ProjectSection
from mlops.steps.approve import ApproveParams, approve
from mlops.steps.rollback import RollbackParams, rollback
from tests.promotions import PROJECT, add_version, decide, decision, entries, kinds, stored

if TYPE_CHECKING:
    from mlops.site import Site

NAME = ProjectSection(name=PROJECT)


def killed_before_the_alias(site: Site, version: str, champion: str | None) -> None:
    """Leave the ledger as a promoter that died between its row and the alias."""
    made, key = decision(site, version, champion)
    row = Row("decided", key, made.at_s, "test", champion, version, to_json(made))
    with database(site) as engine:
        Ledger(engine, PROJECT).append(row)


def rot(site: Site, version: str) -> None:
    (stored(site, version) / "model.onnx").write_bytes(b"rot")


def serving(site: Site) -> tuple[str | None, str | None]:
    """Return what the ledger and what the alias say is in service."""
    with database(site) as engine:
        return Ledger(engine, PROJECT).in_service(), registry.champion(site, PROJECT)


def open_incidents(site: Site) -> list[str]:
    with database(site) as engine, engine.connect() as connection:
        return [i.cause for i in incidents.find_all_open(connection, PROJECT)]


@pytest.fixture
def one(mlflow_site: Site) -> Site:
    """Return a site whose version 1 is in service and whose version 2 is registered."""
    decide(mlflow_site, add_version(mlflow_site), None, approval="auto")
    add_version(mlflow_site)
    return mlflow_site


def test_a_pending_move_to_what_rotted_is_withdrawn_and_every_verb_goes_on(one: Site) -> None:
    registry.fetch(one, PROJECT, "2")  # a sound copy lies here: it must not matter
    killed_before_the_alias(one, "2", "1")
    rot(one, "2")
    assert "withdrew what could not be verified: version 1 is the champion" in reconcile(
        one, PROJECT
    )
    assert serving(one) == ("1", "1")
    assert kinds(one)[-2:] == ["withdrawn", "applied"]
    words = from_json(moves.Note, entries(one)[-2].body).words
    assert "model.onnx: does not match manifest.json" in words
    assert "version 1 is in service" in words
    assert open_incidents(one) == ["version 2 refused"]
    assert "agree" in reconcile(one, PROJECT)
    told = history.last_decision(one, PROJECT)
    assert told is not None
    assert (told.approval, told.in_service) == ("withdrawn", "1")
    page = mlflow.client(one).get_model_version(PROJECT, "2").description
    assert "was not put in service" in page
    assert why(one, PROJECT, "2").periods == ()
    # The next candidate is judged and promoted as ever, and undone.
    decide(one, add_version(one), "1", approval="auto")
    assert serving(one) == ("3", "3")
    assert "to version 1" in rollback(RollbackParams(project=NAME), one).summary


def test_where_the_alias_had_followed_it_returns(one: Site) -> None:
    killed_before_the_alias(one, "2", "1")
    registry.set_alias(one, PROJECT, "champion", "2")
    rot(one, "2")
    reconcile(one, PROJECT)
    assert serving(one) == ("1", "1")
    assert "agree" in reconcile(one, PROJECT)


def test_where_neither_version_can_be_verified_nothing_is_in_service(one: Site) -> None:
    killed_before_the_alias(one, "2", "1")
    registry.set_alias(one, PROJECT, "champion", "2")
    rot(one, "2")
    rot(one, "1")
    assert "no version is the champion" in reconcile(one, PROJECT)
    assert serving(one) == (None, None)
    assert "agree" in reconcile(one, PROJECT)


def test_a_pending_move_to_what_was_deleted_is_withdrawn(one: Site) -> None:
    killed_before_the_alias(one, "2", "1")
    mlflow.client(one).delete_model_version(PROJECT, "2")
    reconcile(one, PROJECT)
    assert (serving(one), kinds(one)[-2]) == (("1", "1"), "withdrawn")


def test_an_approved_move_that_rotted_is_not_approved_again(one: Site) -> None:
    decide(one, "2", "1", approval="required")
    [asked] = [e for e in entries(one) if e.kind == "decided" and e.to_version == "1"][1:]
    answer = Row("approved", asked.hash, 2.0, "Ada", "1", "2", to_json(
        {"decision": "d", "version": "2", "way": "command", "words": "yes"}
    ))  # fmt: skip
    with database(one) as engine:
        Ledger(engine, PROJECT).append(answer)
    rot(one, "2")
    reconcile(one, PROJECT)
    assert serving(one) == ("1", "1")
    with pytest.raises(LedgerError, match=r"approved by Ada, and its stored files"):
        approve(ApproveParams(project=NAME), replace(one, options=frozenset({"version=2"})))
    assert serving(one) == ("1", "1")


def test_a_rollback_to_what_rotted_in_the_store_moves_nothing(one: Site) -> None:
    decide(one, "2", "1", approval="auto")
    registry.fetch(one, PROJECT, "1")
    rot(one, "1")
    before = kinds(one)
    with pytest.raises(UnverifiedModel, match="model is refused"):
        rollback(RollbackParams(project=NAME), one)
    assert (serving(one), kinds(one)) == (("2", "2"), before)


def test_a_withdrawn_move_is_no_version_to_roll_back_to(one: Site) -> None:
    killed_before_the_alias(one, "2", "1")
    rot(one, "2")
    with pytest.raises(UsageError, match="no earlier version"):
        rollback(RollbackParams(project=NAME), one)


def test_only_what_was_in_service_is_rolled_back_to(one: Site) -> None:
    add_version(one)
    decide(one, "2", "1", approval="auto", outcome="reject")
    before = kinds(one)
    for version in ("2", "3"):  # refused by the gate; never judged
        to = replace(one, options=frozenset({f"to={version}"}))
        words = rf"version {version} was never in service.*were: 1\).*mlops approve {version}"
        with pytest.raises(UsageError, match=words):
            rollback(RollbackParams(project=NAME), to)
    assert (serving(one), kinds(one)) == (("1", "1"), before)
    decide(one, "3", "1", approval="auto")
    rollback(RollbackParams(project=NAME), one)
    to = replace(one, options=frozenset({"to=3"}))
    assert rollback(RollbackParams(project=NAME), to).facts["champion"] == "3"


def test_a_holder_of_the_right_proves_no_more_versions_than_others_wait_for(
    one: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest work under the lock: a killed move is withdrawn, another waits, one comes."""
    add_version(one)
    add_version(one)
    decide(one, "4", "1", approval="required")
    killed_before_the_alias(one, "2", "1")
    registry.set_alias(one, PROJECT, "champion", "2")
    rot(one, "2")
    proofs: list[str] = []
    for name in ("copy", "prove"):
        original = getattr(store, name)

        def counted(*given: Any, original: Any = original) -> Any:
            proofs.append(given[1])
            return original(*given)

        monkeypatch.setattr(store, name, counted)
    shutil.rmtree(one.layout.serving)  # no copy lies here
    decide(one, "3", "1", approval="auto")
    assert serving(one) == ("3", "3")
    assert kinds(one)[-4:] == ["withdrawn", "applied", "decided", "applied"]
    assert 5 <= len(proofs) <= PROOFS
    assert PROOFS * store.BOUND_S <= WAIT_S


def test_a_move_in_mlflow_is_bounded_in_time_by_what_was_seen(one: Site) -> None:
    seen = replace(one, now=one.now + timedelta(hours=1))
    assert "agree" in reconcile(seen, PROJECT)
    registry.set_alias(one, PROJECT, "champion", "2")
    reconcile(replace(one, now=one.now + timedelta(hours=3)), PROJECT)
    moved = history.history(one, PROJECT)[0]
    assert (moved.kind, moved.actor) == ("observed", "somebody, in MLflow")
    assert moved.why.endswith(
        "outside mlops, between 2026-01-05 13:00:00 UTC and 2026-01-05 15:00:00 UTC"
    )
    # Another host has seen nothing: the ledger's newest row is all that bounds it there.
    (one.layout.agreed / f"{PROJECT}.json").unlink()
    registry.set_alias(one, PROJECT, "champion", "1")
    reconcile(replace(one, now=one.now + timedelta(hours=4)), PROJECT)
    assert "between 2026-01-05 15:00:00 UTC and 2026-01-05 16:00:00 UTC" in history.history(
        one, PROJECT
    )[0].why  # fmt: skip


def test_the_shadow_is_known_to_history_status_and_page(
    one: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(one.layout.root))
    decide(one, "2", "1", approval="auto", outcome="reject")
    registry.set_alias(one, PROJECT, "shadow", "2")
    before = kinds(one)
    reconcile(one, PROJECT)
    reconcile(one, PROJECT)
    assert kinds(one) == [*before, "shadowed"]
    assert serving(one) == ("1", "1")
    history_verb()
    assert "the alias shadow was moved from no version to version 2" in capsys.readouterr().out
    status(json=True)
    assert json.loads(capsys.readouterr().out)["shadowed"] == "2"
    status()
    assert "shadow: version 2 by its alias; no server here" in capsys.readouterr().out
    api = mlflow.client(one)
    assert "It is the `shadow`" in api.get_model_version(PROJECT, "2").description
    api.delete_registered_model_alias(PROJECT, "shadow")
    reconcile(one, PROJECT)
    assert "It is the `shadow`" not in api.get_model_version(PROJECT, "2").description
    status()
    assert "shadow" not in capsys.readouterr().out
