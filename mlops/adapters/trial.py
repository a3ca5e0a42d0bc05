"""The candidate in the real server: a fresh process that loads it and answers golden requests."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from mlops.core.exam import Trial
from mlops.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_S = 120.0


def try_in_server(folder: Path, digest: str) -> Trial:
    """Serve a version's verified folder for a few seconds, and measure it.

    A process and not a call: nothing of this process's state may help the candidate along, and
    steps know nothing of the web framework.

    Args:
        folder: the version's files.
        digest: of its manifest, as the ledger holds it.

    Raises:
        DataError: if it was not served, or answered otherwise than recorded.
    """
    command = [sys.executable, "-m", "mlops.serving.trial", str(folder), digest]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        msg = f"the candidate was not served within {_LIMIT_S:.0f} s"
        raise DataError(msg) from None
    try:
        content = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no output"])[-1]
        msg = f"the candidate could not be tried in the real server: {last[:300]}"
        raise DataError(msg) from None
    if "fault" in content:
        raise DataError(str(content["fault"]))
    return Trial(**{name: float(value) for name, value in content.items()})
