"""What is kept of a judged window: its page is made later of these very numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.adapters.files import replacing, write_json
from mlops.adapters.windows import verdict_content
from mlops.core.columns import Columns
from mlops.core.sent import Sent, SentRows
from mlops.core.usual import Contents
from mlops.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from mlops.adapters.observe import Observation
    from mlops.adapters.windows import Cut

FILE = "window.npz"


@dataclass(frozen=True)
class Kept:
    """What is kept of a window.

    Attributes:
        columns: of its sound rows; without columns where hardly any was sound.
        shown: up to six of its images, uint8 (N, H, W, C).
        sent: its rows as they came; None where its log had no features, and of windows that were
            judged before it was kept.
    """

    columns: Columns
    shown: NDArray[np.uint8]
    sent: Sent | None


def keep(folder: Path, cut: Cut, seen: Observation) -> None:
    """Write `verdict.json` and `window.npz`."""
    write_json(folder / "verdict.json", {
        "window": cut.id, "version": cut.version, "number": cut.number, "start_s": cut.start_s,
        "end_s": cut.end_s, "first_seq": cut.first_seq, "last_seq": cut.last_seq,
        "redacted": seen.redacted, **verdict_content(seen.verdict),
    })  # fmt: skip
    rows = seen.columns
    stored = {
        "shown": seen.shown,
        "names": np.array(rows.names if rows else (), dtype=np.str_),
        "values": rows.values if rows else np.zeros((0, 0)),
        "predicted": rows.predicted if rows else np.zeros(0, dtype=np.int64),
        "classes": np.array(rows.classes if rows else 0),
        "named": np.array(rows.named if rows else (), dtype=np.str_),
        **(_packed(seen.sent) if seen.sent else {}),
    }
    with replacing(folder / FILE) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **stored)


def read_kept(folder: Path) -> Kept:
    """Read what `keep` wrote.

    Raises:
        MonitorError: if it is missing or damaged.
    """
    path = folder / FILE
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = tuple(str(name) for name in stored["names"])
            classes = int(stored["classes"])
            named = tuple(map(str, stored["named"])) if "named" in stored else ()
            rows = Columns(names, stored["values"], stored["predicted"], classes, named)
            return Kept(rows, stored["shown"], _unpacked(stored))
    except (OSError, ValueError, KeyError, EOFError) as error:
        msg = f"{path}: unreadable ({error}); the window's report cannot be made"
        raise MonitorError(msg) from None


def _packed(sent: Sent) -> dict[str, NDArray[Any]]:
    held, shown = sent.contents, sent.shown
    counted = [sent.rows, sent.wrong_size, sent.unsound, held.rows, held.blank]
    return {
        "sent": np.array(counted, dtype=np.int64),
        "sent_columns": np.array([held.missing, held.unknown, held.beyond], dtype=np.int64),
        "sent_features": shown.features, "sent_blank": shown.blank,
        "sent_sound": shown.sound, "sent_copies": shown.copies,
    }  # fmt: skip


def _unpacked(stored: Mapping[str, NDArray[Any]]) -> Sent | None:
    if "sent" not in stored:
        return None
    rows, wrong_size, unsound, right, gone = stored["sent"].tolist()
    missing, unknown, beyond = map(tuple, stored["sent_columns"].tolist())
    shown = SentRows(
        stored["sent_features"], stored["sent_blank"], stored["sent_sound"], stored["sent_copies"]
    )
    held = Contents(right, gone, missing, unknown, beyond)
    return Sent(rows, wrong_size, unsound, held, shown)
