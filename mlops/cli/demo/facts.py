"""What the demo reads of the system's own database and folders; it writes nothing there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from mlops.adapters.sql.engine import open_database
from mlops.adapters.sql.tables import incidents, retrains, windows

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.layout import Layout


@dataclass(frozen=True)
class Window:
    """One judged window."""

    number: int
    version: str
    rows: int
    alarm: bool
    end_s: float


class Facts:
    """Read-only questions to the running system."""

    def __init__(self, layout: Layout, project: str) -> None:
        """Read the database of `layout`, the rows of `project`."""
        self._layout, self._project = layout, project
        self._engine = open_database(f"sqlite:///{layout.database}")

    def windows(self) -> list[Window]:
        """Return every judged window, oldest first."""
        query = (
            sa.select(windows).where(windows.c.project == self._project).order_by(windows.c.end_s)
        )
        return [
            Window(row.number, row.version, row.rows, row.alarm, row.end_s)
            for row in self._rows(query)
        ]

    def incident(self, state: str) -> sa.Row[Any] | None:
        """Return the newest drift incident in a state, `open` or `resolved`."""
        query = (
            sa.select(incidents)
            .where(incidents.c.project == self._project, incidents.c.state == state)
            .order_by(incidents.c.opened_s.desc())
        )
        return next(iter(self._rows(query)), None)

    def retrain(self) -> sa.Row[Any] | None:
        """Return the newest retrain."""
        query = (
            sa.select(retrains)
            .where(retrains.c.project == self._project)
            .order_by(retrains.c.requested_s.desc())
        )
        return next(iter(self._rows(query)), None)

    def decision(self) -> Path:
        """Return the newest `decision.json`."""
        return max(self._layout.decisions.glob("*/decision.json"), key=_modified)

    def promoted(self) -> bool:
        """Say whether the newest retrain ended with a promotion."""
        retrain = self.retrain()
        return retrain is not None and retrain.outcome == "promote"

    def mails(self) -> list[Path]:
        """Return the rendered mails, oldest first; the message is written after its page."""
        pages = sorted(self._layout.mailbox.glob("*.html"))
        return [page for page in pages if page.with_suffix(".eml").is_file()]

    def serving(self) -> str:
        """Return the version that the pointer of the scoring server names; empty for none."""
        path = self._layout.serving / self._project / "current.json"
        return str(json.loads(path.read_text())["version"]) if path.is_file() else ""

    def _rows(self, query: sa.Select[Any]) -> list[sa.Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(query))


def _modified(path: Path) -> float:
    return path.stat().st_mtime
