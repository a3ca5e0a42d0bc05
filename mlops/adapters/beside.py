"""What runs beside the champion on this machine: the canary and the shadow, for `mlops status`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from mlops.adapters.files import read_json
from mlops.adapters.sql.tables import predictions
from mlops.core.beside import agreed, apart
from mlops.core.schema import outputs, parse_schema
from mlops.errors import DataError

_FLOAT = np.dtype("<f4")  # of the answers in the log
_NEWEST = 2000  # rows of the shadow that are looked at


@dataclass(frozen=True)
class CanarySeen:
    """The canary, running or ended; counts are of champion and challenger.

    Attributes:
        version: the challenger.
        share: of the keys, 0 to 1.
        state: running, off, or rolled back.
        since_s: since when, seconds since 1970.
        reason: why it was rolled back.
        requests: how many each has answered.
        failed: how many of them failed.
        slow: in how many races on the same rows each was slow.
        races: how many there were.
    """

    version: str
    share: float
    state: str
    since_s: float
    reason: str
    requests: tuple[int, int]
    failed: tuple[int, int]
    slow: tuple[int, int]
    races: int = 0


@dataclass(frozen=True)
class ShadowSeen:
    """The shadow, by the newest rows that it looked at.

    Attributes:
        version: the registry's.
        since_s: since when, seconds since 1970.
        rows: how many were compared.
        agreed: in how many the likeliest class was the same; of a regression, its median lay
            within the served outer quantiles.
        apart: mean absolute difference of a regression's medians; None of classes, or without rows.
        latency_ms: its median and 95 % quantile; 0 without rows.
        served_ms: the same of the answers that were served.
    """

    version: str
    since_s: float
    rows: int
    agreed: int
    apart: float | None
    latency_ms: tuple[float, float]
    served_ms: tuple[float, float]


def canary(home: Path) -> CanarySeen | None:
    """Return the canary, or None if there never was one."""
    try:
        content: dict[str, Any] = read_json(home / "canary.json")
        pairs = {name: tuple(content[name]) for name in ("requests", "failed", "slow")}
        known: dict[str, Any] = {"races": 0, **content, **pairs}
        return CanarySeen(**{name: known[name] for name in CanarySeen.__dataclass_fields__})
    except (DataError, KeyError, TypeError):
        return None


def receiving(home: Path, *versions: str) -> frozenset[str]:
    """Return the versions whose last window is still filling: with a running canary, its too."""
    trial = canary(home)
    running = (trial.version,) if trial and trial.state == "running" else ()
    return frozenset((*versions, *running))


def shadow(connection: sa.Connection, home: Path, project: str) -> ShadowSeen | None:
    """Return the shadow and how far it agrees, or None if there is none with its files."""
    try:
        pointer = read_json(home / "shadow.json")
        version, since_s = str(pointer["version"]), float(str(pointer["since_s"]))
        where = Path(str(pointer["folder"])) / "model.json"
        schema = parse_schema(read_json(where).get("schema"), str(where))
    except (DataError, KeyError, ValueError):
        return None
    served = predictions.alias("served")
    found = connection.execute(
        sa.select(
            predictions.c.probabilities.label("said"), predictions.c.latency_s,
            served.c.probabilities.label("served"), served.c.latency_s.label("took_s"),
        )
        .select_from(predictions.join(served, predictions.c.shadow_of == served.c.id))
        .where(predictions.c.project == project, predictions.c.version == version)
        .where(predictions.c.shadow_of.is_not(None))
        .order_by(predictions.c.seq.desc())
        .limit(_NEWEST)
    ).all()  # fmt: skip
    width = outputs(schema)
    rows = [row for row in found if len(row.said) == len(row.served) == width * _FLOAT.itemsize]
    said = np.frombuffer(b"".join(row.said for row in rows), _FLOAT).reshape(-1, width)
    served_too = np.frombuffer(b"".join(row.served for row in rows), _FLOAT).reshape(-1, width)
    return ShadowSeen(
        version, since_s, len(rows),
        int(agreed(said, served_too, classes=bool(schema.classes)).sum()),
        None if schema.classes else apart(said, served_too),
        _middle([row.latency_s for row in rows]), _middle([row.took_s for row in rows]),
    )  # fmt: skip


def _middle(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    middle, late = np.quantile(np.array(seconds) * 1000.0, [0.5, 0.95])
    return float(middle), float(late)
