"""What a kill kept from people is told by the next start, once, whatever was decided since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from mlops.adapters import files, incidents, mlflow
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.ledger import Entry, Ledger, Row
from mlops.adapters.moves import Note
from mlops.adapters.reconcile import reconcile
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import outbox
from mlops.core.canonical import to_json
from mlops.errors import UnverifiedModel
from mlops.params.project import ProjectSection
from mlops.steps.announce import AnnounceParams, announce
from tests.promotions import PROJECT, add_version, decide, decision, entries, kinds, stored

if TYPE_CHECKING:
    from mlops.core.decision import Approval, Outcome
    from mlops.site import Site


@pytest.fixture
def three(mlflow_site: Site) -> Site:
    """Return a site whose version 1 is in service and whose versions 2 and 3 are registered."""
    decide(mlflow_site, add_version(mlflow_site), None, approval="auto")
    add_version(mlflow_site)
    add_version(mlflow_site)
    return mlflow_site


def killed(
    site: Site, version: str, *, outcome: Outcome = "reject", approval: Approval = "auto",
    incident: str = "", turn: int = 0,
) -> tuple[str, Entry]:  # fmt: skip
    """Leave the ledger as a promoter that died right after its row; return the decision's id."""
    made, key = decision(site, version, "1", outcome=outcome, incident=incident, turn=turn)
    made = replace(made, approval=approval)
    row = Row("decided", key, made.at_s, "test", "1", made.in_service, to_json(made))
    with database(site) as engine:
        return made.id, Ledger(engine, PROJECT).append(row)


def mails(site: Site) -> list[str]:
    with database(site) as engine, engine.connect() as connection:
        return [row.key for row in connection.execute(sa.select(outbox.c.key))]


def page(site: Site, version: str) -> tuple[str, dict[str, str]]:
    """Return the first line of a version's page, and its tags."""
    held = mlflow.client(site).get_model_version(PROJECT, version)
    return (held.description or "").partition("\n")[0], dict(held.tags)


def test_every_decision_is_told_once_though_newer_ones_came(three: Site) -> None:
    asked, _ = killed(three, "2", outcome="promote", approval="pending")
    refused, _ = killed(three, "3")
    assert page(three, "2")[0] == page(three, "3")[0] == ""
    for _ in range(2):
        assert "agree" in reconcile(three, PROJECT)
        assert mails(three) == [f"approval-{asked}:needs you"]
    for version, made, stamp in (("2", asked, "REVIEW"), ("3", refused, "FAIL")):
        headline, tags = page(three, version)
        assert headline.endswith(stamp)
        assert tags["mlops.decision"] == made


def test_whoever_decides_next_tells_first_and_only_the_newest_of_a_version(three: Site) -> None:
    killed(three, "2", outcome="inconclusive")
    newer, _ = killed(three, "2", turn=1)
    decide(three, "3", "1", approval="auto")
    headline, tags = page(three, "2")
    assert (headline.endswith("FAIL"), tags["mlops.decision"]) == (True, newer)
    assert page(three, "3")[0].endswith("PASS")


def test_what_is_told_is_left_alone_until_another_row_or_database_comes(three: Site) -> None:
    killed(three, "2")
    reconcile(three, PROJECT)
    api = mlflow.client(three)
    api.update_model_version(PROJECT, "2", "a person's own words")
    reconcile(three, PROJECT)
    api.delete_model_version_tag(PROJECT, "2", "mlops.decision")  # would be missed, were it read
    reconcile(three, PROJECT)
    assert page(three, "2")[0] == "a person's own words"
    mark = three.layout.agreed / "told" / f"{PROJECT}.json"
    files.write_json(mark, {"number": len(entries(three)), "hash": "of another database"})
    reconcile(three, PROJECT)
    assert page(three, "2")[0].endswith("FAIL")


def test_a_wrong_address_stops_nothing_and_is_tried_again(three: Site) -> None:
    asked, _ = killed(three, "2", outcome="promote", approval="pending")
    killed(three, "3")
    odd = replace(three, settings=three.settings.model_copy(update={"mail_to": "nobody"}))
    assert "agree" in reconcile(odd, PROJECT)
    assert (mails(three), page(three, "3")[0][-4:]) == ([], "FAIL")
    reconcile(three, PROJECT)
    assert mails(three) == [f"approval-{asked}:needs you"]


def test_a_version_that_was_deleted_has_nothing_to_be_told(three: Site) -> None:
    killed(three, "2", outcome="promote", approval="pending")
    mlflow.client(three).delete_model_version(PROJECT, "2")
    assert "agree" in reconcile(three, PROJECT)
    assert mails(three) == []
    assert (three.layout.agreed / "told" / f"{PROJECT}.json").is_file()


def test_an_incident_hears_of_a_decision_though_its_flow_was_killed(three: Site) -> None:
    held = Incident(
        id="drift-digits-1-4", project=PROJECT, kind="drift", cause="brightness", version="1",
        state="open", opened_s=1.0, updated_s=1.0, resolved_s=None,
        body=Findings(due=("detected",), notified=("detected",)),
    )  # fmt: skip
    with database(three) as engine, engine.begin() as connection:
        incidents.open_once(connection, held)
    killed(three, "2", incident=held.id)
    killed(three, "3")
    for _ in range(2):
        reconcile(three, PROJECT)
        assert mails(three) == [f"{held.id}:refused"]
    announce(AnnounceParams(project=ProjectSection(name=PROJECT)), three)
    assert mails(three) == [f"{held.id}:refused"]


def test_a_version_withdrawn_by_a_process_that_died_says_so(three: Site) -> None:
    _, row = killed(three, "2", outcome="promote")
    words = to_json(Note("its files are damaged"))
    with database(three) as engine:
        ledger = Ledger(engine, PROJECT)
        for kind, before, after in (("withdrawn", "2", "1"), ("applied", "2", "1")):
            key = row.hash if kind == "withdrawn" else ledger.entries()[-1].hash
            ledger.append(Row(kind, key, 2.0, "test", before, after, words))  # type: ignore[arg-type]
    assert "agree" in reconcile(three, PROJECT)
    assert page(three, "2")[0].endswith("UNSOUND")


def test_a_version_that_rotted_while_it_was_judged_says_so_in_its_first_line(three: Site) -> None:
    (stored(three, "2") / "model.onnx").write_bytes(b"rot")
    with pytest.raises(UnverifiedModel, match=r"model\.onnx: does not match"):
        decide(three, "2", "1", approval="auto")
    assert kinds(three)[-3:] == ["decided", "withdrawn", "applied"]
    headline, tags = page(three, "2")
    assert headline.endswith("UNSOUND")
    assert tags["mlops.decision"]
    text = mlflow.client(three).get_model_version(PROJECT, "2").description
    assert "its stored files are not what the ledger vouches for" in text
