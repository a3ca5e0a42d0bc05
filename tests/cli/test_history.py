from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mlops.adapters import incidents
from mlops.adapters.sql.engine import database
from mlops.adapters.sql.tables import ledger
from mlops.cli.history import history
from mlops.cli.silence import silence
from mlops.errors import LedgerError, Unknown, UsageError

if TYPE_CHECKING:
    from mlops.site import Site


INCIDENT = incidents.Incident(
    id="drift-digits-1-7", project="digits", kind="drift", cause="contrast", version="1",
    state="open", opened_s=0.0, updated_s=0.0, resolved_s=None, body=incidents.Findings(),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(site.layout.root))


def test_an_empty_ledger_says_what_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert history() == 0
    assert "run: dvc repro, then mlops register" in capsys.readouterr().out
    assert history(json=True) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_registration_moves_nothing(
    kept_first: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(kept_first.layout.root))
    assert history() == 0
    promoted, registered = capsys.readouterr().out.splitlines()
    assert "- → 1" in promoted
    assert "registered version 1, trained because a person asked" in registered
    assert "→" not in registered


def test_a_broken_chain_is_an_error(site: Site) -> None:
    with database(site) as engine, engine.begin() as connection:
        connection.execute(
            ledger.insert().values(
                project="digits",
                number=1,
                at_s=0.0,
                kind="observed",
                key="k",
                actor="me",
                body="{}",
                prev_hash="",
                hash="forged",
            )
        )
    with pytest.raises(LedgerError):
        history()


def test_silence_holds_back_the_mails_of_one_incident(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unknown, match="unknown in project digits"):
        silence("drift-digits-1-1")
    with pytest.raises(UsageError, match="write 30m, 24h or 7d"):
        silence("drift-digits-1-1", "soon")
    with database(site) as engine:
        with engine.begin() as connection:
            held = incidents.open_once(connection, INCIDENT).id
        silence(held, "2h")
        assert f"no mail about {held}" in capsys.readouterr().out
        with engine.connect() as connection:
            assert incidents.silenced(connection, "digits", held, now_s=_now() + 7000)
            assert not incidents.silenced(connection, "digits", held, now_s=_now() + 7400)


def _now() -> float:
    return datetime.now(UTC).timestamp()
