"""The flow `monitor`, on a real Prefect server: what it has sent is not given out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlops.adapters import happened, incidents
from mlops.adapters.files import write_text
from mlops.adapters.incident import Findings, Incident
from mlops.adapters.sql.engine import open_database
from mlops.errors import StepError
from mlops.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path


def unsent(root: Path) -> list[str]:
    engine = open_database(f"sqlite:///{Layout(root).database}")
    with engine.connect() as connection:
        found = [event.id for event in happened.unsent(connection, "digits")]
    engine.dispose()
    return found


def test_an_event_is_kept_until_the_flow_has_sent_it(cheap: Path, prefect_api: str) -> None:
    from flows.monitor import monitor

    engine = open_database(f"sqlite:///{Layout(cheap).database}")
    body = Findings().owing("drift.detected", "contrast")
    with engine.begin() as connection:
        incidents.open_once(connection, Incident(
            "drift-1", "digits", "drift", "contrast", "1", "open", 1.0, 1.0, None, body
        ))  # fmt: skip
    engine.dispose()
    write_text(cheap / "drifts", "")
    write_text(cheap / "fail-monitor", "")
    with pytest.raises(StepError, match="told to fail"):
        monitor()
    assert unsent(cheap) == ["drift-1 drift.detected contrast"]
    (cheap / "fail-monitor").unlink()
    monitor()
    assert unsent(cheap) == []
