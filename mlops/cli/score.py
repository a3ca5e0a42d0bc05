"""`mlops score`: score a file or folder in bulk."""

from __future__ import annotations

import json as json_lib
import sys
import time
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - the command line is read by this annotation
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops.batch.score import Progress

_EVERY_S = 1.0


def score(
    source: Path, output: Path, *, version: str = "", alias: str = "champion", json: bool = False
) -> int:
    """Score a file or folder into Parquet; the same command goes on after a kill.

    Args:
        source: Parquet (a file or a folder of them), CSV, .npy, or a folder of images.
        output: Folder for the parts; new, or of the same job.
        version: Of the model; the alias's if left out.
        alias: Of the registry: champion, challenger, previous, …
        json: Print the report as JSON.
    """
    from mlops.batch.score import Request, ScoreParams
    from mlops.batch.score import score as run
    from mlops.cli.here import open_site
    from mlops.cli.step import _number
    from mlops.params.load import load

    site = open_site()
    request = Request(source, output, _number(version, "--version"), alias)
    report = run(load(site.layout.params, ScoreParams), site, request, _Line(quiet=json))
    if json:
        print(json_lib.dumps({"verb": "score", **asdict(report)}, indent=2))
    else:
        print(f"score: {report.summary}; {output}")
    return 0


class _Line:
    """The progress line: rewritten in place on a terminal, now and then a new one elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet, self._began_s = quiet, time.monotonic()
        self._next_s = 0.0

    def __call__(self, seen: Progress) -> None:
        """Show how far it is, how fast, and how long it will take."""
        now_s = time.monotonic()
        whole = seen.parts == seen.of_parts
        if self._quiet or (now_s < self._next_s and not whole):
            return
        terminal = sys.stderr.isatty()
        self._next_s = now_s + (_EVERY_S if terminal else 10 * _EVERY_S)
        rate = seen.made / max(now_s - self._began_s, 1e-6)
        left_s = (seen.of_rows - seen.rows) / max(rate, 1e-6)
        text = (
            f"score: {seen.parts} of {seen.of_parts} parts, {seen.rows:,} of {seen.of_rows:,} "
            f"rows, {rate:,.0f} rows/s, {left_s:.0f} s to go"
        )
        end = "\n" if whole or not terminal else "\r"
        print(text.ljust(90) if terminal else text, end=end, file=sys.stderr, flush=True)
