"""A mail that a verb queues goes out with it; that it cannot go out is no fault of the verb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters.mail import outbox
from mlops.adapters.sql.engine import database
from mlops.cli import step
from mlops.cli.post import send_due
from mlops.settings import Settings
from tests import judged
from tests.kept import copy_state

if TYPE_CHECKING:
    from mlops.site import Site


@pytest.fixture
def pending(kept_second: Site, site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site whose version 2 passed the gate and waits for a person, its mail queued."""
    made = copy_state(kept_second, site)
    text = made.layout.params.read_text().replace("approval: auto", "approval: required")
    made.layout.params.write_text(text.replace("latency_ms: 50.0", "latency_ms: 60000.0"))
    assert judged.judge(made).facts["approval"] == "pending"
    (made.layout.root / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setenv("MLOPS_ROOT", str(made.layout.root))
    return made


def waiting(site: Site) -> list[tuple[str, str]]:
    with database(site) as engine:
        return [(key, error) for key, _, error in outbox.waiting(engine, judged.PROJECT)]


def test_promote_asks_by_mail_and_a_dead_server_fails_no_verb(
    pending: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(waiting(pending)) == 1
    monkeypatch.setenv("MLOPS_MAIL_URL", "smtp://127.0.0.1:9")
    assert step.promote() == 0
    [(key, error)] = waiting(pending)
    assert key.startswith("approval-")
    assert error
    monkeypatch.delenv("MLOPS_MAIL_URL")
    assert step.reject() == 0
    assert [key for key, _ in waiting(pending)] == [key]  # it waits for its turn; the answer went
    [letter] = pending.layout.mailbox.glob("*.eml")
    assert b"declined" in letter.read_bytes()


def test_without_a_database_the_mails_wait(site: Site) -> None:
    settings = Settings(database_url="postgresql+psycopg://nobody@127.0.0.1:9/none")
    assert send_due(site.layout, settings) == 0
