"""A version that passed waits for a person; every way of answering leads to the same row."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import sqlalchemy as sa
import yaml

from mlops.adapters import (
    answered,
    approval,
    canary,
    history,
    incidents,
    mlflow,
    moves,
    reconcile,
    registry,
)
from mlops.adapters import versions as pages
from mlops.adapters.chain import chained
from mlops.adapters.incidents import Findings, Incident
from mlops.adapters.ledger import Ledger, Row
from mlops.adapters.mail.compose import compose
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import ledger as table
from mlops.adapters.sql.tables import outbox
from mlops.errors import (
    EXIT_ERROR,
    LedgerError,
    RegistryError,
    StepError,
    UnverifiedModel,
    UsageError,
)
from mlops.params.load import load
from mlops.params.project import ProjectSection
from mlops.steps.approve import ApproveParams, approve
from mlops.steps.promote import PromoteParams, promote
from mlops.steps.register import RegisterParams, register
from mlops.steps.reject import RejectParams, reject
from mlops.steps.rollback import RollbackParams, rollback
from tests import entrants, judged
from tests.entrants import with_options
from tests.kept import copy_state
from tests.promotions import PROJECT, add_version, decide, entries, kinds, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops.core.decision import Decision, Outcome
    from mlops.site import Report, Site

NAME = ProjectSection(name=PROJECT)


def say_yes(site: Site, *options: str) -> Report:
    return approve(ApproveParams(project=NAME), with_options(site, *options))


def say_no(site: Site, *options: str) -> Report:
    return reject(RejectParams(project=NAME), with_options(site, *options))


def aliases(site: Site) -> dict[str, str | None]:
    names = ("champion", "previous", "challenger", "shadow")
    return {name: registry.alias(site, PROJECT, name) for name in names}


def mails(site: Site) -> list[str]:
    with database(site) as engine, engine.connect() as connection:
        return [row.key for row in connection.execute(sa.select(outbox.c.key))]


@pytest.fixture(scope="module")
def kept(keep: Callable[[], Site]) -> tuple[Site, Decision]:
    """Keep a site where version 1 serves and version 2 waits, and the decision about it."""
    site = keep()
    for _ in range(3):
        add_version(site)
    decide(site, "1", None, approval="auto")
    return site, decide(site, "2", "1", approval="required")


@pytest.fixture
def asked(kept: tuple[Site, Decision], site: Site) -> tuple[Site, Decision]:
    """Return a copy of that site, and the decision."""
    return copy_state(kept[0], site), kept[1]


def test_from_the_gate_to_the_alias(mlflow_site: Site) -> None:
    site = mlflow_site
    entrants.set_params(site)
    tree = yaml.safe_load(site.layout.params.read_text())
    tree["promote"]["approval"] = "required"
    site.layout.params.write_text(yaml.safe_dump(tree))
    given = entrants.world(site)
    entrants.prepare(site, given)
    entrants.train(site, given, entrants.block_weights())
    register(load(site.layout.params, RegisterParams), site)
    params = load(site.layout.params, PromoteParams)
    report = promote(params, with_options(site, "resume=http://127.0.0.1:4200/runs/flow-run/7"))
    assert report.facts["approval"] == "pending"
    assert "version 1 passed and waits for approval" in report.summary
    assert aliases(site)["champion"] is None
    assert aliases(site)["challenger"] == "1"
    page = mlflow.client(site).get_model_version(PROJECT, "1")
    assert "mlops approve 1" in page.description
    assert page.description.splitlines()[0].endswith("REVIEW")
    assert page.tags[approval.TAG] == "waiting"
    assert len(page.tags) <= 10
    assert mails(site) == [f"approval-{report.facts['decision']}:needs you"]
    assert "already decided: version 1 passed" in promote(params, site).summary
    assert say_yes(site, "actor=Ada").facts["champion"] == "1"
    assert (
        "already decided: promoted version 1, as a person approved" in promote(params, site).summary
    )
    assert aliases(site) == dict.fromkeys(("previous", "challenger", "shadow")) | {"champion": "1"}
    page = mlflow.client(site).get_model_version(PROJECT, "1")
    assert "as a person approved" in page.description
    assert page.tags[approval.TAG] == "yes Ada"
    assert kinds(site) == ["registered", "decided", "approved", "applied"]


def by_tag(site: Site) -> None:
    mlflow.client(site).set_model_version_tag(PROJECT, "2", approval.TAG, "Yes, Ada Lovelace")
    assert "approved by its tag" in reconcile.reconcile(site, PROJECT)


def by_alias(site: Site) -> None:
    registry.set_alias(site, PROJECT, "champion", "2")
    assert "approved by moving the alias" in reconcile.reconcile(site, PROJECT)


WAYS: list[tuple[str, Callable[[Site], object], str]] = [
    ("command", lambda site: say_yes(site, "actor=Ada"), "Ada"),
    ("flow", lambda site: say_yes(site, "version=2", "way=flow", "actor=Ada"), "Ada"),
    ("tag", by_tag, "Ada Lovelace, in MLflow"),
    ("alias", by_alias, "somebody, in MLflow"),
]


@pytest.mark.parametrize(("way", "act", "who"), WAYS)
def test_every_way_leads_to_the_same_row(
    asked: tuple[Site, Decision], way: str, act: Callable[[Site], object], who: str
) -> None:
    site, made = asked
    assert aliases(site) == {
        "champion": "1", "previous": None, "challenger": "2", "shadow": None,
    }  # fmt: skip
    act(site)
    [row] = [e for e in entries(site) if e.kind == "approved"]
    decided = [e for e in entries(site) if e.kind == "decided"][-1]
    assert (row.key, row.from_version, row.to_version) == (decided.hash, "1", "2")
    assert (row.actor, row.at_s) == (who, site.now.timestamp())
    assert f'"way":"{way}"' in row.body
    assert aliases(site) == {
        "champion": "2", "previous": "1", "challenger": None, "shadow": None,
    }  # fmt: skip
    assert mails(site) == [f"approval-{made.id}:needs you", f"approval-{made.id}:promoted"]
    seen = pages.look(site, PROJECT, "2")
    assert seen is not None
    assert seen.tags[approval.TAG].lower().startswith("yes")
    newest = history.history(site, PROJECT)[0]
    assert (newest.kind, newest.version, newest.before, newest.after) == ("approved", "2", "1", "2")
    found = history.find_decision(site, PROJECT, made.id)
    assert found is not None
    assert found.approval == "approved"
    # Said again, in whatever way, it changes nothing.
    assert "already approved" in say_yes(site, "version=2").summary
    assert "already approved" in say_yes(site).summary
    assert "agree: version 2" in reconcile.reconcile(site, PROJECT)
    assert kinds(site)[-2:] == ["approved", "applied"]
    with pytest.raises(LedgerError, match="mlops rollback"):
        say_no(site, "version=2")
    rollback(RollbackParams(project=NAME), site)
    assert aliases(site)["champion"] == "1"
    assert "agree: version 1" in reconcile.reconcile(site, PROJECT)


@pytest.mark.parametrize("way", ["command", "tag"])
def test_a_no_moves_nothing_and_ends_the_wait(asked: tuple[Site, Decision], way: str) -> None:
    site, made = asked
    if way == "command":
        assert "by Ada" in say_no(site, "actor=Ada").summary
        assert "already declined" in say_no(site, "version=2").summary
    else:
        mlflow.client(site).set_model_version_tag(PROJECT, "2", approval.TAG, "no")
        assert "declined by its tag" in reconcile.reconcile(site, PROJECT)
    assert aliases(site)["champion"] == "1"
    assert aliases(site)["challenger"] is None
    assert kinds(site)[-1] == "declined"
    assert mails(site) == [f"approval-{made.id}:needs you", f"approval-{made.id}:refused"]
    with pytest.raises(LedgerError, match="promote --again"):
        say_yes(site, "version=2")
    # Judged anew it asks anew, and the old answer does not count.
    decide(site, "2", "1", approval="required", turn=1)
    assert aliases(site)["challenger"] == "2"
    assert "agree" in reconcile.reconcile(site, PROJECT)
    assert say_yes(site).facts["champion"] == "2"


def test_a_yes_counts_only_while_the_champion_compared_serves(
    asked: tuple[Site, Decision],
) -> None:
    site, _ = asked
    decide(site, "3", "1", approval="auto")
    assert aliases(site) == {
        "champion": "3", "previous": "1", "challenger": None, "shadow": None,
    }  # fmt: skip
    with pytest.raises(LedgerError, match=r"version 3 is in service now.*promote --again"):
        say_yes(site, "version=2")
    mlflow.client(site).set_model_version_tag(PROJECT, "2", approval.TAG, "yes")
    assert "cannot be followed" in reconcile.reconcile(site, PROJECT)
    registry.set_alias(site, PROJECT, "champion", "2")  # a person may, and it is no approval
    assert "outside mlops" in reconcile.reconcile(site, PROJECT)
    assert kinds(site)[-1] == "observed"
    assert "approved" not in kinds(site)


def test_what_cannot_be_approved_is_said(asked: tuple[Site, Decision]) -> None:
    site, _ = asked
    for version, words in (
        ("1", "it is in service"), ("3", "has not judged it yet; have it judged: mlops promote"),
        ("9", "it is not in the ledger; look with: mlops history"),
    ):  # fmt: skip
        for answer in (say_yes, say_no):
            with pytest.raises(LedgerError, match=f"version {version} asked for no.*: .*{words}"):
                answer(site, f"version={version}")
    entry = stored(site, "2") / "model.onnx"
    entry.write_bytes(b"other")
    with pytest.raises(UnverifiedModel):
        say_yes(site)
    mlflow.client(site).set_model_version_tag(PROJECT, "2", approval.TAG, "yes")
    assert "cannot be followed" in reconcile.reconcile(site, PROJECT)
    registry.set_alias(site, PROJECT, "champion", "2")
    assert "outside mlops" in reconcile.reconcile(site, PROJECT)
    registry.set_alias(site, PROJECT, "champion", "1")
    reconcile.reconcile(site, PROJECT)
    mlflow.client(site).delete_model_version(PROJECT, "2")
    assert "agree" in reconcile.reconcile(site, PROJECT)
    with pytest.raises(RegistryError, match="no version 2"):
        say_yes(site)
    assert kinds(site).count("approved") == 0


def test_nothing_waits_where_nobody_was_asked(mlflow_site: Site) -> None:
    add_version(mlflow_site)
    decide(mlflow_site, "1", None, approval="auto")
    for answer in (say_yes, say_no):
        with pytest.raises(LedgerError, match="no version waits for approval") as told:
            answer(mlflow_site)
        assert told.value.exit_code == EXIT_ERROR  # the command line was right
    asks: tuple[tuple[Outcome, str], ...] = (
        ("reject", r"rejected it \(accuracy on .*judged anew: mlops promote --again"),
        ("inconclusive", "is inconclusive; once more labels came: mlops promote"),
    )  # fmt: skip
    for outcome, words in asks:
        version = add_version(mlflow_site)
        decide(mlflow_site, version, "1", approval="required", outcome=outcome)
        with pytest.raises(LedgerError, match=f"version {version} asked for no approval.*{words}"):
            say_yes(mlflow_site, f"version={version}")
    version = add_version(mlflow_site)
    decide(mlflow_site, version, "1", approval="auto")
    with pytest.raises(LedgerError, match=r"it passed the gate; .* rollback --to 1"):
        say_yes(mlflow_site, "version=1")


def test_aliases_of_a_persons_own_are_left_alone(asked: tuple[Site, Decision]) -> None:
    site, _ = asked
    registry.set_alias(site, PROJECT, "shadow", "3")
    say_no(site)
    registry.set_alias(site, PROJECT, "challenger", "3")
    reconcile.reconcile(site, PROJECT)
    assert aliases(site) == {
        "champion": "1", "previous": None, "challenger": "3", "shadow": "3",
    }  # fmt: skip


def test_the_incident_hears_the_answer_not_the_question(mlflow_site: Site) -> None:
    site = mlflow_site
    for _ in range(2):
        add_version(site)
    held = Incident(
        id="drift-digits-1-4", project=PROJECT, kind="drift", cause="brightness", version="1",
        state="open", opened_s=1.0, updated_s=1.0, resolved_s=None,
        body=Findings(due=("detected",), notified=("detected",)),
    )  # fmt: skip
    with database(site) as engine, engine.begin() as connection:
        incidents.open_once(connection, held)
    decide(site, "1", None, approval="auto")
    made = decide(site, "2", "1", approval="required", incident=held.id)
    from mlops.steps.announce import AnnounceParams, announce

    assert "nobody new to tell" in announce(AnnounceParams(project=NAME), site).summary
    asked = f"approval-{made.id}:needs you"
    assert mails(site) == [asked]
    say_yes(site, "actor=Ada")
    assert mails(site) == [asked, f"approval-{made.id}:promoted", f"{held.id}:promoted"]
    announce(AnnounceParams(project=NAME), site)
    assert len(mails(site)) == 3


class Killed(BaseException):
    """Ends a step as SIGKILL would."""


@pytest.mark.parametrize(
    "point",
    [
        (Ledger, "append", 1), (moves, "set_alias", 1), (moves, "remember", 1),
        (Ledger, "append", 2), (moves, "drop_alias", 1), (answered, "show", 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_approving_loses_and_doubles_nothing(
    asked: tuple[Site, Decision],
    monkeypatch: pytest.MonkeyPatch,
    point: tuple[Any, str, int],
    when: str,
) -> None:
    holder, name, nth = point
    site, made = asked
    original, count = getattr(holder, name), [0]

    def dying(*args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        if count[0] == nth and when == "before":
            raise Killed
        result = original(*args, **kwargs)
        if count[0] == nth:
            raise Killed
        return result

    with monkeypatch.context() as patch:
        patch.setattr(holder, name, dying)
        with pytest.raises(Killed):
            say_yes(site, "actor=Ada")
    reconcile.reconcile(site, PROJECT)
    if "approved" in kinds(site):  # the next start tells of it, whatever verb that is
        assert mails(site) == [f"approval-{made.id}:needs you", f"approval-{made.id}:promoted"]
        assert pages.look(site, PROJECT, "2").tags[approval.TAG] == "yes Ada"  # type: ignore[union-attr]
    say_yes(site, "version=2", "actor=Bea")
    assert aliases(site)["champion"] == "2"
    assert aliases(site)["challenger"] is None
    assert kinds(site)[-2:] == ["approved", "applied"]
    assert mails(site) == [f"approval-{made.id}:needs you", f"approval-{made.id}:promoted"]


def test_a_no_that_nobody_heard_of_is_told_by_the_next_start_and_blocks_none(
    asked: tuple[Site, Decision], monkeypatch: pytest.MonkeyPatch
) -> None:
    site, made = asked
    with monkeypatch.context() as patch:
        patch.setattr(answered, "tell", lambda *_: None)
        say_no(site, "actor=Ada")
    odd = replace(site, settings=site.settings.model_copy(update={"mail_to": "nobody"}))
    assert "agree" in reconcile.reconcile(odd, PROJECT)
    assert mails(site) == [f"approval-{made.id}:needs you"]
    for _ in range(2):
        assert "agree" in reconcile.reconcile(site, PROJECT)
        assert mails(site) == [f"approval-{made.id}:needs you", f"approval-{made.id}:refused"]


@pytest.mark.parametrize(
    ("value", "said", "who"),
    [
        (None, None, "somebody, in MLflow"), ("waiting", None, "somebody, in MLflow"),
        ("yes", True, "somebody, in MLflow"), (" YES,  Ada ", True, "Ada, in MLflow"),
        ("no Ada B.", False, "Ada B., in MLflow"), ("yesterday", None, "somebody, in MLflow"),
        ("true", True, "somebody, in MLflow"), ("", None, "somebody, in MLflow"),
    ],
)  # fmt: skip
def test_what_a_person_may_write_into_the_tag(
    value: str | None,
    said: bool | None,
    who: str,
) -> None:
    assert approval.read_tag(value) == (said, who)


def test_the_mail_says_how_to_approve_and_needs_no_pictures(asked: tuple[Site, Decision]) -> None:
    site, made = asked
    resume = with_options(site, "resume=http://127.0.0.1:4200/runs/flow-run/7")
    for decision, actor in ((made, ""), (replace(made, approval="approved"), "Ada")):
        letter = answered.letter(resume, decision, actor)
        mail = compose(letter, "mlops@example.org", ["team@example.org"])
        text = mail.get_body(("plain",))
        assert text is not None
        content = text.get_content()
        assert ("mlops approve 2" in content) == (not actor)
        assert ("mlops rollback --to 1" in content) == bool(actor)
        assert "http://127.0.0.1:4200/runs/flow-run/7" in content
        assert "silence" not in content
    assert "APPROVAL:1" in str(mail["Subject"])


def test_nothing_moves_by_a_record_that_was_changed(asked: tuple[Site, Decision]) -> None:
    site, made = asked
    with database(site) as engine, engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER ledger_no_update"))
        connection.execute(sa.update(table).where(table.c.number == 2).values(actor="nobody"))
    before, rows = aliases(site), len(raw_rows(site))
    movers: tuple[Callable[[], object], ...] = (
        lambda: say_yes(site),
        lambda: say_no(site),
        lambda: rollback(RollbackParams(project=NAME), with_options(site, "to=1")),
        lambda: reconcile.reconcile(site, PROJECT),
        lambda: decide(site, "3", "1", approval="auto"),
        lambda: canary.ask(site, PROJECT, 0.05, "3"),
    )
    for move in movers:
        with pytest.raises(LedgerError, match=r"row 2 does not match.*restore the database"):
            move()
    assert (aliases(site), len(raw_rows(site))) == (before, rows)
    assert made.candidate.version == before["challenger"]


def raw_rows(site: Site) -> list[Any]:
    with database(site) as engine, engine.connect() as connection:
        return list(connection.execute(sa.select(table.c.number)))


@pytest.mark.bench
def test_ten_thousand_rows_leave_a_rollback_quick(mlflow_site: Site) -> None:
    """Every row is hashed before anything moves; on a busy machine the whole may take a second."""
    site = mlflow_site
    for champion in (None, "1"):
        decide(site, add_version(site), champion, approval="required" if champion else "auto")
    say_yes(site)
    bodies = [entry for entry in entries(site) if entry.kind == "decided"]
    with database(site) as engine:
        last, more = entries(site)[-1], []
        for n in range(10_000):
            row = Row("decided", f"k{n}", 1.0, "me", "2", "2", bodies[-1].body)
            last = chained(PROJECT, row, last)
            more.append(asdict(last))
        with engine.begin() as connection:
            connection.execute(table.insert(), more)
    begun = time.process_time()
    rollback(RollbackParams(project=NAME), site)
    assert time.process_time() - begun < 2.0
    assert registry.champion(site, PROJECT) == "1"


def test_a_number_given_twice_by_mlflow_inherits_no_verdict(mlflow_site: Site) -> None:
    """Somebody deletes the registered model: the next version is 1 again, and is another."""
    judged.begin(mlflow_site)
    assert judged.enter(mlflow_site, entrants.block_weights()) == "1"
    assert judged.judge(mlflow_site).facts["outcome"] == "promote"
    mlflow.client(mlflow_site).delete_registered_model(PROJECT)
    reconcile.reconcile(mlflow_site, PROJECT)
    worthless = np.zeros_like(entrants.block_weights())
    assert judged.enter(mlflow_site, worthless) == "1"
    with pytest.raises(StepError, match="the alias champion was removed"):
        judged.judge(mlflow_site)
    assert judged.judge(mlflow_site, "first").facts["outcome"] != "promote"
    with pytest.raises(UsageError, match="version 1 was never in service"):
        rollback(
            load(mlflow_site.layout.params, RollbackParams),
            entrants.with_options(mlflow_site, "to=1"),
        )
    assert registry.champion(mlflow_site, PROJECT) is None
