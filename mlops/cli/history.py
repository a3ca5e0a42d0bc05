"""`mlops history`: every decision, from the ledger."""

from __future__ import annotations

import json as json_lib
from dataclasses import asdict
from datetime import UTC, datetime


def history(*, limit: int = 20, json: bool = False) -> int:
    """List what happened to the versions, the newest first: who, when, why, from, to.

    The ledger's chain of hashes is verified on the way.

    Args:
        limit: Most lines.
        json: Print everything as JSON.
    """
    from mlops.adapters.history import history as read
    from mlops.cli.here import open_site
    from mlops.params.name import project_name

    site = open_site()
    moments = read(site, project_name(site.layout.params))
    if json:
        print(json_lib.dumps([asdict(moment) for moment in moments], indent=2))
        return 0
    if not moments:
        print("history: nothing has been registered yet; run: dvc repro, then mlops register")
    for moment in moments[:limit]:
        at = datetime.fromtimestamp(moment.at_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        moves = moment.kind != "registered"  # that brings a version, and moves nothing
        moved = f"{moment.before or '-'} → {moment.after or '-'}" if moves else ""
        what = moment.outcome or moment.kind
        print(
            f"{at}  {what:<12} v{moment.version or '-':<4} {moved:<8} {moment.actor}: {moment.why}"
        )
    return 0
