from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from mlops.adapters.mail.compose import compose
from mlops.adapters.mail.mailbox import read
from mlops.adapters.mail.notify import notify
from mlops.adapters.mail.outbox import LEASE_S, deliver, enqueue, wait_s, waiting
from mlops.adapters.mail.sample import sample
from mlops.adapters.mail.smtp import Patience
from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import outbox
from mlops.cli import mail as cli
from mlops.errors import UsageError
from mlops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops.core.alert import Alert
    from mlops.site import Site

NOW_S = 1_767_614_400.0
HOUR_S = 3600.0


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('outbox')}/mlops.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="module")
def migrated(url: str) -> Iterator[sa.Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    with migrated.begin() as connection:
        connection.execute(outbox.delete())
    return migrated


def _alert(incident: str = "inc-1", **changes: Any) -> Alert:
    return replace(sample("detected", NOW_S), incident=incident, **changes)


def _to(site: Site, url: str) -> Site:
    settings = Settings(mail_url=SecretStr(url), mail_to="a@example.org, b@example.org")
    return replace(site, settings=settings)


def _row(engine: sa.Engine) -> Any:
    with engine.connect() as connection:
        return connection.execute(sa.select(outbox)).one()


def test_one_mail_per_incident_and_stage_reaches_the_mailbox(site: Site, engine: sa.Engine) -> None:
    for _ in range(3):
        notify(site, engine, _alert())
    notify(site, engine, replace(sample("resolved", NOW_S), incident="inc-1"))
    assert [row[0] for row in waiting(engine, "digits")] == ["inc-1:detected", "inc-1:resolved"]
    assert deliver(site, engine, NOW_S) == 2
    assert deliver(site, engine, NOW_S + HOUR_S) == 0
    first, second = sorted(site.layout.mailbox.glob("*.eml"))
    assert read(second)["References"] == read(first)["Message-ID"]
    assert waiting(engine, "digits") == []


def test_a_mail_is_queued_with_its_transaction_or_not_at_all(engine: sa.Engine) -> None:
    mail = compose(_alert(), "a@example.org", ["b@example.org"])
    with engine.connect() as connection:
        assert enqueue(connection, "digits", "k", mail, NOW_S)
        connection.rollback()
    with engine.begin() as connection:
        assert enqueue(connection, "digits", "k", mail, NOW_S)
        assert not enqueue(connection, "digits", "k", mail, NOW_S)
        assert enqueue(connection, "other", "k", mail, NOW_S)
    assert len(waiting(engine, "digits")) == 1


def test_another_project_in_the_same_database_keeps_its_mails(
    site: Site, engine: sa.Engine
) -> None:
    notify(site, engine, _alert(project="other"))
    assert deliver(site, engine, NOW_S) == 0
    assert len(waiting(engine, "other")) == 1


def test_an_hour_of_silence_loses_nothing(site: Site, engine: sa.Engine, smtp_server: Any) -> None:
    with smtp_server() as (post, port):
        pass  # it had a port, and is gone
    site = _to(site, f"smtp://127.0.0.1:{port}")
    for number in range(5):
        notify(site, engine, _alert(f"inc-{number}"))
    at_s, tries = NOW_S, 0
    while at_s < NOW_S + HOUR_S:
        assert deliver(site, engine, at_s) == 0
        at_s, tries = at_s + 300, tries + 1
    left = waiting(engine, "digits")
    assert len(left) == 5
    assert "ConnectionRefused" in left[0][2]
    assert sum(attempts for _, attempts, _ in left) <= tries  # one knock a call on a dead server
    with smtp_server(post, port):
        assert deliver(site, engine, at_s + HOUR_S) == 5
        assert deliver(site, engine, at_s + 2 * HOUR_S) == 0
    assert len({mail["Message-ID"] for mail, _ in post.mails}) == len(post.mails) == 5


def test_waiting_doubles_up_to_an_hour_and_never_gives_up(
    site: Site, engine: sa.Engine, smtp_server: Any
) -> None:
    assert [wait_s(n) for n in (0, 1, 2, 3, 7, 8, 5000)] == [30, 30, 60, 120, 1920, 3600, 3600]
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        post.data_answer = "554 not today"
        notify(site, engine, _alert(severity=5))
        at_s = NOW_S
        for attempt in range(1, 11):
            assert deliver(site, engine, at_s) == 0
            row = _row(engine)
            assert row.attempts == attempt
            assert "not today" in row.error
            assert deliver(site, engine, row.next_s - 1) == 0
            assert _row(engine).attempts == attempt  # not before its time
            at_s = row.next_s
        post.data_answer = "250 OK"
        assert deliver(site, engine, at_s) == 1
    assert _row(engine).error is None
    assert len(post.mails) == 1


def test_one_refused_mail_does_not_hold_up_the_others(
    site: Site, engine: sa.Engine, smtp_server: Any
) -> None:
    notify(site, engine, _alert("inc-0"))
    with engine.begin() as connection:
        connection.execute(outbox.update().values(message=b"From: nobody\r\nTo: \r\n\r\n"))
    notify(_to(site, ""), engine, _alert("inc-1"))
    with smtp_server() as (post, port):
        assert deliver(_to(site, f"smtp://127.0.0.1:{port}"), engine, NOW_S) == 1
    assert [key for key, _, _ in waiting(engine, "digits")] == ["inc-0:detected"]
    assert len(post.mails) == 1


def test_a_greylisted_receiver_gets_it_later_and_the_others_only_once(
    site: Site, engine: sa.Engine, smtp_server: Any
) -> None:
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        post.answers["b@example.org"] = "450 come back later"
        notify(site, engine, _alert())
        assert deliver(site, engine, NOW_S) == 0
        assert deliver(site, engine, NOW_S + 40) == 0
        assert "b@example.org" in waiting(engine, "digits")[0][2]
        post.answers.clear()
        assert deliver(site, engine, NOW_S + HOUR_S) == 1
    assert [to for _, to in post.mails] == [["a@example.org"], ["b@example.org"]]
    assert {mail["X-Mlops-Again-To"] for mail, _ in post.mails} == {None}


def test_a_server_that_takes_long_to_answer_for_a_mail_gets_it_once(
    site: Site, engine: sa.Engine, smtp_server: Any
) -> None:
    patience = Patience(step_s=1.0, answer_s=20.0)
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        post.data_wait_s = 1.5
        notify(site, engine, _alert())
        assert deliver(site, engine, NOW_S, patience) == 1
        assert deliver(site, engine, NOW_S + HOUR_S, patience) == 0
    assert len(post.mails) == 1


def test_a_mail_that_no_server_answers_for_is_repeated_once_and_no_more(
    site: Site, engine: sa.Engine, smtp_server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    patience = Patience(step_s=5.0, answer_s=0.5)
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        post.data_wait_s = 1.5
        notify(site, engine, _alert())
        assert deliver(site, engine, NOW_S, patience) == 0
        assert "has the whole mail, and did not say" in waiting(engine, "digits")[0][2]
        dead = _to(site, "smtp://127.0.0.1:1")
        assert deliver(dead, engine, NOW_S + HOUR_S, patience) == 0  # what is known stays known
        assert deliver(site, engine, NOW_S + 3 * HOUR_S, patience) == 1
        assert deliver(site, engine, NOW_S + 9 * HOUR_S, patience) == 0
    assert len({mail["Message-ID"] for mail, _ in post.mails}) == 1
    assert len(post.mails) == 2
    assert {mail["X-Mlops-Unanswered"] for mail, _ in post.mails} == {None}
    assert "unconfirmed" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "mail_url", ["smtp://ann:s3cret/x@h", "smtp://ann:s3cret@127.0.0.1:1", "nonsense"]
)
def test_a_bad_setting_is_recorded_not_raised_and_never_shown(
    site: Site, engine: sa.Engine, mail_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    notify(site, engine, _alert())
    assert deliver(_to(site, mail_url), engine, NOW_S) == 0
    [(_, attempts, error)] = waiting(engine, "digits")
    out = capfd.readouterr()
    assert attempts == 1
    assert "MLOPS_MAIL_URL" in error
    assert "mail will be tried again" in out.out + out.err
    assert "s3cret" not in error + out.out + out.err


def test_many_deliverers_send_each_mail_once(
    site: Site, engine: sa.Engine, smtp_server: Any
) -> None:
    for number in range(12):
        notify(site, engine, _alert(f"inc-{number}"))
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        with ThreadPoolExecutor(4) as pool:
            sent = list(pool.map(lambda _: deliver(site, engine, NOW_S), range(4)))
    assert sum(sent) == 12
    assert len({mail["Message-ID"] for mail, _ in post.mails}) == len(post.mails) == 12


def _deliver_and_die(site: Site, url: str, moment: str) -> int:
    """Deliver in a process of its own that is killed at `moment`; return its exit status."""

    def die(*_arguments: object, **_values: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(moment, die)
            deliver(site, sa.create_engine(url), NOW_S)
        os._exit(1)  # it survived
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("moment", "copies"),
    [("mlops.adapters.mail.smtp.send", 1), ("mlops.adapters.mail.outbox._record", 2)],
)
def test_a_kill_costs_at_most_one_duplicate_and_loses_nothing(  # noqa: PLR0917 - fixtures
    site: Site, engine: sa.Engine, url: str, smtp_server: Any, moment: str, copies: int
) -> None:
    notify(site, engine, _alert())
    with smtp_server() as (post, port):
        site = _to(site, f"smtp://127.0.0.1:{port}")
        assert os.WTERMSIG(_deliver_and_die(site, url, moment)) == signal.SIGKILL
        assert deliver(site, engine, NOW_S + 1) == 0  # the dead process still holds the lease
        assert deliver(site, engine, NOW_S + LEASE_S + 10) == 1
        assert deliver(site, engine, NOW_S + 10 * HOUR_S) == 0
    assert len(post.mails) == copies
    assert len({mail["Message-ID"] for mail, _ in post.mails}) == 1


def test_the_verb_delivers_and_says_what_waits(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(site.layout.root)
    engine = open_database(site.settings.database(site.layout))
    notify(site, engine, replace(_alert("inc-1"), at_s=0.0))
    monkeypatch.setenv("MLOPS_MAIL_URL", "smtp://127.0.0.1:1")
    assert cli.deliver() == 1
    assert "mail: 0 sent, 1 waiting\n  inc-1:detected: 1 attempts" in capsys.readouterr().out
    monkeypatch.setenv("MLOPS_MAIL_URL", "smtp://:0")
    with pytest.raises(UsageError, match="MLOPS_MAIL_URL"):
        cli.deliver()
    monkeypatch.delenv("MLOPS_MAIL_URL")
    assert cli.deliver(json=True) == 1  # it failed just now: its wait is not over
    assert json.loads(capsys.readouterr().out)["sent"] == 0
    assert cli.deliver(now=True) == 0
    assert "mail: 1 sent, 0 waiting" in capsys.readouterr().out
    engine.dispose()
